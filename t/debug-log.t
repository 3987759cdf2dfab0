# At the level "debug" nginx logs its timers, and reads what they point at: ours, too.

use lib '.';
use t::ProxyWasm;

my $s = start_nginx(
    log_level   => 'debug',
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;',
    config      => <<'CONF',
    location /t {
        proxy_wasm hostcalls '{
            "on_configure": [["set_tick_period_milliseconds", 10]],
            "on_tick": [["log", "info", "ticked"]],
            "on_request_headers": [
                ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/ok"], [":authority", "a"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [["continue_stream", "request"]]
        }';
        return 200;
    }
    location /ok { proxy_wasm off; return 200; }
CONF
);
my ($worker) = $s->worker_pids;
ok $s->wait_for_log(qr/ticked/), 'a plugin ticks';
is $s->get('/t')->{status}, 200, 'a plugin calls, and resumes its request';
is_deeply [$s->worker_pids], [$worker], 'by the same worker';
$s->stop;
done_testing;
