# resty.proxy-wasm: load(name, path) answers a plugin, or nil and why not.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::RootId ();

no_long_string();
run_tests();

__DATA__

=== TEST 1: a plugin is cdata, and a line says that it is loaded
--- http_config
    wasm_vm wasmtime;
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin, err = wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm")
            ngx.say(type(plugin), " ", err)
        }
    }
--- request
GET /t
--- response_body
cdata nil
--- error_log eval
qr/\[info\] \d+#\d+: loaded wasm plugin$/
--- no_error_log
[error]



=== TEST 2: loading starts no guest
--- http_config
    wasm_vm wasmtime;
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            ngx.say(wasm.load("trap", "$TEST_NGINX_HTML_DIR/trap.wat") ~= nil)
        }
    }
--- user_files
>>> trap.wat
(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
    (func (export "_initialize") unreachable))
--- request
GET /t
--- response_body
true
--- no_error_log
[error]



=== TEST 3: a file that is not there: the system's words
--- http_config
    wasm_vm wasmtime;
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin, err = wasm.load("log", "$TEST_NGINX_HTML_DIR/nowhere.wasm")
            ngx.say(plugin)
            ngx.say(err)
        }
    }
--- request
GET /t
--- response_body eval
"nil\n$ENV{TEST_NGINX_HTML_DIR}/nowhere.wasm: No such file or directory\n"
--- no_error_log
[error]



=== TEST 4: a file that is no module: why, in the log
--- http_config
    wasm_vm wasmtime;
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin, err = wasm.load("bad", "$TEST_NGINX_HTML_DIR/bad.wasm")
            ngx.say(plugin, " ", err)
        }
    }
--- user_files
>>> bad.wasm
not wasm
--- request
GET /t
--- response_body
nil failed to load wasm plugin
--- error_log eval
qr/\[error\] .*failed to load wasm plugin "bad" at \S+\/bad\.wasm: \S/
--- no_error_log
loaded wasm plugin



=== TEST 5: a module that is no Proxy-Wasm plugin: why, in the log
--- http_config
    wasm_vm wasmtime;
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin, err = wasm.load("bad", "$TEST_NGINX_HTML_DIR/bad.wat")
            ngx.say(plugin, " ", err)
        }
    }
--- user_files
>>> bad.wat
(module (memory (export "memory") 1))
--- request
GET /t
--- response_body
nil failed to load wasm plugin
--- error_log eval
qr/\[error\] .*failed to load wasm plugin "bad" at \S+\/bad\.wat: .*proxy_abi_version/



=== TEST 6: an import this host does not have: its name, in the log
--- http_config
    wasm_vm wasmtime;
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            ngx.say(wasm.load("bad", "$TEST_NGINX_HTML_DIR/bad.wat"))
        }
    }
--- user_files
>>> bad.wat
(module (import "env" "proxy_fly" (func)) (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1")))
--- request
GET /t
--- response_body
nilfailed to load wasm plugin
--- error_log eval
qr/\[error\] .*failed to load wasm plugin "bad" at \S+: .*env\.proxy_fly/



=== TEST 7: after a plugin that does not load, another does
--- http_config
    wasm_vm wasmtime;
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            ngx.say(wasm.load("bad", "$TEST_NGINX_HTML_DIR/index.html"))
            ngx.say(type(wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm")))
        }
    }
--- request
GET /t
--- response_body
nilfailed to load wasm plugin
cdata



=== TEST 8: without wasm_vm in http nothing loads, and a line says so
--- http_config
    # no wasm_cache either: it would do
    lua_package_path "lib/?.lua;;";
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin, err = wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm")
            ngx.say(plugin, " ", err)
        }
    }
--- request
GET /t
--- response_body
nil failed to load wasm plugin
--- error_log eval
qr/\[error\] .*miss wasm_vm configuration/



=== TEST 9: one file under two names is two plugins, each with its own contexts
--- http_config
    wasm_vm wasmtime;
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            for _, name in ipairs({"one", "two"}) do
                local plugin = assert(wasm.load(name, "$TEST_NGINX_PLUGINS/hostcalls.wasm"))
                local ctx = assert(wasm.on_configure(plugin,
                    [=[{"on_request_headers": [["get_property", "plugin_root_id"]]}]=]))
                assert(wasm.on_http_request_headers(ctx))
            end
            ngx.say("done")
        }
    }
--- request
GET /t
--- response_body
done
--- grep_error_log eval
qr/create \w+ context \d+|get_property plugin_root_id -> OK \w+/
--- grep_error_log_out
create plugin context 1
create http context 2
get_property plugin_root_id -> OK one
create plugin context 1
create http context 2
get_property plugin_root_id -> OK two



=== TEST 10: a plugin that Lua lets go of is unloaded
--- http_config
    wasm_vm wasmtime;
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            assert(wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm"))
            collectgarbage()
            collectgarbage()
            ngx.log(ngx.INFO, "collected")
            ngx.say("done")
        }
    }
--- request
GET /t
--- response_body
done
--- grep_error_log eval
qr/\w+loaded wasm plugin|loaded wasm plugin|collected/
--- grep_error_log_out
loaded wasm plugin
unloaded wasm plugin
collected



=== TEST 11: a plugin whose context is in use stays loaded
--- http_config
    wasm_vm wasmtime;
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin = assert(wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm"))
            local ctx = assert(wasm.on_configure(plugin, "blah"))
            plugin = nil
            collectgarbage()
            collectgarbage()
            assert(wasm.on_http_request_headers(ctx))
            ngx.say("served")
        }
    }
--- request
GET /t
--- response_body
served
--- error_log
run plugin ctx 1 with conf blah in http ctx 2
--- no_error_log
unloaded wasm plugin
--- shutdown_error_log
free plugin context 1
unloaded wasm plugin



=== TEST 12: without the module, require says what is missing, and so does the log
--- no_module
--- config
    location /t {
        content_by_lua_block {
            local ok, err = pcall(require, "resty.proxy-wasm")
            ngx.say(ok)
            ngx.say(err)
        }
    }
--- request
GET /t
--- response_body_like
^false
resty\.proxy-wasm: ngx_http_proxy_wasm_module\.so is not loaded: add a load_module line for it to the main block of nginx\.conf$
--- error_log eval
qr/\[error\] .*resty\.proxy-wasm: ngx_http_proxy_wasm_module\.so is not loaded/



=== TEST 13: without the module, who requires it in init_by_lua and goes on has its line at the start
--- no_module
--- http_config
    init_by_lua_block { ok = pcall(require, "resty.proxy-wasm") }
--- config
    location /t {
        content_by_lua_block { ngx.say(ok) }
    }
--- request
GET /t
--- response_body
false
--- error_log eval
qr/\[error\] .*resty\.proxy-wasm: ngx_http_proxy_wasm_module\.so is not loaded/



=== TEST 14: a plugin that has no context of its name is told of at its start, and stays as it is
--- http_config
    wasm_vm wasmtime;
--- user_files eval
[["p.wat", ProxyWasm::RootId::rooted("other")]]
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin = assert(wasm.load("named", "$TEST_NGINX_HTML_DIR/p.wat"))
            local ctx = assert(wasm.on_configure(plugin, "conf"))
            assert(wasm.on_http_request_headers(ctx))
            ngx.say("passed")
        }
    }
--- request
GET /t
--- response_body
passed
--- error_log
plugin "named" does nothing with the root id "named": it has contexts of other ids only
