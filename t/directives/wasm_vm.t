# wasm_vm wasmtime; turns the module on. APISIX writes the line; the other directives
# imply it.

use lib '.';
use t::ProxyWasm 'no_plan';

run_tests();

__DATA__

=== TEST 1: wasmtime is accepted and changes no request
--- http_config
    wasm_vm wasmtime;
--- config
    location /t { return 200 "as ever\n"; }
--- request
GET /t
--- response_body
as ever
--- no_error_log
[error]
[warn]



=== TEST 2: plugins need no wasm_vm
--- http_config
    wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm rust hi;
        return 200 "$http_x_rust_conf\n";
    }
--- request
GET /t
--- response_body
hi
--- no_error_log
[error]



=== TEST 3: a VM of another module is refused
--- http_config
    wasm_vm wasmedge;
--- config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_vm": "wasmedge" is not a VM of this module; write wasmtime in .*nginx\.conf:\d+/



=== TEST 4: nginx -t refuses it too
--- http_config
    wasm_vm wasmedge;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_vm": "wasmedge" is not a VM of this module; write wasmtime in .*nginx\.conf:\d+/



=== TEST 5: nginx -t accepts wasmtime
--- http_config
    wasm_vm wasmtime;
--- check_config
--- error_log
test is successful
--- no_error_log
[warn]



=== TEST 6: it is a directive of http
--- config
    wasm_vm wasmtime;
--- check_config
--- must_die
--- error_log
"wasm_vm" directive is not allowed here



=== TEST 7: it takes one argument
--- http_config
    wasm_vm;
--- check_config
--- must_die
--- error_log
invalid number of arguments in "wasm_vm" directive
