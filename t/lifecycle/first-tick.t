# What a plugin starts while a worker starts goes on by itself: it does not wait for the first request.

use lib '.';
use t::ProxyWasm;

my $s = start_nginx(
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;',
    config      => q(location /t {
        proxy_wasm hostcalls '{"on_configure": [["set_tick_period_milliseconds", 10]], "on_tick": [["log", "info", "ticked"]]}';
    }),
);
ok $s->wait_for_log(qr/ ticked$/, timeout => 5), 'a tick';
$s->stop;

$s = start_nginx(
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;',
    config      => q(
    location /called { return 200 "hello"; }
    location /t {
        proxy_wasm hostcalls '{
            "on_configure": [["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":path", "/called"]]]],
            "on_http_call_response": [["get_buffer_bytes", "call_response_body"]]
        }';
    }),
);
ok $s->wait_for_log(qr/get_buffer_bytes call_response_body -> OK hello/, timeout => 5), 'a call';
$s->stop;

done_testing;
