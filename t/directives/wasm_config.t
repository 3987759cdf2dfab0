# wasm_config FILE; declares the plugins of an APISIX config.yaml. What it refuses is in
# t/lifecycle/load_errors.t.

use lib '.';
use t::ProxyWasm 'no_plan';

run_tests();

__DATA__

=== TEST 1: the plugins under wasm.plugins are declared, the rest of the file is ignored
--- user_files
>>> config.yaml
apisix:
  node_listen: 9080
  enable_admin: true
deployment:
  admin:
    admin_key: [{name: admin, key: "${{ADMIN_KEY}}", role: admin}]
wasm:
  plugins:
    - name: rust
      priority: 7999
      file: $TEST_NGINX_PLUGINS/rust-headers.wasm
      http_request_phase: rewrite
    - name: log
      priority: -1
      file: $TEST_NGINX_PLUGINS/log.wasm
plugins: [key-auth, rust]
#END
--- http_config
    wasm_config html/config.yaml;
--- config
    location /t {
        proxy_wasm rust hi;
        proxy_wasm log hello;
        return 200 "$http_x_rust_conf\n";
    }
--- request
GET /t
--- response_body
hi
--- error_log
create http context 2



=== TEST 2: http_request_phase is access if nothing is said
--- user_files
>>> config.yaml
wasm: {plugins: [{name: rust, priority: 1, file: $TEST_NGINX_PLUGINS/rust-headers.wasm}]}
--- http_config
    wasm_config html/config.yaml;
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



=== TEST 3: priority orders the plugins of a level, high first
--- user_files
>>> config.yaml
wasm:
  plugins:
    - {name: low, priority: -5, file: $TEST_NGINX_PLUGINS/rust-headers.wasm}
    - {name: high, priority: 5, file: $TEST_NGINX_PLUGINS/rust-headers.wasm}
--- http_config
    wasm_config html/config.yaml;
--- config
    location /t { proxy_wasm low low; proxy_wasm high high; return 200; }
--- request
GET /t
--- response_headers
x-rust: high, low



=== TEST 4: a plugin's file is relative to the prefix, as the configuration is
--- user_files
>>> conf.d/config.yaml
wasm: {plugins: [{name: plain, priority: 1, file: html/plain.wat}]}
>>> plain.wat
(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))
--- http_config
    wasm_config html/conf.d/config.yaml;
    proxy_wasm plain;
--- config
    location /t { return 200 "ok\n"; }
--- request
GET /t
--- response_body
ok
--- error_log
create http context 2



=== TEST 5: wasm_plugin and several files add up
--- user_files
>>> a.yaml
wasm: {plugins: [{name: a, priority: 1, file: $TEST_NGINX_PLUGINS/rust-headers.wasm}]}
>>> b.yaml
wasm: {plugins: [{name: b, priority: 1, file: $TEST_NGINX_PLUGINS/rust-headers.wasm}]}
--- http_config
    wasm_config html/a.yaml;
    wasm_config html/b.yaml;
    wasm_plugin c $TEST_NGINX_PLUGINS/rust-headers.wasm;
--- config
    location /t { proxy_wasm a a; proxy_wasm b b; proxy_wasm c c; return 200; }
--- request
GET /t
--- response_headers
x-rust: a, b, c



=== TEST 6: a file without plugins declares none, and a warning says so
--- user_files
>>> config.yaml
apisix: {node_listen: 9080}
>>> empty.yaml
# nothing
>>> null.yaml
wasm:
  plugins:
--- http_config
    wasm_config html/config.yaml;
    wasm_config html/empty.yaml;
    wasm_config html/null.yaml;
--- config
--- check_config
--- error_log
[warn]
config.yaml declares no plugins under wasm.plugins in
empty.yaml declares no plugins under wasm.plugins in
null.yaml declares no plugins under wasm.plugins in
