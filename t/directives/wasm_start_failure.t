# wasm_start_failure refuse|serve; in http, start_failure= of wasm_plugin: whether nginx starts when a
# plugin does not.

use lib '.';
use t::ProxyWasm 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(request => 'GET /t') if !defined $block->request;
    $block->set_value(config => 'location /t { return 200 ok; }') if !defined $block->config;
});

run_tests();

__DATA__

=== TEST 1: nginx starts by default, and a worker tells
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t { proxy_wasm p '{"on_configure": [["return", false]]}'; return 200 ok; }
--- error_code: 503
--- error_log
failed to configure plugin context 1, rc: 0
plugin "p" did not start for "proxy_wasm" in



=== TEST 2: refuse: nginx -t names the line and the reason
--- http_config
    wasm_start_failure refuse;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /good { proxy_wasm p '{"on_configure": [["return", true]]}'; }
    location /t { proxy_wasm p '{"on_configure": [["log", "error", "no such field"], ["return", false]]}'; }
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\] .*"proxy_wasm": plugin "p" does not start: proxy_on_configure refused the configuration; it logged: no such field \(start_failure=refuse\) in \S+:\d+/



=== TEST 3: nginx does not start, either
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm start_failure=refuse;
--- config
    location /t { proxy_wasm p '{"on_configure": [["trap"]]}'; }
--- must_die
--- error_log eval
qr/"proxy_wasm": plugin "p" does not start: .*unreachable.* \(start_failure=refuse\) in/



=== TEST 4: a plugin's own option counts
--- http_config
    wasm_start_failure refuse;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm start_failure=serve;
--- config
    location /t { proxy_wasm p '{"on_configure": [["return", false]]}'; return 200 ok; }
--- error_code: 503
--- error_log
failed to configure plugin context 1, rc: 0



=== TEST 5: what a worker has is there while a plugin is tried: calls, ticks, queues, data, metrics
--- http_config
    wasm_start_failure refuse;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm vm_config=text env=A=b;
    wasm_plugin strict $TEST_NGINX_HTML_DIR/strict.wat;
--- config
    location /called { return 204; }
    location /t {
        proxy_wasm strict;
        proxy_wasm p '{"on_vm_start": [["get_buffer_bytes", "vm_configuration"]],
            "on_configure": [
            ["getenv", "A"], {"if": ["eq", "${last}", "b"], "then": [], "else": [["trap"]]},
            ["set_tick_period_milliseconds", 60000],
            ["define_metric", "counter", "c"], {"if": ["eq", "${status}", "OK"], "then": [], "else": [["trap"]]},
            ["set_shared_data", "k", "v"], {"if": ["eq", "${status}", "OK"], "then": [], "else": [["trap"]]},
            ["register_shared_queue", "q"], {"if": ["eq", "${status}", "OK"], "then": [], "else": [["trap"]]},
            ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/called"], [":authority", "a"]]],
            {"if": ["eq", "${status}", "OK"], "then": [], "else": [["trap"]]}]}';
        return 200 ok;
    }
--- user_files
>>> strict.wat
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1)))
--- response_body chomp
ok
--- no_error_log
[error]
[emerg]



=== TEST 6: a service, and a start function
--- http_config
    wasm_plugin p $TEST_NGINX_HTML_DIR/p.wat start_failure=refuse;
    wasm_start p;
--- user_files
>>> p.wat
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize") unreachable))
--- check_config
--- must_die
--- error_log eval
qr/"wasm_start": plugin "p" does not start: .*unreachable.* \(start_failure=refuse\) in/



=== TEST 7: a loop is ended by the timeout
--- http_config
    wasm_plugin p $TEST_NGINX_HTML_DIR/p.wat start_failure=refuse start_timeout=100ms;
    wasm_start p;
--- user_files
>>> p.wat
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (loop (br 0)) (i32.const 1)))
--- check_config
--- must_die
--- error_log
"wasm_start": plugin "p" does not start: it ran past its timeout (start_failure=refuse) in



=== TEST 8: plugins that share a VM are tried in one instance
--- http_config
    wasm_start_failure refuse;
    wasm_plugin a $TEST_NGINX_PLUGINS/hostcalls.wasm vm=v;
    wasm_plugin b $TEST_NGINX_PLUGINS/hostcalls.wasm vm=v;
    wasm_start a '{"on_configure": [["set_shared_data", "a", "was here"]]}';
    wasm_start b '{"on_configure": [["get_shared_data", "a"], {"if": ["eq", "${last}", "was here"], "then": [["return", false]]}]}';
--- check_config
--- must_die
--- error_log
"wasm_start": plugin "b" does not start: proxy_on_configure refused the configuration



=== TEST 9: a plugin that no line starts is not tried
--- http_config
    wasm_start_failure refuse;
    wasm_plugin p $TEST_NGINX_HTML_DIR/p.wat;
--- user_files
>>> p.wat
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize") unreachable))
--- check_config



=== TEST 10: another value
--- http_config
    wasm_start_failure maybe;
--- check_config
--- must_die
--- error_log
"wasm_start_failure": "maybe" is not a policy for starts that fail; write refuse or serve in



=== TEST 11: twice
--- http_config
    wasm_start_failure serve;
    wasm_start_failure serve;
--- check_config
--- must_die
--- error_log
"wasm_start_failure": sets "start_failure" twice in
