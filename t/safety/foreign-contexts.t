# A plugin that names what is not its own to use: contexts, metrics, data and streams of other plugins do not exist for it, and a
# request that is over is out of its reach. Contexts of one VM share its memory, and may be named: the spec wants that.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';
use IO::Socket::INET;

# Each id that may be in use, and some that cannot; then the request's header through it.
my $probe = join ', ', map { qq(["set_effective_context", $_], ["get_header_map_value", "request", "x-secret"]) } 0 .. 12, 4294967295, 2147483648;

# A server that takes connections and never answers.
my $silent = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "listen: $!\n";
my $port   = $silent->sockport;

my $zoo = open_zoo(
    http_config => "wasm_shared_data 64k; wasm_metrics_zone 64k;\n",
    plugins     => {
        victim => { script => '{"on_request_headers": [{"if": ["request_header", "x-secret"], "then": [["return", "pause"]]}]}', location => 'wasm_pause_timeout 2s;' },
        spy    => { script => qq({"on_request_headers": [$probe]}) },
        owner  => {
            script => qq({
                "on_configure": [
                    ["set_shared_data", "key", "hush"],
                    {"op": "define_metric", "args": ["counter", "mine"], "as": "metric"}, ["record_metric", "\${metric}", 7]
                ],
                "on_request_headers": [
                    ["get_metric", "\${metric}"],
                    {"if": ["request_header", "x-open"],
                     "then": [["grpc_stream", "127.0.0.1:$port", "test.Greeter", "Hello"], ["return", "pause"]]}
                ],
                "on_grpc_close": [["echo", "the stream is over"]]
            }),
        },
        thief  => {
            script => '{"on_request_headers": [
                ["get_shared_data", "key"],
                {"op": "get_header_map_value", "args": ["request", "x-metric"], "as": "metric", "quiet": true},
                ["get_metric", "${metric}"], ["increment_metric", "${metric}", 1], ["record_metric", "${metric}", 99],
                {"op": "get_header_map_value", "args": ["request", "x-stream"], "as": "stream", "quiet": true},
                ["grpc_send", "${stream}", "x", 1], ["grpc_close", "${stream}"], ["grpc_cancel", "${stream}"]
            ]}',
        },
        late   => {
            script => '{
                "on_request_headers": [{"if": ["request_header", "x-secret"], "then": [["set", "id", "${context_id}"]],
                    "else": [["set_effective_context", "${id}"], ["get_header_map_value", "request", "x-secret"],
                             ["add_header_map_value", "response", "x-late", "1"], ["continue_stream", "request"]]}],
                "on_done": [{"if": ["request_header", "x-secret"], "then": [["return", false]]}]
            }',
        },
    },
);
my ($metric) = ($zoo->server->wait_for_log(qr/define_metric/) // '') =~ /-> OK (\d+)/;

subtest 'contexts of another plugin' => sub {
    my $waiting = $zoo->server->connect;
    $waiting->send_request('GET', '/victim', headers => ['X-Secret' => 'hush'], close => 1);
    ok $zoo->server->wait_for_log(qr/create http context/), 'are alive';
    $zoo->server->mark_log;
    is $zoo->get('/spy')->{status}, 200, 'a plugin that tries all ids';
    is $zoo->lines(qr/hush/), 0, 'sees nothing of their request';
    my @found = map { /set_effective_context (\d+) -> OK/ } $zoo->lines(qr/set_effective_context/);
    is_deeply \@found, [1, 2], 'and finds the two of its own VM';
    $waiting->close;
};

subtest 'data, metrics and streams of another plugin' => sub {
    $zoo->server->mark_log;
    my $waiting = $zoo->server->connect;
    $waiting->send_request('GET', '/owner', headers => ['X-Open' => 1], close => 1);
    my ($stream) = ($zoo->server->wait_for_log(qr/grpc_stream/) // '') =~ /-> OK (\d+)/;
    is $zoo->get('/thief', 'X-Metric' => $metric, 'X-Stream' => $stream)->{status}, 200, "metric $metric and stream $stream";
    my @results = map { /: \*\d+ (\w+) .*-> (\w+)/ ? "$1 $2" : () } $zoo->lines(qr/GET .thief /);
    is_deeply \@results, [map { "$_ NOT_FOUND" } qw(
        get_shared_data get_metric increment_metric record_metric grpc_send grpc_close grpc_cancel
    )], 'are not there';
    is $zoo->get('/owner')->{status}, 200, 'but for their owner';
    is $zoo->lines(qr/get_metric $metric -> OK 7\b/), 2, 'as they were';
    is $zoo->lines(qr/the stream is over/), 0, 'all of them';
    $waiting->close;
    $zoo->is_unharmed('afterwards');
};

subtest 'a request that is over' => sub {
    is $zoo->get('/late', 'X-Secret' => 'hush')->{status}, 200, 'while its context waits for proxy_done';
    $zoo->server->mark_log;
    is $zoo->get('/late')->{status}, 200, 'another request names that context';
    is $zoo->lines(qr/get_header_map_value .*hush/), 0, 'and reads nothing of it';
    ok $zoo->lines(qr/get_header_map_value request x-secret -> NOT_FOUND/), 'but that it is not there';
    $zoo->is_unharmed('afterwards');
};

$zoo->close;
done_testing;
