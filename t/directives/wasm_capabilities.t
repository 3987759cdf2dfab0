# wasm_capabilities NAME…: the host functions that plugins may use.

use lib '.';
use t::ProxyWasm 'no_plan';

run_tests();

__DATA__

=== TEST 1: what is not listed is refused, and the plugin goes on
--- http_config
    wasm_capabilities random_get environ_sizes_get environ_get proc_exit fd_write proxy_log
        proxy_get_buffer_bytes,proxy_get_property;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["get_property", "request_method"], ["add_header_map_value", "request", "x-a", "b"]]}';
        return 200 "served\n";
    }
--- request
GET /t
--- response_body
served
--- error_log eval
["get_property request_method -> OK GET", qr/add_header_map_value request x-a b -> (?!OK)/]



=== TEST 2: without the directive all may be used
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["add_header_map_value", "request", "x-a", "b"]]}';
        return 200 "served\n";
    }
--- request
GET /t
--- response_body
served
--- error_log
add_header_map_value request x-a b -> OK



=== TEST 3: capabilities of a plugin stand above it
--- http_config
    wasm_capabilities proxy_log;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite capabilities=proxy_log,random_get,environ_sizes_get,environ_get,proc_exit,fd_write,proxy_get_buffer_bytes,proxy_add_header_map_value;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["add_header_map_value", "request", "x-a", "b"]]}';
        return 200 "served\n";
    }
--- request
GET /t
--- response_body
served
--- error_log
add_header_map_value request x-a b -> OK



=== TEST 4: a second one is refused
--- http_config
    wasm_capabilities proxy_log; wasm_capabilities proxy_log;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_capabilities": sets "capabilities" twice in .*nginx\.conf:\d+/
