# proxy_wasm_instances: how many instances each worker has now, over requests, failures, killed workers and reloads.

use lib '.';
use t::ProxyWasm;
use IO::Socket::INET;

my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', ReuseAddr => 1) or die "listen: $!";
my $call     = sprintf '["http_call", "127.0.0.1:%d", [[":method", "GET"], [":path", "/"], [":authority", "a"]], "", [], 60000]',
    $listener->sockport;

sub configuration {
    my (@plugins) = @_;
    return (
        http_config => join('', map { "wasm_plugin $_ \$TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite image=on isolation=request;\n" } @plugins),
        config      => join('', map { <<"E" } @plugins) . 'location = /metrics { wasm_metrics; }',
    location = /$_ {
        proxy_wasm $_ '{
            "on_request_headers": [
                {"if": ["request_header", "x-bad"], "then": [["trap"]]},
                {"if": ["request_header", "x-wait"], "then": [$call, ["return", "pause"]]}
            ],
            "on_http_call_response": [["send_local_response", 200, "answered"]]
        }';
        return 200 ok;
    }
E
    );
}

my $s = start_nginx(workers => 2, configuration('one', 'other'));

# Of both workers.
sub instances {
    my ($plugin) = @_;
    my %of = $s->get('/metrics')->{body} =~ /^proxy_wasm_instances\{plugin="$plugin",worker="(\d)"\} (\d+)$/mg;
    return join ' ', map { $of{$_} // '-' } 0, 1;
}

sub sum { my ($one, $two) = split ' ', instances($_[0]); return $one + $two }

is instances('one'),   '1 1', 'each worker has one';
is instances('other'), '1 1', 'of each plugin';

my @waiting = map { $s->connect } 1 .. 5;
$_->send_request('GET', '/one', headers => ['X-Wait' => 1], close => 1) for @waiting;
my @calls = map { $listener->accept or die "accept: $!" } @waiting;
is sum('one'), 2 + 5, 'each request that waits has one';
is instances('other'), '1 1', 'of its plugin';
is $s->get('/one', 'X-Bad' => 1)->{status}, 503, 'a request fails';
is sum('one'), 2 + 5, 'and its instance is gone';
for my $socket (@calls) {
    sysread $socket, my $request, 4096;
    syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
}
is $_->read_response->{body}, 'answered', 'they are answered' for @waiting;
cmp_ok sum('one'), '<=', 2 + 5, 'some of the instances wait for the next requests';

my ($victim) = $s->worker_pids;
kill KILL => $victim;
$s->wait_for_workers(2, [$victim]);
my ($first, $second) = split ' ', instances('one');
cmp_ok $first < $second ? $first : $second, '==', 1, 'those of a worker that was killed are forgotten';

my @before = $s->worker_pids;
ok $s->reload(configuration('one')), 'a reload without one of the plugins';
ok $s->wait_for_exit($_), 'a worker has gone' for @before;
is instances('one'),   '1 1', 'each new worker has one';
is instances('other'), '0 0', 'and none of the plugin that is gone';
@before = $s->worker_pids;
ok $s->reload(workers => 1), 'a reload with one worker';
ok $s->wait_for_exit($_), 'a worker has gone' for @before;
is instances('one'), '1 0', 'the other one has none any more';

$s->stop(allow => [qr/./]);
done_testing;
