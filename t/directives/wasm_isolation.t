# wasm_isolation worker|request; in http, isolation= of a plugin: who shares an instance (worker). What follows from it: t/isolation.t.

use lib '.';
use t::ProxyWasm 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    return if defined $block->check_config;
    $block->set_value(pipelined_requests => ['GET /t', 'GET /t']);
    $block->set_value(config => <<'E');
    location /t {
        proxy_wasm p '{
            "on_configure": [["set", "seen", "nothing"]],
            "on_request_headers": [
                ["send_local_response", 200, "${seen}"], ["set", "seen", "a request"], ["return", "pause"]
            ]
        }';
    }
E
});

run_tests();

__DATA__

=== TEST 1: worker is the default
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
--- response_body eval
["nothing", "a request"]



=== TEST 2: for all plugins
--- http_config
    wasm_isolation request;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
--- response_body eval
["nothing", "nothing"]



=== TEST 3: for one plugin
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm isolation=request;
--- config
--- response_body eval
["nothing", "nothing"]



=== TEST 4: a plugin's own option counts
--- http_config
    wasm_isolation request;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm isolation=worker;
--- config
--- response_body eval
["nothing", "a request"]



=== TEST 5: there are two
--- http_config
    wasm_isolation thread;
--- config
--- check_config
--- must_die
--- error_log
"wasm_isolation": "thread" is not an isolation; write worker or request
