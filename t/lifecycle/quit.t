# An old worker ends: what a plugin has under way outside requests keeps it for a short while at
# most, and a request only until worker_shutdown_timeout.

use lib '.';
use t::ProxyWasm;
use IO::Socket::INET;

# A server that takes connections and never answers.
my $silent = IO::Socket::INET->new(Listen => 100, LocalAddr => '127.0.0.1') or die $!;
my $port   = $silent->sockport;

my $plugin  = 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;';
my $headers = '[[":method", "GET"], [":path", "/"], [":authority", "a"]]';
my $call    = qq(["http_call", "127.0.0.1:$port", $headers, "", [], 3600000]);
my $short   = qq(["http_call", "127.0.0.1:$port", $headers, "", [], 50]);
my $own     = q(["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT",)
    . q( [[":method", "GET"], [":path", "/ok"], [":authority", "a"]]]);

# What a plugin does in its first tick, and from then on; and the line that says that it does.
my %outside_requests = (
    'a call that is not answered' => [qq("on_tick": [$call]), qr/register http call callout id: 0/],
    'a call to a name that nobody resolves' =>
        [qq("on_tick": [["http_call", "a.name", $headers]]), qr/register http call callout id: 0/],
    'calls one after the other' =>
        [qq("on_tick": [$own], "on_http_call_response": [$own]), qr/run http callback callout id: 3/],
    'calls that fail one after the other' =>
        [qq("on_tick": [$short], "on_http_call_response": [$short]), qr/run http callback callout id: 3/],
    'a call of gRPC' =>
        [qq("on_tick": [["grpc_call", "127.0.0.1:$port", "S", "M", [], "m", 3600000]]), qr/grpc_call .* -> OK/],
    'a stream of gRPC' => [qq("on_tick": [["grpc_stream", "127.0.0.1:$port", "S", "M"]]), qr/grpc_stream .* -> OK/],
    'ticks' => [q("on_tick": [["log", "info", "ticked"]]), qr/ticked/],
);

for my $shutdown ('', 'worker_shutdown_timeout 1s;') {
    for my $what (sort keys %outside_requests) {
        my ($script, $line) = @{ $outside_requests{$what} };
        $script =~ s/"on_tick": \[/"on_tick": [["set_tick_period_milliseconds", 0], / if $what ne 'ticks';
        subtest $what . ($shutdown && ' with worker_shutdown_timeout') => sub {
            my $s = start_nginx(
                main_config => $shutdown,
                http_config => "$plugin resolver 127.0.0.1:$port;",
                config      => <<"CONF",
    location /t { proxy_wasm hostcalls '{"on_configure": [["set_tick_period_milliseconds", 10]], $script}'; }
    location /ok { proxy_wasm off; return 200; }
CONF
            );
            ok $s->wait_for_log($line), 'is under way';
            my @old = $s->worker_pids;
            ok $s->reload, 'nginx reloads';
            ok $s->wait_for_exit($_), 'the old worker ends' for @old;
            ok $s->stop, 'and so does nginx';
        };
    }
}

subtest 'a call that is under way is waited for' => sub {
    my $server = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die $!;
    my $asks   = $call =~ s/$port/$server->sockport/er;
    my $s = start_nginx(
        http_config => $plugin,
        config      => <<"CONF",
    location /t {
        proxy_wasm hostcalls '{
            "on_configure": [["set_tick_period_milliseconds", 10]],
            "on_tick": [["set_tick_period_milliseconds", 0], $asks],
            "on_http_call_response": [["get_buffer_bytes", "call_response_body"]]
        }';
    }
CONF
    );
    my $asked = $server->accept;
    $asked->recv(my $request, 4096);
    $s->signal('QUIT');
    ok $s->wait_for_log(qr/gracefully shutting down/), 'the worker is told to quit';
    print {$asked} "HTTP/1.0 200 OK\r\n\r\nlate";
    close $asked;
    ok $s->stop, 'nginx ends';
    like $s->error_log, qr/get_buffer_bytes call_response_body -> OK late/, 'after the plugin was told';
};

for my $protocol ('--http1.1', '--http2-prior-knowledge') {
    for my $hold ('on_request_headers', 'on_response_headers') {
        subtest "worker_shutdown_timeout ends a request that is held in $hold, $protocol" => sub {
            my $s = start_nginx(
                main_config => 'worker_shutdown_timeout 100ms;',
                http_config => "$plugin wasm_pause_timeout 1h;",
                http2       => $protocol eq '--http2-prior-knowledge',
                config      => <<"CONF",
    location /t { proxy_wasm hostcalls '{"$hold": [$call, ["return", "pause"]]}'; root html; }
CONF
            );
            my $client = fork // die $!;
            if (!$client) {
                open STDOUT, '>', '/dev/null';
                exec 'curl', '-s', $protocol, 'http://127.0.0.1:' . $s->port . '/t';
            }
            ok $s->wait_for_log(qr/register http call callout id: 0/), 'it is held';
            ok $s->stop, 'nginx ends';
            waitpid $client, 0;
            isnt $? >> 8, 0, 'the client learns of it';
        };
    }
}

done_testing;
