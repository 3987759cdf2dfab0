# wasm_callback_timeout TIME|off; in http, callback_timeout= of a plugin: how long a callback may run (1s).

use lib '.';
use t::ProxyWasm 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(request => 'GET /t') if !defined $block->request;
});

run_tests();

__DATA__

=== TEST 1: a callback that runs past it is interrupted
--- http_config
    wasm_callback_timeout 20ms;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t { proxy_wasm p '{"on_request_headers": [["loop"]]}'; return 200; }
--- error_code: 503
--- error_log
failed to call function: proxy_on_request_headers of plugin "p" in context 2: it ran past its timeout



=== TEST 2: a plugin has its own
--- http_config
    wasm_callback_timeout 1h;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite callback_timeout=20ms;
--- config
    location /t { proxy_wasm p '{"on_request_headers": [["loop"]]}'; return 200; }
--- error_code: 503
--- error_log
it ran past its timeout



=== TEST 3: the start is not a callback of this kind
--- user_files
>>> slow.wat
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (local $i i32)
    (loop $again
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (i32.const 100000000))))
    (i32.const 1)))
--- http_config
    wasm_callback_timeout 1ms;
    wasm_plugin p $TEST_NGINX_HTML_DIR/slow.wat phase=rewrite;
--- config
    location /t { proxy_wasm p; return 200 "ok"; }
--- response_body chomp
ok
--- no_error_log
[error]



=== TEST 4: off for a plugin lifts its deadline alone
--- user_files
>>> slow.wat
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $i i32)
    (loop $again
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (i32.const 100000000))))
    (i32.const 0)))
--- http_config
    wasm_callback_timeout 1ms;
    wasm_plugin free $TEST_NGINX_HTML_DIR/slow.wat phase=rewrite callback_timeout=off;
    wasm_plugin bound $TEST_NGINX_HTML_DIR/slow.wat phase=rewrite;
--- config
    location /free { proxy_wasm free; return 200; }
    location /bound { proxy_wasm bound; return 200; }
--- request eval: ["GET /free", "GET /bound"]
--- error_code eval: [200, 503]



=== TEST 5: off in http: compiled without checks, plugins run all the same
--- user_files
>>> slow.wat
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $i i32)
    (loop $again
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (i32.const 100000000))))
    (i32.const 0)))
--- http_config
    wasm_callback_timeout off;
    wasm_plugin slow $TEST_NGINX_HTML_DIR/slow.wat phase=rewrite;
    wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm phase=rewrite;
--- config
    location /t { proxy_wasm slow; proxy_wasm rust well; return 200; }
--- response_headers
X-Rust: well
--- no_error_log
[error]



=== TEST 6: 0 would fail every callback
--- http_config
    wasm_callback_timeout 0;
--- config
--- check_config
--- must_die
--- error_log
write off for no timeout
