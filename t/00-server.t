# The imperative interface, start_nginx, on plain nginx: requests, kept connections,
# reload, workers that are killed, logs, and that no nginx outlives its test.

use lib '.';
use t::ProxyWasm;

my $s = start_nginx(
    no_module   => 1,
    workers     => 2,
    http_config => 'map $args $note { default "v1"; }',
    config      => <<'E',
    location /t { add_header X-A 1; add_header X-A 2; return 200 "$note $request_method $http_x_in\n"; }
    location /echo {
        content_by_lua_block { ngx.req.read_body() ngx.print(ngx.req.get_body_data()) }
        client_body_buffer_size 1m;
    }
    location /slow {
        content_by_lua_block { ngx.sleep(0.3) ngx.say("slow done") }
    }
    location /files { alias $TEST_NGINX_HTML_DIR/; }
    location /request { return 200 "$connection $arg_x"; }
    location /port { return 200 "$TEST_NGINX_SERVER_PORT"; }
E
    user_files => ">>> a.txt\nfile on port \$TEST_NGINX_SERVER_PORT\n",
);

subtest 'requests' => sub {
    my $r = $s->get('/t', 'X-In' => 'in');
    is $r->{status}, 200, 'status';
    is $r->{body}, "v1 GET in\n", 'body';
    is $r->{headers}{'x-a'}, '1, 2', 'headers are joined';
    is_deeply [map { $_->[1] } grep { $_->[0] eq 'X-A' } @{ $r->{header_list} }], [1, 2], 'and listed';
    is $s->post('/echo', 'x' x 100_000)->{body}, 'x' x 100_000, 'a body there and back, chunked';
    is $s->request('HEAD', '/t')->{body}, '', 'HEAD';
    is $s->get('/nowhere')->{status}, 404, 'a status of its own';
    is $s->get('/files/a.txt')->{body}, 'file on port ' . $s->port . "\n", 'user_files';
    is $s->get('/port')->{body}, $s->port, 'names of the environment';
};

subtest 'a response that suits' => sub {
    my ($first) = $s->get('/request')->{body} =~ /^(\d+)/;
    my $asked = 0;
    my $response = $s->get_until(sub { $asked++; return $_[0]{body} =~ /^(\d+)/ && $1 >= $first + 3 }, '/request?x=1');
    like $response->{body}, qr/^\d+ 1$/, 'is waited for';
    cmp_ok $asked, '>', 1, 'by asking again';
};

subtest 'a kept connection' => sub {
    my $c = $s->connect;
    is $c->request('GET', '/t')->{body}, "v1 GET \n", 'first';
    is $c->request('POST', '/echo', body => 'b')->{body}, 'b', 'second';
    is $c->request('HEAD', '/t')->{status}, 200, 'HEAD';
    my $r = $c->request('POST', '/echo', body => 'c', headers => [Expect => '100-continue']);
    is $r->{body}, 'c', 'after an interim response';
    is $r->{informational}[0]{status}, 100, 'which is kept';
    $c->send_request('GET', '/t', headers => ['X-In' => $_]) for 1, 2;
    is $c->read_response->{body}, "v1 GET 1\n", 'pipelined';
    is $c->read_response->{body}, "v1 GET 2\n", 'in order';
    $c->request('GET', '/t', close => 1);
    ok $c->closed, 'closed by the server';
};

subtest 'reload' => sub {
    my @old = $s->worker_pids;
    is scalar @old, 2, 'two workers';
    my $slow = $s->connect;
    $slow->send_request('GET', '/slow');
    ok $s->reload(http_config => 'map $args $note { default "v2"; }'), 'reloads';
    is $slow->read_response->{body}, "slow done\n", 'what was under way is answered';
    is $s->get('/t')->{body}, "v2 GET \n", 'by the new configuration';
    my %old = map { $_ => 1 } @old;
    is scalar(grep { $old{$_} } $s->worker_pids), 0, 'from new workers';
    ok $s->wait_for_exit($_), 'an old worker leaves' for @old;
    ok !$s->reload(http_config => 'nonsense;'), 'a configuration nginx refuses';
    is $s->get('/t')->{body}, "v2 GET \n", 'leaves the one before';
    ok $s->reload(http_config => 'map $args $note { default "v3"; }'), 'and can be mended';
    is $s->get('/t')->{body}, "v3 GET \n", 'which shows';
};

subtest 'reload under load' => sub {
    my $load = $s->start_load('/t', clients => 2);
    ok $s->reload, 'reloads' for 1 .. 3;
    my $got = $load->stop;
    is_deeply [keys %$got], [200], 'and every request is answered' or diag explain $got;
    cmp_ok $got->{200} // 0, '>', 10, 'of many';
};

subtest 'a killed worker' => sub {
    my ($victim) = $s->worker_pids;
    $s->mark_log;
    $s->signal(KILL => $victim);
    like $s->wait_for_log(qr/worker process $victim exited/), qr/on signal 9/, 'is logged';
    ok $s->wait_for_workers(2, [$victim]), 'and replaced';
    is $s->get('/t')->{status}, 200, 'and the server goes on';
    like $s->error_log, qr/start worker process/, 'the log since the mark';
    unlike $s->error_log, qr/using the "epoll"/, 'and not from before it';
    is $s->wait_for_log(qr/never/, timeout => 0.05), undef, 'a line that does not come';
};

subtest 'stop' => sub {
    ok $s->stop(allow => [qr/exited on signal 9/, '[emerg]']), 'by itself';
    is $s->exit_code, 0, 'exit code';
    like $s->error_log, qr/exit$/m, 'what was logged on the way out can be read';
    ok !$s->alive, 'gone';
};

subtest 'a start that fails' => sub {
    my $bad = start_nginx(no_module => 1, config => 'nonsense;', must_die => 1);
    is $bad->exit_code, 1, 'exit code';
    like $bad->error_log, qr/\[emerg\].*unknown directive "nonsense"/, 'reason, in the log';
    ok !eval { start_nginx(no_module => 1, config => 'nonsense;') }, 'is fatal unless asked for';
    like $@, qr/unknown directive "nonsense"/, 'with its reason';
};

subtest 'two at once' => sub {
    my @both = map { start_nginx(no_module => 1, config => "location /t { return 200 $_; }") } 1, 2;
    is $both[$_]->get('/t')->{body}, $_ + 1, "server $_" for 0, 1;
    my $pid = $both[0]->pid;
    undef $both[0];
    ok !kill(0, $pid), 'one that goes out of scope is stopped';
    $both[1]->stop;
};

# The test process is ended in each of these ways while its nginx runs.
for my $signal (qw(TERM INT KILL)) {
    local $ENV{TEST_NGINX_SERVROOT} = server_root() . "-$signal";
    my $pid = open my $child, '-|', $^X, '-e', <<'E' or die;
use lib '.';
use t::ProxyWasm 'no_plan';
my $s = start_nginx(no_module => 1, config => '');
$| = 1;
print join(' ', $s->pid, $s->worker_pids), "\n";
sleep 60;
E
    my @pids = split ' ', scalar <$child>;
    is scalar @pids, 2, "$signal: a master and a worker";
    kill $signal, $pid;
    close $child;
    my $left = grep { !$s->wait_for_exit($_, 5) } @pids;
    is $left, 0, "$signal: no nginx outlives its test";
}

done_testing;
