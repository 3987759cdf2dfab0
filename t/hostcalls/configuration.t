# The plugin's configuration as a buffer, in every callback, and through the call that
# ABI 0.1.0 had for it.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Scripted;

run_tests();

__DATA__

=== TEST 1: PLUGIN_CONFIGURATION in every callback
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_configure":        [["get_buffer_bytes", "plugin_configuration", 0, 9]],
            "on_request_headers":  [["get_buffer_bytes", "plugin_configuration", 0, 9]],
            "on_response_headers": [["get_buffer_bytes", "plugin_configuration", 0, 9]],
            "on_log":              [["get_buffer_bytes", "plugin_configuration", 0, 9]]
        }';
        return 200;
    }
--- request
GET /t
--- grep_error_log eval: qr/get_buffer_bytes plugin_configuration 0 9 -> OK/
--- grep_error_log_out eval
"get_buffer_bytes plugin_configuration 0 9 -> OK\n" x 4



=== TEST 2: its size is the callback's argument, and the buffer's
--- user_files eval
[["plugin.conf", '{"trace": true, "on_configure": [["get_buffer_status", "plugin_configuration"]]}']]
--- config
    location /t {
        proxy_wasm hostcalls conf_file=html/plugin.conf;
        return 200;
    }
--- request
GET /t
--- error_log eval
[qr/on_configure 1 80/, qr/get_buffer_status plugin_configuration -> OK 80/]



=== TEST 3: each context has its own
--- http_config
    wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm;
--- config
    location /a { proxy_wasm rust of-a; return 200; }
    location /b { proxy_wasm rust of-b; return 200; }
--- request eval
["GET /a", "GET /b", "GET /a"]
--- response_headers eval
["X-Rust: of-a", "X-Rust: of-b", "X-Rust: of-a"]



=== TEST 4: a part of it
--- user_files eval
# The script ends in blanks, which the parts are taken from.
[["plugin.conf", '{"on_request_headers": ['
    . '["get_buffer_bytes", "plugin_configuration", 2, 18],'
    . '["get_buffer_bytes", "plugin_configuration", 1, "max"],'
    . '["get_buffer_bytes", "plugin_configuration", 100000, 1]]}']]
--- config
    location /t {
        proxy_wasm hostcalls conf_file=html/plugin.conf;
        return 200;
    }
--- request
GET /t
--- error_log
plugin_configuration 2 18 -> OK on_request_headers
plugin_configuration 100000 1 -> OK ""



=== TEST 5: it cannot be written
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["set_buffer_bytes", "plugin_configuration", "x"]]}';
        return 200;
    }
--- request
GET /t
--- error_log eval
qr/set_buffer_bytes plugin_configuration x -> (?!OK)\w+/



=== TEST 6: the VM has none, if none is written
--- config
    location /t {
        proxy_wasm hostcalls '{"on_configure": [["get_buffer_bytes", "vm_configuration"]]}';
        return 200;
    }
--- request
GET /t
--- error_log eval
qr/get_buffer_bytes vm_configuration -> OK ""/



=== TEST 7: proxy_get_configuration of ABI 0.1.0
--- config
    location /t {
        proxy_wasm hostcalls-0-1-0 '{
            "on_configure": [["get_configuration"]],
            "on_request_headers": [["get_configuration"]]
        }';
        return 200;
    }
--- request
GET /t
--- grep_error_log eval: qr/get_configuration -> OK \{/
--- grep_error_log_out
get_configuration -> OK {
get_configuration -> OK {



=== TEST 8: where there are no bodies they are empty
--- config
    location /t {
        proxy_wasm hostcalls '{"on_configure": [
            ["get_buffer_bytes", "request_body"], ["get_buffer_bytes", "response_body"],
            ["get_buffer_bytes", "call_response_body"], ["get_buffer_bytes", "grpc_message"]
        ]}';
        return 200;
    }
--- request
GET /t
--- grep_error_log eval: qr/get_buffer_bytes \w+ -> \w+/
--- grep_error_log_out
get_buffer_bytes request_body -> OK
get_buffer_bytes response_body -> OK
get_buffer_bytes call_response_body -> NOT_FOUND
get_buffer_bytes grpc_message -> OK
