# wasm_failure closed|open; in http, failure= of a plugin: what becomes of a request whose plugin failed (closed).

use lib '.';
use t::ProxyWasm 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(request => 'GET /t') if !defined $block->request;
});

run_tests();

__DATA__

=== TEST 1: closed is the default
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t { proxy_wasm p '{"on_request_headers": [["trap"]]}'; return 200; }
--- error_code: 503
--- error_log
failed to call function



=== TEST 2: open lets requests go on
--- http_config
    wasm_failure open;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
    wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm p '{"on_request_headers": [["trap"]]}';
        proxy_wasm rust next;
        return 200 "on";
    }
--- response_body chomp
on
--- response_headers
X-Rust: next
--- error_log
failed to call function



=== TEST 3: each plugin has its own
--- http_config
    wasm_failure open;
    wasm_plugin optional $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
    wasm_plugin auth $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite failure=closed;
--- config
    location /optional { proxy_wasm optional '{"on_request_headers": [["trap"]]}'; return 200; }
    location /auth { proxy_wasm auth '{"on_request_headers": [["trap"]]}'; return 200; }
--- request eval: ["GET /optional", "GET /auth"]
--- error_code eval: [200, 503]



=== TEST 4: error_page knows the 503
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    error_page 503 = /sorry;
    location = /sorry { return 200 "sorry"; }
    location /t { proxy_wasm p '{"on_request_headers": [["trap"]]}'; return 200; }
--- response_body chomp
sorry



=== TEST 5: there is no third
--- http_config
    wasm_failure maybe;
--- config
--- check_config
--- must_die
--- error_log
"maybe" is not a failure policy; write closed or open
