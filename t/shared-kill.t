# Workers are killed at random moments while all of them change what they share: nothing is torn, nothing hangs.

use lib '.';
use t::ProxyWasm;

use constant ROUNDS => $ENV{TEST_NGINX_KILL_ROUNDS} || 200;

my $s = start_nginx(
    workers     => 4,
    log_level   => 'warn',
    http_config => <<'E',
    wasm_shared_data 256k;
    wasm_shared_queue 128k;
    wasm_plugin shared-state $TEST_NGINX_PLUGINS/shared-state.wasm;
E
    config => 'location ~ ^/[a-z]+(/|$) { proxy_wasm shared-state; }',
);

my @load = map { $s->start_load($_, clients => 2) } '/churn', '/churn', '/cas', '/hit', '/put/x';

my $rounds = 0;
for (1 .. ROUNDS) {
    my @workers = $s->worker_pids;
    my $victim  = $workers[ rand @workers ] or last;
    select undef, undef, undef, rand 0.02;
    $s->signal(KILL => $victim);
    $s->wait_for_workers(4, [$victim]) or last;
    $rounds++;
}
is $rounds, ROUNDS, 'every worker that was killed was replaced';

my %got;
for my $load (@load) {
    my $counts = $load->stop;
    $got{$_} += $counts->{$_} for keys %$counts;
}
cmp_ok $got{200}, '>', ROUNDS, 'the service went on';
note explain \%got;

my ($n) = $s->get('/get/n')->{body} =~ /^(\d+)$/;
ok $n, 'the key that all of them changed is whole';
is $s->get('/cas')->{body}, $n + 1 . "\n", 'and counts on';
my @torn = grep { $s->get("/get/churn-$_")->{body} !~ /^(?:\d+|none)$/ } 0 .. 99;
is_deeply \@torn, [], 'no other key is torn';
is $s->get('/hit')->{status}, 200, 'metrics count on';
is $s->get('/left')->{status}, 200, 'queues go on';

my $repairs = () = $s->error_log =~ /what it left is repaired/g;
note "workers that died inside: $repairs";
# The master says so when it opens the lock of a dead worker.
$s->stop(allow => [qr/exited on signal 9/, qr/shared memory zone "proxy_wasm_\w+" was locked by/]);
done_testing;
