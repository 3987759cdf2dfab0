# proxy_grpc_stream and its callbacks: messages both ways, with a server of Google's gRPC, in clear text and over TLS.

use lib '.';
use t::ProxyWasm;
use File::Basename ();
use File::Temp ();
use IO::Socket::INET ();
use ProxyWasm::Certificates ();

my $program = File::Basename::dirname($ENV{TEST_NGINX_PLUGINS}) . '/servers/grpc';
if (!-x $program) {
    plan(skip_all => "$program is not there: building it takes Go");
}

my $certs = File::Temp->newdir;
chmod 0755, $certs;
ProxyWasm::Certificates->new("$certs")->issue('grpc', 'DNS:localhost,IP:127.0.0.1');

my @pids;
END { kill 'KILL', @pids if @pids }

# Answers the port that a server listens on.
sub start_server {
    my (@certificate) = @_;
    my $port = free_port();
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        exec $program, "127.0.0.1:$port", @certificate or die "$program: $!\n";
    }
    push @pids, $pid;
    for (1 .. 100) {
        return $port if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
        select undef, undef, undef, 0.05;
    }
    die "$program does not listen\n";
}

my ($clear, $tls, $mortal) = (start_server(), start_server("$certs/grpc.crt", "$certs/grpc.key"), start_server());

# A field of Protocol Buffers that holds bytes.
sub field {
    my ($number, $value) = @_;
    return pack('CC', $number << 3 | 2, length $value) . $value;
}

# Envoy's GrpcService { google_grpc { target_uri, channel_credentials { ssl_credentials {} } } }.
my $google_grpc_tls = unpack 'H*', field(2, field(1, "dns:///127.0.0.1:$tls") . field(2, field(1, '')));

# A location whose plugin runs $on_request, then waits; $callbacks say what becomes of what the server sends.
sub location {
    my ($path, $on_request, $callbacks) = @_;
    return <<"CONF";
    location $path {
        proxy_wasm hostcalls '{
            "on_request_headers": [$on_request, ["return", "pause"]],
            $callbacks
        }';
    }
CONF
}

my $echo = <<'STEPS';
            "on_grpc_receive_initial_metadata": [["get_header_map_value", "grpc_initial_metadata", "x-seen"]],
            "on_grpc_receive": [
                ["get_buffer_bytes", "grpc_message"],
                {"if": ["eq", "${last}", "one"], "then": [["grpc_send", "${token}", "two", 1]]}
            ],
            "on_grpc_receive_trailing_metadata": [["get_header_map_value", "grpc_trailing_metadata", "x-trailer"]],
            "on_grpc_close": [["get_status"], ["send_local_response", 200, "closed ${last}"]]
STEPS

