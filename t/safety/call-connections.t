# A plugin that makes more calls than there are connections for: clients, and the calls of other plugins, get theirs, and its own
# calls follow one after the other.

use lib '.';
use t::ProxyWasm;
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use ProxyWasm::Zoo 'open_zoo';

use constant { CALLS => 100, CONNECTIONS => 20, SHARE => 15 };

my $called = free_port();
my $call   = qq(["http_call", "127.0.0.1:$called", [[":method", "GET"], [":authority", "127.0.0.1:$called"], [":path", "/gate"]], "", [], 30000]);

my $zoo = open_zoo(
    plugins => {
        many => { script => '{"on_request_headers": [' . join(', ', ($call) x CALLS) . ', ["return", "pause"]],
            "on_http_call_response": [
                ["add_header_map_value", "response", "x-status", "${num_headers}"],
                {"if": ["eq", "${count}", "' . CALLS . '"], "then": [["send_local_response", 200, "${count}"]]}]}' },
        other => { script => qq({"on_request_headers": [["http_call", "127.0.0.1:$called", [[":method", "GET"], [":authority", "127.0.0.1:$called"], [":path", "/other"]]], ["return", "pause"]],
            "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["send_local_response", 200, "\${last}"]]}) },
    },
    http_config => <<"CONF",
    wasm_call_connections ${\ CONNECTIONS };
    server {
        listen 127.0.0.1:$called;
        location = /other { return 200 other; }
        location = /come { content_by_lua_block { ngx.print(here or 0, " ", most or 0) } }
        location = /gate { content_by_lua_block {
            here = (here or 0) + 1
            most = math.max(most or 0, here)
            gate = gate or require("ngx.semaphore").new(0)
            gate:wait(30)
            here = here - 1
            ngx.print("x")
        } }
        location = /open { content_by_lua_block { gate:post(1000) } }
    }
CONF
    config => "location = /come { proxy_pass http://127.0.0.1:$called; } location = /open { proxy_pass http://127.0.0.1:$called; }",
);

my $client = $zoo->server->connect;
$client->send_request('GET', '/many');
ok $zoo->server->_wait(sub { $zoo->get('/come')->{body} =~ /^@{[SHARE]} / }), 'the calls of one plugin get their share';
is $zoo->get('/other')->{body}, 'other', 'those of another get theirs';
$zoo->is_unharmed('meanwhile');
is $zoo->get('/come')->{body}, SHARE . ' ' . SHARE, 'and no more have come';

$zoo->get('/open');
is $client->read_response->{body}, CALLS, 'the others follow';
like $zoo->get('/come')->{body}, qr/^0 @{[SHARE]}$/, 'one after the other';
$zoo->is_unharmed('afterwards');

$zoo->close;

# Streams of gRPC to many servers, each of which needs a connection. They are servers that say nothing.
my $silent = IO::Socket::INET->new(LocalAddr => '0.0.0.0', Listen => 100, ReuseAddr => 1) or die "no listener: $!";
my $port   = $silent->sockport;
my $stream = join ', ', map { qq(["grpc_stream", "127.0.0.$_:$port", "a.B", "C"]) } 1 .. CONNECTIONS;
my $s      = start_nginx(
    http_config => <<"CONF",
    wasm_call_connections ${\ CONNECTIONS };
    wasm_plugin streams \$TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
    wasm_plugin other   \$TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
    server { listen 127.0.0.1:$called; return 200 other; }
CONF
    config => <<"CONF",
    location = /streams { proxy_wasm streams '{"on_request_headers": [$stream, $stream, ["return", "pause"]]}'; }
    location = /other { proxy_wasm other '{"on_request_headers": [
        ["http_call", "127.0.0.1:$called", [[":method", "GET"], [":authority", "a"], [":path", "/"]]], ["return", "pause"]],
        "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["send_local_response", 200, "\${last}"]]}'; }
    location = /status { wasm_status; }
CONF
);
sub connections { return decode_json($s->get('/status')->{body})->{call_connections} }
my $streams = $s->connect;
$streams->send_request('GET', '/streams');
ok $s->_wait(sub { connections() == SHARE }), 'streams of one plugin get its share';
is $s->get('/other')->{body}, 'other', 'calls of another get theirs';
# The connection of that call is kept.
is connections(), SHARE + 1, 'and the plugin has no more';
$streams->close;
ok $s->_wait(sub { decode_json($s->get('/status')->{body})->{calls} == 0 }), 'when they are over';
$streams = $s->connect;
$streams->send_request('GET', '/streams');
is $s->get('/other')->{body}, 'other', 'others come';
$streams->close;
$s->stop;
done_testing;
