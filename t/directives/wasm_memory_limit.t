# wasm_memory_limit SIZE: of every instance, unless its wasm_plugin line says otherwise.

use lib '.';
use t::ProxyWasm 'no_plan';

run_tests();

__DATA__

=== TEST 1: growth past it fails in the guest
--- http_config
    wasm_memory_limit 8m;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["alloc", 16000000]]}';
        return 200 "served\n";
    }
--- request
GET /t
--- response_body
served
--- error_log
alloc 16000000 -> FAILED
--- no_error_log
[error]



=== TEST 2: below it there is room
--- http_config
    wasm_memory_limit 64m;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["alloc", 16000000]]}';
        return 200 "served\n";
    }
--- request
GET /t
--- response_body
served
--- no_error_log
[error]



=== TEST 3: memory_limit of a plugin stands above it
--- http_config
    wasm_memory_limit 8m;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite memory_limit=64m;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["alloc", 16000000]]}';
        return 200 "served\n";
    }
--- request
GET /t
--- response_body
served
--- no_error_log
[error]



=== TEST 4: what is no size is refused
--- http_config
    wasm_memory_limit lots;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_memory_limit": "lots" is not a size; .* in .*nginx\.conf:\d+/



=== TEST 5: and a second one
--- http_config
    wasm_memory_limit 1m; wasm_memory_limit 2m;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_memory_limit": sets "memory_limit" twice in .*nginx\.conf:\d+/
