# wasm_memory_limit SIZE; in http, memory_limit=SIZE of a plugin: how much linear memory an instance may have (256m).

use lib '.';
use t::ProxyWasm 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(request => 'GET /t') if !defined $block->request;
});

run_tests();

__DATA__

=== TEST 1: past the limit the guest gets no memory
--- http_config
    wasm_memory_limit 8m;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm p '{"on_request_headers": [["alloc", 5000000], ["alloc", 5000000]]}';
        return 200;
    }
--- error_log
alloc 5000000 -> OK
alloc 5000000 -> FAILED
plugin "p" gets no more memory:
are more than wasm_memory_limit (8388608)



=== TEST 2: a plugin has its own
--- http_config
    wasm_memory_limit 8m;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite memory_limit=16m;
--- config
    location /t {
        proxy_wasm p '{"on_request_headers": [["alloc", 5000000], ["alloc", 5000000]]}';
        return 200;
    }
--- error_log
alloc 5000000 -> OK
--- no_error_log
FAILED



=== TEST 3: without it an instance has 256 MiB
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm p '{"on_request_headers": [["alloc", 100000000], ["alloc", 200000000]]}';
        return 200;
    }
--- error_log
alloc 100000000 -> OK
alloc 200000000 -> FAILED



=== TEST 4: a plugin that starts with more is refused when nginx reads its configuration
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm memory_limit=64k;
--- config
--- check_config
--- must_die
--- error_log
bytes of memory, but its limit is 65536



=== TEST 5: it is a size
--- http_config
    wasm_memory_limit much;
--- config
--- check_config
--- must_die
--- error_log
"much" is not a size



=== TEST 6: it is said once
--- http_config
    wasm_memory_limit 8m;
    wasm_memory_limit 9m;
--- config
--- check_config
--- must_die
--- error_log
"wasm_memory_limit"
