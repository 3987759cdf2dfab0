# Over HTTP/3: the cells of the ending matrix. What plugins see of requests there, and change: http3-requests.t.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Endings qw(cells dying_cells waiting_cells http_of config_of servers);
use ProxyWasm::Http3 ();
use JSON::PP qw(decode_json);
use List::Util qw(sum);
use Time::HiRes qw(sleep time);

my $missing = ProxyWasm::Http3::missing();
plan skip_all => $missing if $missing;

# Freed memory is overwritten: who uses it goes astray at once.
$ENV{MALLOC_PERTURB_} = 165;
$ENV{TEST_NGINX_GRPC_PORT} = free_port();

# nginx ends the stream after a post_action, and resets it if that one goes wrong, with or without
# plugins.
my @cells   = grep { $_->{id} !~ /^close.*post_action/ } cells(), dying_cells();
my @waiting = waiting_cells();
my $h3      = ProxyWasm::Http3->new;
my $s       = start_nginx(
    worker_connections => 4096,
    user_files         => [['large.txt', '0123456789' x 20_000 . 'whole']],
    http_config        => http_of(@cells, @waiting) . servers(),
    config             => $h3->config . config_of(@cells, @waiting) . "location = /status { wasm_status; }\n",
);

# Contexts and calls that live.
sub left {
    my $status = decode_json($s->get('/status')->{body});
    return sum(map { $_->{http_contexts} } @{ $status->{plugins} }), $status->{calls};
}

sub wait_until_left {
    my ($contexts) = @_;
    my $deadline = time + 20 * $ProxyWasm::Settings::Patience;
    sleep 0.02 while (left())[0] != $contexts && time < $deadline;
    return (left())[0] == $contexts;
}

sub request_of {
    my ($cell) = @_;
    return { method => $cell->{method}, path => $cell->{path}{h2}, body => $cell->{method} eq 'POST' ? 'body' : undef };
}

subtest 'each ending' => sub {
    my @got = $h3->ask(map { request_of($_) } @cells);
    for my $cell (@cells) {
        my ($sees, $next) = shift(@got)->@{qw(sees next)};
        my $want = $cell->{want};
        # What is cut off may end before the client has seen any of it.
        ok $next eq 'next' && ($sees eq $want || $want eq 'cut' && $sees eq 'none'), $cell->{id}
            or diag "saw $sees, not $want; then $next";
    }
};
ok wait_until_left(0), 'no context is left';

subtest 'the client leaves' => sub {
    my $client = $h3->start([map { request_of($_) } @waiting], 'leave');
    is readline $client->{out}, "waiting\n", 'it asks';
    ok wait_until_left(scalar @waiting), 'all wait';
    print { $client->{in} } "leave\n";
    $client->{in}->flush;
    is readline $client->{out}, "next\n", 'the connection is in use still';
    ok wait_until_left(0), 'no context is left';
    waitpid $client->{pid}, 0;
};

is +(left())[1], 0, 'no call is left';
$s->stop(allow => [qr/\[error\]/]);
done_testing;
