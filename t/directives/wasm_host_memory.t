# wasm_host_memory SIZE; in http, host_memory=SIZE of a plugin: how much a worker keeps for the plugin beside its linear memory (256m).
# What counts: t/safety/host-memory.t.

use lib '.';
use t::ProxyWasm 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(request => 'GET /t') if !defined $block->request;
});

run_tests();

__DATA__

=== TEST 1: past it a call is refused, with a line that says why
--- http_config
    wasm_host_memory 1m;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /called { return 200; }
    location /t {
        proxy_wasm p '{"on_request_headers": [
            {"op": "http_call", "args": ["127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":authority", "a"], [":path", "/called"]], {"repeat": ["x", 600000]}], "quiet": true, "as": "first"},
            {"op": "http_call", "args": ["127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":authority", "a"], [":path", "/called"]], {"repeat": ["x", 600000]}], "quiet": true, "as": "second"},
            ["send_local_response", 200, "${first} ${second}"]
        ]}';
    }
--- response_body chomp
0 INTERNAL_FAILURE
--- error_log
plugin "p" is refused 604
bytes past wasm_host_memory (1048576)



=== TEST 2: a plugin has its own
--- http_config
    wasm_host_memory 1m;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite host_memory=2m;
--- config
    location /t {
        proxy_wasm p '{"on_request_headers": [["send_local_response", 200, {"repeat": ["x", 1500000]}]]}';
    }
--- response_body eval: "x" x 1_500_000
--- no_error_log
[error]



=== TEST 3: it is a size
--- http_config
    wasm_host_memory much;
--- config
--- check_config
--- must_die
--- error_log
"wasm_host_memory": "much" is not a size



=== TEST 4: it is said once
--- http_config
    wasm_host_memory 8m;
    wasm_host_memory 9m;
--- config
--- check_config
--- must_die
--- error_log
"wasm_host_memory": sets "host_memory" twice
