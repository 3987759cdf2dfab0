# wasm_call_connections NUMBER; in http: how many connections a worker has for calls of plugins. How they are shared:
# t/safety/call-connections.t.

use lib '.';
use t::ProxyWasm 'no_plan';

run_tests();

__DATA__

=== TEST 1: a call that gets no connection waits for one, and says so
--- http_config
    wasm_call_connections 1;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /called { return 200 "called"; }
    location /t {
        proxy_wasm p '{
            "on_request_headers": [
                ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_SERVER_PORT"], [":path", "/called"]]],
                ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_SERVER_PORT"], [":path", "/called"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [
                ["get_buffer_bytes", "call_response_body"],
                {"if": ["eq", "${count}", "2"], "then": [["send_local_response", 200, "${last}"]]}
            ]
        }';
    }
--- request
GET /t
--- response_body chomp
called
--- error_log
[warn]
calls of plugins wait: 1 connections are in use (wasm_call_connections)



=== TEST 2: there is at least one
--- http_config
    wasm_call_connections 0;
--- config
--- check_config
--- must_die
--- error_log
"wasm_call_connections": calls need a connection



=== TEST 3: it is a number
--- http_config
    wasm_call_connections many;
--- config
--- check_config
--- must_die
--- error_log
"wasm_call_connections": "many" is not a number
