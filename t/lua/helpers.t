# What the Lua library has beyond the C module's: properties of the request, status and metrics.

use lib '.';
use t::ProxyWasm 'no_plan';

run_tests();

__DATA__

=== TEST 1: get_property answers what plugins see
--- http_config
    wasm_vm wasmtime;
--- config
    location /t {
        set $mine 7;
        content_by_lua_block {
            local wasm = require "resty.proxy-wasm"
            ngx.say(wasm.get_property("request", "path"))
            ngx.say(wasm.get_property("request", "headers", "x-test"))
            ngx.say(wasm.get_property("mine"))
            ngx.say(#wasm.get_property("request", "total_size"))
            ngx.say(wasm.get_property("no", "such", "thing"))
            ngx.say(wasm.get_property("nothing"))
        }
    }
--- request
GET /t?a=b
--- more_headers
X-Test: hello
--- response_body
/t?a=b
hello
7
8
nil
nil
--- no_error_log
[error]



=== TEST 2: set_property sets a variable
--- http_config
    wasm_vm wasmtime;
--- config
    location /t {
        set $mine 7;
        content_by_lua_block {
            local wasm = require "resty.proxy-wasm"
            ngx.say(wasm.set_property("mine", "8"), " ", ngx.var.mine)
            ngx.say(wasm.set_property("nothing_of_that_name", "8"))
            ngx.say(wasm.set_property("request_uri", "/"))
            ngx.say(wasm.set_property("args", "a\r\nb: c"))
        }
    }
--- request
GET /t
--- response_body
true 8
nilnot found
nilnot changeable
nilunsafe value
--- no_error_log
[error]



=== TEST 3: without a request there are no properties
--- http_config
    wasm_vm wasmtime;
    init_worker_by_lua_block {
        local wasm = require "resty.proxy-wasm"
        local _, get = wasm.get_property("host")
        local _, set = wasm.set_property("host", "x")
        ngx.log(ngx.WARN, "get: ", get, ", set: ", set)
    }
--- config
    location /t { return 200; }
--- request
GET /t
--- error_log
get: bad request, set: bad request
--- no_error_log
[error]



=== TEST 4: status is a table, metrics a text
--- http_config
    wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm phase=rewrite;
--- config
    location /p { proxy_wasm rust x; return 204; }
    location /t {
        content_by_lua_block {
            local wasm = require "resty.proxy-wasm"
            local status = wasm.status()
            ngx.say(status.version == wasm._VERSION, " ", status.plugins[1].name, " ", status.plugins[1].running)
            ngx.print(wasm.metrics():match("proxy_wasm_starts_total{plugin=\"rust\"} 1\n"))
        }
    }
--- request
GET /t
--- response_body
true rust true
proxy_wasm_starts_total{plugin="rust"} 1
--- no_error_log
[error]



=== TEST 5: there are neither where nothing switches the module on
--- http_config
    # What tests add by themselves would: they leave out wasm_cache where they find its name.
--- config
    location /t {
        content_by_lua_block {
            local wasm = require "resty.proxy-wasm"
            ngx.say(wasm.status())
            ngx.say(wasm.metrics())
        }
    }
--- request
GET /t
--- response_body
nilno status: miss wasm_vm configuration
nilno metrics: miss wasm_vm configuration
--- no_error_log
[error]
