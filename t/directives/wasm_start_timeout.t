# wasm_start_timeout TIME|off; in http, start_timeout= of a plugin: how long start and configure may run (60s).

use lib '.';
use t::ProxyWasm 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(request => 'GET /t') if !defined $block->request;
});

run_tests();

__DATA__

=== TEST 1: a configuration that takes longer fails
--- http_config
    wasm_start_timeout 20ms;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t { proxy_wasm p '{"on_configure": [["loop"]]}'; return 200; }
--- error_code: 503
--- error_log
failed to call function: proxy_on_configure of plugin "p" in context 1: it ran past its timeout
failed to configure plugin context 1, rc: -1



=== TEST 2: a plugin has its own
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite start_timeout=20ms;
--- config
    location /t { proxy_wasm p '{"on_vm_start": [["loop"]]}'; return 200; }
--- error_code: 503
--- error_log
failed to call function: proxy_on_vm_start of plugin "p"



=== TEST 3: off lifts it, not that of callbacks
--- http_config
    wasm_start_timeout off;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite callback_timeout=20ms;
--- config
    location /t { proxy_wasm p '{"on_request_headers": [["loop"]]}'; return 200; }
--- error_code: 503
--- error_log
failed to call function: proxy_on_request_headers
--- no_error_log
proxy_on_configure



=== TEST 4: it is a time
--- http_config
    wasm_start_timeout soon;
--- config
--- check_config
--- must_die
--- error_log
"soon" is not a time