my $s = start_nginx(
    http_config => <<"CONF",
    wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_ssl_trusted_certificate $certs/ca.crt;
CONF
    config => location('/echo', qq(["grpc_stream", "127.0.0.1:$clear", "a.B", "Echo", [["x-in", "yes"]]], ["grpc_send", "\${last}", "one"]), $echo)
        . location('/tls', qq(["grpc_stream", "grpcs://127.0.0.1:$tls", "a.B", "Echo", [["x-in", "tls"]]], ["grpc_send", "\${last}", "one"]), $echo)
        . location('/google', qq(["grpc_stream", {"hex": "$google_grpc_tls"}, "a.B", "Echo", [["x-in", "google"]]], ["grpc_send", "\${last}", "one"]), $echo)
        . location('/unary', qq(["grpc_call", "grpcs://127.0.0.1:$tls", "a.B", "Echo", [["x-in", "unary"]], "a call", 5000]), <<'STEPS')
            "on_grpc_receive": [["get_buffer_bytes", "grpc_message"], ["send_local_response", 200, "${last}"]],
            "on_grpc_close": [["get_status"], ["send_local_response", 500, "${last}"]]
STEPS
        . location('/half-closed', qq(["grpc_stream", "127.0.0.1:$clear", "a.B", "Echo"], ["set", "id", "\${last}"],
            ["grpc_send", "\${id}", "last words"], ["grpc_close", "\${id}"], ["grpc_send", "\${id}", "too late"]), <<'STEPS')
            "on_grpc_receive": [["get_buffer_bytes", "grpc_message"], ["set", "got", "${last}"]],
            "on_grpc_close": [["get_status"], ["send_local_response", 200, "${got}, ${status_code}"]]
STEPS
        . location('/dies', qq(["grpc_stream", "127.0.0.1:$mortal", "a.B", "Echo", [["x-in", "mortal"]]], ["grpc_send", "\${last}", "hello"]), $echo)
        . location('/many', join(', ', (qq(["grpc_stream", "127.0.0.1:$clear", "a.B", "Echo"], ["grpc_send", "\${last}", "m", 1])) x 20), <<'STEPS')
            "on_grpc_close": [["get_status"], {"if": ["eq", "${count}", "20"], "then": [["send_local_response", 200, "${count} closed"]]}]
STEPS
        . location('/wrong', qq(["grpc_stream", "127.0.0.1:$tls", "a.B", "Echo"], ["grpc_send", "\${last}", "one"]), $echo)
        . location('/refuse', qq(["grpc_stream", "127.0.0.1:$clear", "a.B", "Refuse"]), $echo)
        . location('/cancel', qq(["grpc_stream", "127.0.0.1:$clear", "a.B", "Count"], ["grpc_send", "\${last}", "n"]), <<'STEPS'),
            "on_grpc_receive": [
                ["get_buffer_bytes", "grpc_message"],
                ["grpc_cancel", "${token}"],
                ["grpc_send", "${token}", "more"],
                ["send_local_response", 200, "cancelled"]
            ],
            "on_grpc_close": [["echo", "closed"]]
STEPS
);

is $s->get('/echo')->{body}, 'closed 0 ', 'a stream, from beginning to end';
ok $s->wait_for_log(qr/get_header_map_value grpc_initial_metadata x-seen -> OK yes/), 'initial metadata';
ok $s->wait_for_log(qr/get_buffer_bytes grpc_message -> OK one/), 'a message there and back';
ok $s->wait_for_log(qr/get_buffer_bytes grpc_message -> OK two/), 'and the next';
ok $s->wait_for_log(qr/get_header_map_value grpc_trailing_metadata x-trailer -> OK at-the-end/), 'trailing metadata';

is $s->get('/tls')->{body}, 'closed 0 ', 'over TLS';
ok $s->wait_for_log(qr/x-seen -> OK tls/), 'as well';
like $s->get('/wrong')->{body}, qr/^closed 14/, 'clear text to a server of TLS';

is $s->get('/google')->{body}, 'closed 0 ', 'to the target of a GrpcService with credentials';
ok $s->wait_for_log(qr/x-seen -> OK google/), 'which are TLS';
is $s->get('/unary')->{body}, 'a call', 'a unary call over TLS';

is $s->get('/half-closed')->{body}, 'last words, 0', 'a stream that the plugin closes is told of until the server closes it, too';
ok $s->wait_for_log(qr/grpc_send \d+ too late -> BAD_ARGUMENT/), 'but nothing more is sent';
is $s->get('/many')->{body}, '20 closed', 'twenty streams at once';

is $s->get('/refuse')->{body}, 'closed 7 not you', 'a status and its message';

$s->mark_log;
like $s->get('/cancel')->{body}, qr/^cancelled$/, 'a stream that is cancelled in its first message';
ok $s->wait_for_log(qr/grpc_send \d+ more -> NOT_FOUND/), 'is not there any more';
unlike $s->error_log, qr/grpc_message -> OK n 2|closed/, 'and nothing more is told of it';

$s->mark_log;
my $c = $s->connect;
$c->send_request('GET', '/dies');
ok $s->wait_for_log(qr/x-seen -> OK mortal/), 'a stream is open';
kill 'KILL', $pids[2];
like $c->read_response->{body}, qr/^closed 14/, 'a server that dies closes it';

$s->stop;
done_testing;
