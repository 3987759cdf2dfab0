# proxy_set_tick_period_milliseconds and proxy_on_tick.

use lib '.';
use t::ProxyWasm 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;' . ($block->http_config // ''));
    $block->set_value(request => 'GET /t') if !defined $block->request;
});

run_tests();

__DATA__

=== TEST 1: ticks come without traffic, until they are turned off
--- config
    location /t { return 200 "ok"; }
    location /ticking {
        proxy_wasm hostcalls '{
            "on_configure": [["set_tick_period_milliseconds", 20]],
            "on_tick": [
                ["echo", "tick ${count} of ${kind} ${context_id}"],
                {"if": ["eq", "${count}", "3"], "then": [["set_tick_period_milliseconds", 0]]}
            ]
        }';
    }
--- response_body chomp
ok
--- wait: 0.4
--- grep_error_log eval: qr/tick \d of plugin \d/
--- grep_error_log_out
tick 1 of plugin 1
tick 2 of plugin 1
tick 3 of plugin 1



=== TEST 2: each PluginContext has a period of its own
--- config
    location /t { return 200 "ok"; }
    location /a {
        proxy_wasm hostcalls '{
            "on_configure": [["set_tick_period_milliseconds", 20]],
            "on_tick": [{"op": "echo", "args": ["a"], "quiet": true}, ["log", "info", "tick of a"], ["set_tick_period_milliseconds", 0]]
        }';
    }
    location /b {
        proxy_wasm hostcalls '{
            "on_configure": [["set_tick_period_milliseconds", 10]],
            "on_tick": [["log", "info", "tick of b"], ["set_tick_period_milliseconds", 0]]
        }';
    }
--- response_body chomp
ok
--- wait: 0.2
--- error_log
tick of a
tick of b
--- no_error_log
[error]



=== TEST 3: a call from a tick
--- config
    location /called { return 200 "from a tick"; }
    location /t { return 200 "ok"; }
    location /ticking {
        proxy_wasm hostcalls '{
            "on_configure": [["set_tick_period_milliseconds", 20]],
            "on_tick": [
                ["set_tick_period_milliseconds", 0],
                ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_SERVER_PORT"], [":path", "/called"]]]
            ],
            "on_http_call_response": [["get_buffer_bytes", "call_response_body"]]
        }';
    }
--- response_body chomp
ok
--- wait: 0.2
--- error_log
get_buffer_bytes call_response_body -> OK from a tick
run http callback callout id: 0, plugin ctx id: 1
--- no_error_log
[error]



=== TEST 4: a call from on_configure
--- config
    location /called { return 200 "configured"; }
    location /t { return 200 "ok"; }
    location /other {
        proxy_wasm hostcalls '{
            "on_configure": [["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_SERVER_PORT"], [":path", "/called"]]]],
            "on_http_call_response": [["get_buffer_bytes", "call_response_body"]]
        }';
    }
--- response_body chomp
ok
--- wait: 0.2
--- error_log
get_buffer_bytes call_response_body -> OK configured
--- no_error_log
[error]
