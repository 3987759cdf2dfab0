# Plugins live from the worker's start, before anybody has asked anything: ticks, and calls made in them.

use lib '.';
use t::ProxyWasm;

my $upstream = free_port();
my $s = start_nginx(
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;',
    config      => <<"E",
    location /tick {
        proxy_wasm hostcalls '{
            "on_configure": [["set_tick_period_milliseconds", 10]],
            "on_tick": [["set_tick_period_milliseconds", 0], ["log", "info", "ticked"]]
        }';
    }
    location /call {
        proxy_wasm hostcalls '{
            "on_configure": [["http_call", "127.0.0.1:$upstream", [[":method", "GET"], [":path", "/"], [":authority", "a"]]]],
            "on_http_call_response": [["log", "info", "called back with \${num_headers} headers"]]
        }';
    }
E
);

ok $s->wait_for_log(qr/ticked/), 'a tick comes without a request';
ok $s->wait_for_log(qr/called back with [03] headers/), 'and so does the outcome of a call';

ok $s->reload, 'after a reload';
$s->mark_log;
ok $s->reload, 'and another';
ok $s->wait_for_log(qr/ticked/), 'the same in the new worker';
$s->stop;
done_testing;
