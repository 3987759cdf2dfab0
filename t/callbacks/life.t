# The life of contexts: start, configuration, done, log and delete, in their order, and
# configurations that a plugin refuses.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Scripted;

run_tests();

__DATA__

=== TEST 1: a plugin's context is created, started and configured without waiting for a request
--- config
    location /t { proxy_wasm hostcalls '{"trace": true}'; return 200; }
    location /other { return 200; }
--- request
GET /other
--- grep_error_log eval: qr/: (?:create \w+ context \d|on_\w+ [\d ]+)(?=\s*$)/m
--- grep_error_log_out
: on_context_create 1 0
: on_vm_start 1 0
: on_configure 1 15
: create plugin context 1



=== TEST 2: the way of a request
--- config
    location /t { proxy_wasm hostcalls '{"trace": true}'; return 200 "hello"; }
--- request
GET /t
--- grep_error_log eval: qr/on_\w+ 2|(?:create|free) http context 2/
--- grep_error_log_out
create http context 2
on_context_create 2
on_request_headers 2
on_response_headers 2
on_response_body 2
on_done 2
on_log 2
on_delete 2
free http context 2



=== TEST 3: a context is gone when its request is over, and its number free
--- config
    location /t { proxy_wasm hostcalls '{}'; return 200; }
--- request eval
["GET /t", "GET /t", "GET /t"]
--- error_log
create http context 2
free http context 2



=== TEST 4: at the worker's end plugins are done, logged, deleted and unloaded
--- config
    location /t { proxy_wasm hostcalls '{"trace": true}'; return 200; }
--- request
GET /t
--- shutdown_error_log
on_done 1
on_log 1
on_delete 1
free plugin context 1
unloaded wasm plugin
--- no_shutdown_error_log
[error]



=== TEST 5: on_vm_start runs once per VM, on_configure once per context
--- config
    location /a { proxy_wasm hostcalls '{"trace": true}'; return 200; }
    location /b { proxy_wasm hostcalls '{"trace": true }'; return 200; }
--- request
GET /a
--- grep_error_log eval: qr/: on_(?:vm_start|configure) \d+ \d+/
--- grep_error_log_out
: on_vm_start 1 0
: on_configure 1 15
: on_configure 2 16



=== TEST 6: a configuration that is refused: said at the start, and requests get 503
--- config
    location /t {
        proxy_wasm hostcalls '{"on_configure": [["return", false]]}';
        return 200;
    }
    location /other { return 200 "other\n"; }
--- request eval
["GET /other", "GET /t", "GET /other"]
--- error_code eval
[200, 503, 200]
--- no_error_log
[emerg]



=== TEST 7: the line of it
--- config
    location /t {
        proxy_wasm hostcalls '{"on_configure": [["return", false]]}';
        return 200;
    }
    location /other { return 200 "other\n"; }
--- request
GET /other
--- error_log eval
qr/\[error\] \d+#\d+: .*failed to configure plugin context 1, rc: /



=== TEST 8: one that is refused leaves another of the same plugin alone
--- config
    location /bad { proxy_wasm hostcalls '{"on_configure": [["return", false]]}'; return 200; }
    location /good { proxy_wasm hostcalls '{}'; return 200; }
--- request eval
["GET /bad", "GET /good", "GET /bad"]
--- error_code eval
[503, 200, 503]



=== TEST 9: failure=open lets requests go on without the plugin
--- http_config
    wasm_plugin open $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite failure=open;
--- config
    location /t { proxy_wasm open '{"on_configure": [["return", false]]}'; return 200 "went on\n"; }
--- request
GET /t
--- response_body
went on



=== TEST 10: fault-injection refuses what is no configuration of it
--- http_config
    wasm_plugin fault $TEST_NGINX_PLUGINS/fault-injection.wasm phase=rewrite;
--- config
    location /t { proxy_wasm fault '{"http_status": 100}'; return 200; }
--- request
GET /t
--- error_code: 503
--- error_log eval
qr/\[error\].*fault-injection: /



=== TEST 11: fault-injection answers for its share
--- http_config
    wasm_plugin fault $TEST_NGINX_PLUGINS/fault-injection.wasm phase=rewrite;
--- config
    location /all { proxy_wasm fault '{"http_status":401,"body":"HIT\n","percentage":100}'; return 200 "missed\n"; }
    location /none { proxy_wasm fault '{"http_status":401,"body":"HIT\n","percentage":0}'; return 200 "missed\n"; }
--- request eval
["GET /all", "GET /none"]
--- error_code eval
[401, 200]
--- response_body eval
["HIT\n", "missed\n"]
--- no_error_log
[error]



=== TEST 12: on_vm_start that refuses
--- user_files
>>> refuses.wat
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 0)))
--- http_config
    wasm_plugin refuses html/refuses.wat phase=rewrite;
--- config
    location /t { proxy_wasm refuses; return 200; }
--- request
GET /t
--- error_code: 503



=== TEST 13: _initialize and _start
--- user_files
>>> initialize.wat
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "initialized")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize") (drop (call $log (i32.const 3) (i32.const 0) (i32.const 11)))))
>>> start.wat
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "was started")
  (func (export "proxy_abi_version_0_1_0"))
  (func (export "_start") (drop (call $log (i32.const 3) (i32.const 0) (i32.const 11)))))
--- http_config
    wasm_plugin initialize html/initialize.wat phase=rewrite;
    wasm_plugin start html/start.wat phase=rewrite;
--- config
    location /t { proxy_wasm initialize; proxy_wasm start; return 200; }
--- request
GET /t
--- error_log
initialized
was started
