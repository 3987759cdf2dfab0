# proxy_set_effective_context: what the host functions after it are about.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Scripted;

run_tests();

__DATA__

=== TEST 1: as the plugin's context there is no request
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["get_header_map_value", "request", "x-a"],
            ["set_effective_context", "${plugin_id}"],
            ["get_header_map_value", "request", "x-a"],
            ["get_property", "plugin_name"],
            ["set_effective_context", "${context_id}"],
            ["get_header_map_value", "request", "x-a"]
        ]}';
        return 200;
    }
--- more_headers
X-A: 1
--- request
GET /t
--- grep_error_log eval: qr/(?:set_effective_context|get_header_map_value|get_property) .*? -> \w+/
--- grep_error_log_out
get_header_map_value request x-a -> OK
set_effective_context 1 -> OK
get_header_map_value request x-a -> NOT_FOUND
get_property plugin_name -> OK
set_effective_context 2 -> OK
get_header_map_value request x-a -> OK



=== TEST 2: a context that there is not
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["set_effective_context", 77],
            ["set_effective_context", 0],
            ["get_header_map_value", "request", "x-a"]
        ]}';
        return 200;
    }
--- more_headers
X-A: still
--- request
GET /t
--- error_log
set_effective_context 77 -> BAD_ARGUMENT
get_header_map_value request x-a -> OK still



=== TEST 3: it lasts for the callback
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["set_effective_context", "${plugin_id}"]],
            "on_response_headers": [["get_header_map_value", "request", "x-a"]]
        }';
        return 200;
    }
--- more_headers
X-A: back again
--- request
GET /t
--- error_log
get_header_map_value request x-a -> OK back again
