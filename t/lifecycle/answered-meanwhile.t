# A call's callback answers in place of a response, and the rest of that response is there before the
# answer goes: nginx ends the request by itself, and the connection serves on.

use lib '.';
use t::ProxyWasm;
use IO::Select ();
use IO::Socket::INET ();

my $upstream = IO::Socket::INET->new(Listen => 9, LocalAddr => '127.0.0.1') or die $!;
my $port     = $upstream->sockport;

my $call = '["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/quick"], [":authority", "u"]]]';
my $slowly = join ', ', ('["set", "long", {"repeat": ["a", 30000000]}], ["set", "long", ""]') x 3;
my $s = start_nginx(
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm callback_timeout=1m;
        proxy_cache_path cache keys_zone=kept:1m;',
    config      => <<"E",
    proxy_wasm hostcalls '{"on_response_body": [{"if": ["eq", "\${count}", "1"], "then": [$call]}, ["return", "pause"]],
        "on_http_call_response": [["send_local_response", 418, "tea"], ["log", "info", "it has answered"], $slowly]}';
    location = /response { proxy_pass http://127.0.0.1:$port; }
    location = /cached { proxy_cache kept; proxy_cache_valid any 1h; proxy_pass http://127.0.0.1:$port; }
    location = /quick { proxy_wasm off; return 200 quick; }
    location = /next { proxy_wasm off; return 200 next; }
E
);

for my $path ('/response', '/cached') {
    my $client = $s->connect(timeout => 20);
    $s->mark_log;
    $client->send_request('GET', $_) for $path, '/next';
    ok +IO::Select->new($upstream)->can_read(20), "$path: upstream is asked";
    my $source = $upstream->accept;
    $source->blocking(1);
    sysread $source, my $request, 4096;
    syswrite $source, "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" . "0" x 10000;
    # The callback takes its time, and nginx waits.
    ok $s->wait_for_log(qr/it has answered/), "$path: the plugin answers";
    syswrite $source, "0" x 10000;
    my $got = $client->read_response;
    is "$got->{status} $got->{body}", '418 tea', "$path: the client has the answer";
    $got = eval { $client->read_response } || { body => $@ };
    is $got->{body}, 'next', "$path: and then that to the request that it sent meanwhile";
}
$s->stop;
done_testing;
