# Directives that an operator of APISIX adds through http_configuration_snippet hold for the plugins that APISIX loads. Others of
# that list in docs/apisix.md: wasm_pause_timeout in beyond.t, wasm_request_body and wasm_response_body in bodies.t,
# wasm_body_buffer_size in t/lua/response-pause.t.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Apisix;

no_long_string();
run_tests();

__DATA__

=== TEST 1: wasm_memory_limit
--- http_config
    wasm_memory_limit 8m;
--- script
{"on_request_headers": [["alloc", 5000000], ["alloc", 5000001]]}
--- error_log
alloc 5000000 -> OK
alloc 5000001 -> FAILED
--- no_error_log
[error]



=== TEST 2: wasm_callback_timeout
--- http_config
    wasm_callback_timeout 20ms;
--- script
{"on_request_headers": [["loop"]]}
--- error_code: 503
--- error_log
proxy_on_request_headers of plugin "hostcalls" in context 2: it ran past its timeout



=== TEST 3: wasm_start_timeout
--- http_config
    wasm_start_timeout 20ms;
--- script
{"on_configure": [["loop"]]}
--- error_code: 503
--- error_log
proxy_on_configure of plugin "hostcalls" in context 1: it ran past its timeout
hostcalls: failed to fetch wasm plugin ctx: failed to run proxy_on_configure



=== TEST 4: wasm_failure open: the request goes on without a plugin that failed
--- http_config
    wasm_failure open;
--- script
{"on_request_headers": [["trap"]], "on_response_headers": [["add_header_map_value", "response", "x-a", "b"]]}
--- response_headers
X-A:
--- response_body_like: ^GET /t
--- error_log
failed to call function: proxy_on_request_headers
--- no_error_log
failed to run wasm plugin



=== TEST 5: wasm_failure open, and a configuration that is refused: that is APISIX's to handle
--- http_config
    wasm_failure open;
--- script
{"on_configure": [["return", false]]}
--- error_code: 503
--- error_log
hostcalls: failed to fetch wasm plugin ctx: failed to run proxy_on_configure



=== TEST 6: wasm_env
--- http_config
    wasm_env REGION=north;
--- script
{"on_request_headers": [["getenv", "REGION"]]}
--- error_log
getenv REGION -> OK north
--- no_error_log
[error]



=== TEST 7: wasm_capabilities
--- http_config
    wasm_capabilities random_get environ_sizes_get environ_get proc_exit proxy_log proxy_get_buffer_bytes proxy_get_property;
--- script
{"on_request_headers": [["get_property", "host"], ["get_header_map_value", "request", "host"]]}
--- error_log
get_property host -> OK localhost
get_header_map_value request host -> INTERNAL_FAILURE
plugin "hostcalls" called proxy_get_header_map_value, which is not among its capabilities



=== TEST 8: wasm_shared_data, wasm_shared_queue
--- http_config
    wasm_shared_data 64k;
    wasm_shared_queue 64k;
--- script
{"on_request_headers": [["set_shared_data", "k", "v"], ["set_shared_data", "k", {"repeat": ["v", 100000]}], ["get_shared_data", "k"],
    ["register_shared_queue", "q"], ["enqueue_shared_queue", "${last}", {"repeat": ["i", 100000]}]]}
--- error_log eval
["set_shared_data k v -> OK", qr/set_shared_data k vvv.* -> BAD_ARGUMENT/, "get_shared_data k -> OK v",
    qr/enqueue_shared_queue \d+ iii.* -> BAD_ARGUMENT/]



=== TEST 9: wasm_metrics_zone, and a server of their own for the two pages
--- http_config
    wasm_metrics_zone 128k;
    server {
        listen unix:$TEST_NGINX_SERVER_ROOT/pages.sock;
        location = /metrics { wasm_metrics; }
        location = /status { wasm_status; }
    }
--- config
    location /pages/ { proxy_pass http://unix:$TEST_NGINX_SERVER_ROOT/pages.sock:/; }
--- script
{"on_request_headers": [["define_metric", "counter", "seen"], ["increment_metric", "${last}", 1]]}
--- request eval
["GET /t", "GET /pages/metrics", "GET /pages/status"]
--- response_body_like eval
[qr/^GET /, qr/^seen(?:\{.*\})? 1$/m, qr/"name": "hostcalls"/]
--- no_error_log
[error]
