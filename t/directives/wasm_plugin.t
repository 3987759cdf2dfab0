# wasm_plugin NAME FILE [priority=N] [phase=access|rewrite] [option=value…]; declares a
# plugin. What it refuses is in t/lifecycle/load_errors.t; order and priority in
# proxy_wasm_order.t; limits and policy have files of their own.

use lib '.';
use t::ProxyWasm 'no_plan';

run_tests();

__DATA__

=== TEST 1: a plugin that is declared and attached nowhere meets no request
--- http_config
    wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm;
--- config
    location /t { return 200 "as ever\n"; }
--- request
GET /t
--- response_body
as ever
--- response_headers
!X-Rust
--- no_error_log
create plugin context



=== TEST 2: a path is relative to the prefix, and a text module is a plugin
--- user_files
>>> plain.wat
(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))
--- http_config
    wasm_plugin plain html/plain.wat;
--- config
    location /t {
        proxy_wasm plain;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /upstream { return 200 "reached\n"; }
--- request
GET /t
--- response_body
reached
--- error_log
create http context 2
--- no_error_log
[error]



=== TEST 3: what a plugin does not export is not called
--- user_files
>>> plain.wat
;; Only a response callback, of an instance that needs no start and allocates nothing.
(module
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "x-wat" "yes")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (drop (call $add (i32.const 2) (i32.const 0) (i32.const 5) (i32.const 5) (i32.const 3)))
    (i32.const 0)))
--- http_config
    wasm_plugin plain html/plain.wat;
--- config
    location /t { proxy_wasm plain; return 200 "ok\n"; }
--- request
GET /t
--- response_headers
x-wat: yes
--- response_body
ok
--- no_error_log
[error]



=== TEST 4: a plugin sees the request in the access phase, if nothing else is said
--- http_config
    wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm;
--- config
    location /t {
        proxy_wasm rust hi;
        set $seen "[$http_x_rust_conf]";
        proxy_set_header X-Seen-In-Rewrite $seen;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /upstream { return 200 "$http_x_seen_in_rewrite $http_x_rust_conf\n"; }
--- request
GET /t
--- response_body
[] hi



=== TEST 5: phase=access says the same
--- http_config
    wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm phase=access;
--- config
    location /t {
        proxy_wasm rust hi;
        set $seen "[$http_x_rust_conf]";
        proxy_set_header X-Seen-In-Rewrite $seen;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /upstream { return 200 "$http_x_seen_in_rewrite $http_x_rust_conf\n"; }
--- request
GET /t
--- response_body
[] hi



=== TEST 6: phase=rewrite comes before the location's own rewrites
--- http_config
    wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm rust hi;
        set $seen "[$http_x_rust_conf]";
        proxy_set_header X-Seen-In-Rewrite $seen;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /upstream { return 200 "$http_x_seen_in_rewrite $http_x_rust_conf\n"; }
--- request
GET /t
--- response_body
[hi] hi



=== TEST 7: return preempts a plugin of the access phase, which then sees the response
--- http_config
    wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm;
--- config
    location /t { proxy_wasm rust hi; return 200 "[$http_x_rust_conf]\n"; }
--- request
GET /t
--- response_headers
x-rust: hi
--- response_body
[]



=== TEST 8: two plugins may be of one file
--- http_config
    wasm_plugin one $TEST_NGINX_PLUGINS/rust-headers.wasm;
    wasm_plugin two $TEST_NGINX_PLUGINS/rust-headers.wasm;
--- config
    location /t { proxy_wasm one a; proxy_wasm two b; return 200; }
--- request
GET /t
--- response_headers
x-rust: a, b



=== TEST 9: all parameters at once, in any order
--- http_config
    wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm phase=rewrite failure=open
        memory_limit=64m priority=-7 env=A=b callback_timeout=500ms start_timeout=10s
        body_buffer_size=1m;
--- config
    location /t { proxy_wasm rust hi; return 200; }
--- request
GET /t
--- response_headers
x-rust: hi



=== TEST 10: nginx -t compiles a plugin and runs nothing of it
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
    proxy_wasm hostcalls '{"trace": true}';
--- check_config
--- error_log
test is successful
--- no_error_log
on_vm_start
on_configure
[warn]



=== TEST 11: a plugin of the Go SDK
--- http_config
    wasm_plugin go $TEST_NGINX_PLUGINS/go-headers.wasm phase=rewrite;
--- config
    location /t { proxy_wasm go hi; return 200 "$http_x_go_conf\n"; }
--- request
GET /t
--- response_headers
x-go: hi
--- response_body
hi
--- no_error_log
[error]



=== TEST 12: a plugin may start with all that an instance may have
--- http_config
    wasm_plugin large html/large.wat phase=rewrite;
--- user_files eval
">>> large.wat
(module
  (memory (export \"memory\") 4096)
  (table 1000000 funcref) " . '(table 1 funcref) ' x 15 . "
  (func (export \"proxy_abi_version_0_2_1\")))"
--- config
    location /t { proxy_wasm large; return 200 "here\n"; }
--- request
GET /t
--- response_body
here
--- no_error_log
[error]



=== TEST 13: what starts with more is refused when nginx reads its configuration
--- http_config
    wasm_plugin large html/large.wat;
--- user_files
>>> large.wat
(module
  (memory (export "memory") 1)
  (table 1000001 funcref)
  (func (export "proxy_abi_version_0_2_1")))
--- config
    location /t { proxy_wasm large; }
--- must_die
--- error_log
large.wat starts with a table of 1000001 elements, but its limit is 1000000



=== TEST 14: a wrong value is told with the option
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm image=yes;
--- config
--- must_die
--- error_log
"yes" is not a value of image; write auto, on or off



=== TEST 15: vm_config is what proxy_on_vm_start and all later callbacks read
--- http_config
    wasm_plugin configured $TEST_NGINX_PLUGINS/hostcalls.wasm 'vm_config={"on_vm_start": [["get_buffer_bytes", "vm_configuration"]]}';
--- config
    location /t {
        proxy_wasm configured '{"on_request_headers": [["get_buffer_bytes", "vm_configuration"], ["send_local_response", 200, "${last}"]]}';
    }
--- request
GET /t
--- response_body chomp
{"on_vm_start": [["get_buffer_bytes", "vm_configuration"]]}



=== TEST 16: vm_config_file is a file with it
--- user_files
>>> vm.conf
of the VM
--- http_config
    wasm_plugin configured $TEST_NGINX_PLUGINS/hostcalls.wasm vm_config_file=html/vm.conf;
--- config
    location /t {
        proxy_wasm configured '{"on_request_headers": [["get_buffer_bytes", "vm_configuration"], ["send_local_response", 200, "${last}"]]}';
    }
--- request
GET /t
--- response_body
of the VM



=== TEST 17: a file that is not there
--- check_config
--- http_config
    wasm_plugin configured $TEST_NGINX_PLUGINS/hostcalls.wasm vm_config_file=html/missing.conf;
--- config
--- must_die
--- error_log eval
qr{"wasm_plugin": .*/html/missing.conf cannot be read: No such file or directory in .*nginx.conf:\d+}
