# What resty.proxy-wasm's functions answer, in the words that APISIX's suites and logs know. That it can be required in every phase:
# t/lua/phases.t.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Apisix;

no_long_string();
run_tests();

__DATA__

=== TEST 1: each function's success
--- config
    location = /t {
        access_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin = wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm")
            local ctx = wasm.on_configure(plugin, "blah")
            ngx.ctx.wasm = ctx
            ngx.ctx.said = table.concat({
                type(plugin), type(ctx),
                tostring(wasm.on_http_request_headers(ctx)),
                tostring(wasm.on_http_request_body(ctx, nil, true)),
                tostring(wasm.on_http_request_body(ctx, "body", true)),
            }, " ")
        }
        content_by_lua_block { ngx.say(ngx.ctx.said) }
        header_filter_by_lua_block {
            ngx.header["X-Said"] = tostring(require("resty.proxy-wasm").on_http_response_headers(ngx.ctx.wasm))
        }
        body_filter_by_lua_block { assert(require("resty.proxy-wasm").on_http_response_body(ngx.ctx.wasm) == true) }
    }
--- response_headers
X-Said: true
--- response_body
cdata cdata true true true
--- no_error_log
[error]



=== TEST 2: what is not given what it needs
--- config
    location = /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin = wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm")
            local function say(...)
                ngx.say(tostring((...)), " ", (select(2, ...):gsub("^.*/", "")))
            end
            say(wasm.load("nowhere", "$TEST_NGINX_HTML_DIR/nowhere.wasm"))
            say(wasm.load("bad", "$TEST_NGINX_HTML_DIR/apisix.json"))
            say(wasm.on_configure("log", "blah"))
            say(wasm.on_configure(plugin, ""))
            say(wasm.on_configure(plugin, {}))
            say(wasm.on_http_request_headers("ctx"))
            say(wasm.on_http_request_body({}, "body", true))
            say(wasm.on_http_response_headers(nil))
            say(wasm.on_http_response_body(1))
        }
    }
--- response_body
nil nowhere.wasm: No such file or directory
nil failed to load wasm plugin
nil bad plugin
nil bad conf
nil bad conf
nil bad plugin ctx
nil bad plugin ctx
nil bad plugin ctx
nil bad plugin ctx
--- error_log
failed to load wasm plugin "bad"



=== TEST 3: where there is no request
--- http_config
    init_worker_by_lua_block {
        local wasm = require("resty.proxy-wasm")
        gateway.load_plugins("$TEST_NGINX_HTML_DIR/config.json")
        gateway.load_resources("$TEST_NGINX_HTML_DIR/apisix.json")
        local ctx = assert(wasm.on_configure(assert(wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm")), "blah"))
        local _, headers = wasm.on_http_request_headers(ctx)
        local _, body = wasm.on_http_request_body(ctx, nil, true)
        said = headers .. ", " .. body
    }
--- config
    location = /t { content_by_lua_block { ngx.say(said) } }
--- response_body
bad request, bad request
--- no_error_log
[error]



=== TEST 4: a plugin that fails in each of its callbacks, the last of a response
--- config
    location = /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            -- each has a VM of its own, so that each fails in it for the first time
            local function configured(callback)
                return wasm.on_configure(wasm.load(callback, "$TEST_NGINX_PLUGINS/hostcalls.wasm"), '{"' .. callback .. '": [["trap"]]}')
            end
            ngx.header["X-Configure"] = select(2, configured("on_configure"))
            ngx.header["X-Headers"] = select(2, wasm.on_http_request_headers(configured("on_request_headers")))
            ngx.header["X-Body"] = select(2, wasm.on_http_request_body(configured("on_request_body"), "body", true))
            ngx.ctx.last = configured("on_response_headers")
            ngx.say("hi")
        }
        header_filter_by_lua_block {
            local said = {}
            for _, name in ipairs({"X-Configure", "X-Headers", "X-Body"}) do said[name] = ngx.header[name] end
            said["X-Response"] = select(2, require("resty.proxy-wasm").on_http_response_headers(ngx.ctx.last))
            for name, value in pairs(said) do ngx.header[name] = value end
        }
    }
--- error_code: 503
--- response_headers
X-Configure: failed to run proxy_on_configure
X-Headers: failed to run proxy_on_http_request_headers
X-Body: failed to run proxy_on_http_request_body
X-Response: failed to run proxy_on_http_response_headers
--- error_log eval
[
    qr/\[error\] .*failed to call function: proxy_on_configure/,
    qr/\[error\] .*failed to configure plugin context 1, rc: -1/,
    qr/\[error\] .*failed to call function: proxy_on_request_headers/,
    qr/\[error\] .*failed to call function: proxy_on_request_body/,
    qr/\[error\] .*failed to call function: proxy_on_response_headers/,
]



=== TEST 5: nothing is loaded where wasm_vm is missing
--- config
    location = /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            ngx.say(wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm"))
        }
    }
--- without_wasm_vm
--- http_config
    # no wasm_cache either: it would do
--- response_body
nilfailed to load wasm plugin
--- error_log
miss wasm_vm configuration



=== TEST 6: an answer without a body is nginx's page, and what follows the call does not run
--- config
    location = /t {
        access_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin = wasm.load("fault-injection", "$TEST_NGINX_PLUGINS/fault-injection.wasm")
            wasm.on_http_request_headers(wasm.on_configure(plugin, '{"http_status": 401}'))
            ngx.log(ngx.ERR, "still here")
        }
        content_by_lua_block { ngx.say("not reached") }
    }
--- error_code: 401
--- response_body_like: <title>401 Authorization Required</title>
--- no_error_log
still here



=== TEST 7: it is for nginx's http, as every library of resty's says of itself
--- config
    location = /t {
        content_by_lua_block {
            local base = require("resty.core.base")
            local allows = base.allows_subsystem
            base.allows_subsystem = function(...)
                ngx.say(...)
                return allows(...)
            end
            package.loaded["resty.proxy-wasm"] = nil
            require("resty.proxy-wasm")
            base.allows_subsystem = allows
        }
    }
--- response_body
http
--- no_error_log
[error]
