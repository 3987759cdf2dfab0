# resty.proxy-wasm: on_configure(plugin, conf) answers a plugin context, or nil and why not.

use lib '.';
use t::ProxyWasm 'no_plan';

no_long_string();
add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(http_config => "wasm_vm wasmtime;\n") if !defined $block->http_config;
    $block->set_value(request => 'GET /t') if !defined $block->request;
});
run_tests();

__DATA__

=== TEST 1: a plugin context is cdata
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin = assert(wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm"))
            local ctx, err = wasm.on_configure(plugin, "blah")
            ngx.say(type(ctx), " ", err)
        }
    }
--- response_body
cdata nil
--- error_log eval
qr/\[info\] \d+#\d+: create plugin context 1$/
--- no_error_log
[error]



=== TEST 2: bad plugin: anything that load did not answer
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            for _, plugin in ipairs({false, "plugin", {}, 1}) do
                ngx.say(type(plugin), " ", select(2, wasm.on_configure(plugin, "blah")))
            end
            ngx.say("nil ", select(2, wasm.on_configure(nil, "blah")))
        }
    }
--- response_body
boolean bad plugin
string bad plugin
table bad plugin
number bad plugin
nil bad plugin
--- no_error_log
[error]



=== TEST 3: bad conf: not a string, or empty
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin = assert(wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm"))
            for _, conf in ipairs({false, "", {}, 1}) do
                ngx.say(type(conf), " ", select(2, wasm.on_configure(plugin, conf)))
            end
            ngx.say("nil ", select(2, wasm.on_configure(plugin)))
        }
    }
--- response_body
boolean bad conf
string bad conf
table bad conf
number bad conf
nil bad conf
--- no_error_log
[error]
create plugin context



=== TEST 4: a configuration the plugin refuses gives no context
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin = assert(wasm.load("fault-injection", "$TEST_NGINX_PLUGINS/fault-injection.wasm"))
            local ctx, err = wasm.on_configure(plugin, '{"http_status": 401, "percentage": 101}')
            ngx.say(ctx, " ", err)
        }
    }
--- response_body
nil failed to run proxy_on_configure
--- grep_error_log eval
qr/\[error\] [^:]*: \K.*/
--- grep_error_log_out
fault-injection: bad percentage 101: want 0 to 100
failed to configure plugin context 1, rc: 0, plugin: fault-injection
--- no_error_log
create plugin context



=== TEST 5: a refused configuration frees its id, and the next one is served
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin = assert(wasm.load("fault-injection", "$TEST_NGINX_PLUGINS/fault-injection.wasm"))
            ngx.log(ngx.INFO, wasm.on_configure(plugin, '{"http_status": 1}'))
            assert(wasm.on_configure(plugin, '{"http_status": 401}'))
            ngx.say("configured")
        }
    }
--- response_body
configured
--- grep_error_log eval
qr/(?:create|free|failed to configure) plugin context \d+/
--- grep_error_log_out
failed to configure plugin context 1
free plugin context 1
create plugin context 1



=== TEST 6: a plugin that traps in proxy_on_configure gives no context, and the worker lives
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin = assert(wasm.load("hostcalls", "$TEST_NGINX_PLUGINS/hostcalls.wasm"))
            ngx.say(wasm.on_configure(plugin, '{"on_configure": [["trap"]]}'))
            ngx.say(type(wasm.on_configure(plugin, '{}')))
        }
    }
--- response_body
nilfailed to run proxy_on_configure
cdata
--- error_log
failed to call function: proxy_on_configure of plugin "hostcalls" in context 1: wasm trap:
failed to configure plugin context 1, rc: -1
create plugin context 1



=== TEST 7: a plugin that traps in proxy_on_context_create gives no context
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin = assert(wasm.load("trap", "$TEST_NGINX_HTML_DIR/trap.wat"))
            ngx.say(wasm.on_configure(plugin, "blah"))
        }
    }
--- user_files
>>> trap.wat
(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_context_create") (param i32 i32) unreachable))
--- response_body
nilfailed to run proxy_on_configure
--- error_log
failed to call function: proxy_on_context_create of plugin "trap" in context 1
failed to create context 1, rc: -1



=== TEST 8: a plugin that traps as it starts gives no context
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin = assert(wasm.load("trap", "$TEST_NGINX_HTML_DIR/trap.wat"))
            ngx.say(wasm.on_configure(plugin, "blah"))
        }
    }
--- user_files
>>> trap.wat
(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
    (func (export "_initialize") unreachable))
--- response_body
nilfailed to run proxy_on_configure
--- error_log
failed to call function: _initialize of plugin "trap"



=== TEST 9: a plugin that refuses to start its VM gives no context
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin = assert(wasm.load("hostcalls", "$TEST_NGINX_PLUGINS/hostcalls.wasm"))
            ngx.say(wasm.on_configure(plugin, '{"on_vm_start": [["return", false]]}'))
        }
    }
--- response_body
nilfailed to run proxy_on_configure
--- error_log
failed to start the VM of plugin "hostcalls": proxy_on_vm_start refused the configuration



=== TEST 10: the configuration reaches the plugin byte for byte
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin = assert(wasm.load("rust-headers", "$TEST_NGINX_PLUGINS/rust-headers.wasm"))
            for _, conf in ipairs({"a b", "ä€", ("x"):rep(100000)}) do
                local ctx = assert(wasm.on_configure(plugin, conf))
                assert(wasm.on_http_request_headers(ctx))
                ngx.say(ngx.req.get_headers()["x-rust-conf"] == conf)
                ngx.req.clear_header("x-rust-conf")
            end
        }
    }
--- response_body
true
true
true



=== TEST 11: each plugin context keeps its own configuration
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin = assert(wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm"))
            local one, two = wasm.on_configure(plugin, "one"), wasm.on_configure(plugin, "two")
            wasm.on_http_request_headers(two)
            wasm.on_http_request_headers(one)
            ngx.say("done")
        }
    }
--- response_body
done
--- grep_error_log eval
qr/run plugin ctx \d+ with conf \w+ in http ctx \d+/
--- grep_error_log_out
run plugin ctx 2 with conf two in http ctx 3
run plugin ctx 1 with conf one in http ctx 4



=== TEST 12: a Go plugin is configured like a Rust one
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin = assert(wasm.load("go-headers", "$TEST_NGINX_PLUGINS/go-headers.wasm"))
            local ctx = assert(wasm.on_configure(plugin, "blah"))
            assert(wasm.on_http_request_headers(ctx))
            ngx.say(ngx.req.get_headers()["x-go-conf"])
        }
    }
--- response_body
blah
--- no_error_log
[error]
