# wasm_worker_memory SIZE; in http: how much a worker keeps for all of its plugins beside their linear memory (1g).

use lib '.';
use t::ProxyWasm 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(request => 'GET /t') if !defined $block->request;
});

run_tests();

__DATA__

=== TEST 1: plugins share it
--- http_config
    wasm_worker_memory 1m;
    wasm_plugin one $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
    wasm_plugin two $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /called { return 200; }
    location /t {
        proxy_wasm one '{"on_request_headers": [
            {"op": "http_call", "args": ["127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":authority", "a"], [":path", "/called"]], {"repeat": ["x", 600000]}], "quiet": true}
        ]}';
        proxy_wasm two '{"on_request_headers": [
            {"op": "http_call", "args": ["127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":authority", "a"], [":path", "/called"]], {"repeat": ["x", 600000]}], "quiet": true, "as": "call"},
            ["send_local_response", 200, "${call}"]
        ]}';
    }
--- response_body chomp
INTERNAL_FAILURE
--- error_log
plugin "two" is refused 604
bytes past wasm_worker_memory (1048576)



=== TEST 2: it is a size
--- http_config
    wasm_worker_memory much;
--- config
--- check_config
--- must_die
--- error_log
"wasm_worker_memory": "much" is not a size



=== TEST 3: it is said once
--- http_config
    wasm_worker_memory 8m;
    wasm_worker_memory 9m;
--- config
--- check_config
--- must_die
--- error_log
"wasm_worker_memory": is duplicate
