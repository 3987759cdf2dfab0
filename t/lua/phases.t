# resty.proxy-wasm in every place that APISIX and others call it from: required, loaded and configured in
# init_by_lua, init_worker_by_lua or while a request runs, with the code cache on and off.

use lib '.';
use t::ProxyWasm 'no_plan';

no_long_string();
add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(http_config => "    wasm_vm wasmtime;\n" . ($block->http_config // ''));
    $block->set_value(request => 'GET /t') if !defined $block->request;
});
run_tests();

__DATA__

=== TEST 1: required in init_by_lua, the rest in init_worker_by_lua and the request: as APISIX does
--- http_config
    init_by_lua_block { wasm = require("resty.proxy-wasm") }
    init_worker_by_lua_block { plugin = assert(wasm.load("rust-headers", "$TEST_NGINX_PLUGINS/rust-headers.wasm")) }
--- config
    location /t {
        access_by_lua_block {
            ngx.ctx.wasm = assert(wasm.on_configure(plugin, "blah"))
            assert(wasm.on_http_request_headers(ngx.ctx.wasm))
        }
        content_by_lua_block { ngx.say(ngx.var.http_x_rust_conf) }
        header_filter_by_lua_block { assert(wasm.on_http_response_headers(ngx.ctx.wasm)) }
    }
--- response_headers
X-Rust: blah
--- response_body
blah
--- no_error_log
[error]



=== TEST 2: loaded in init_by_lua, configured in init_worker_by_lua
--- http_config
    init_by_lua_block {
        wasm = require("resty.proxy-wasm")
        plugin = assert(wasm.load("rust-headers", "$TEST_NGINX_PLUGINS/rust-headers.wasm"))
    }
    init_worker_by_lua_block { ctx = assert(wasm.on_configure(plugin, "blah")) }
--- config
    location /t {
        access_by_lua_block { assert(wasm.on_http_request_headers(ctx)) }
        content_by_lua_block { ngx.say(ngx.var.http_x_rust_conf) }
    }
--- response_body
blah
--- no_error_log
[error]



=== TEST 3: loaded and configured in init_by_lua
--- http_config
    init_by_lua_block {
        wasm = require("resty.proxy-wasm")
        ctx = assert(wasm.on_configure(assert(wasm.load("rust-headers", "$TEST_NGINX_PLUGINS/rust-headers.wasm")), "blah"))
    }
--- config
    location /t {
        access_by_lua_block { assert(wasm.on_http_request_headers(ctx)) }
        content_by_lua_block { ngx.say(ngx.var.http_x_rust_conf) }
    }
--- response_body
blah
--- no_error_log
[error]



=== TEST 4: a Go plugin loaded and configured in init_by_lua
--- http_config
    init_by_lua_block {
        wasm = require("resty.proxy-wasm")
        ctx = assert(wasm.on_configure(assert(wasm.load("go-headers", "$TEST_NGINX_PLUGINS/go-headers.wasm")), "blah"))
    }
--- config
    location /t {
        access_by_lua_block { assert(wasm.on_http_request_headers(ctx)) }
        content_by_lua_block { ngx.say(ngx.var.http_x_go_conf) }
    }
--- response_body
blah
--- no_error_log
[error]



=== TEST 5: a plugin that does not load in init_by_lua answers nil there
--- http_config
    init_by_lua_block {
        wasm = require("resty.proxy-wasm")
        local plugin
        plugin, why = wasm.load("bad", "$TEST_NGINX_PLUGINS/nowhere.wasm")
    }
--- config
    location /t { content_by_lua_block { ngx.say(why) } }
--- response_body_like: nowhere.wasm: No such file or directory



=== TEST 6: a plugin that traps in init_by_lua answers nil there, and nginx starts
--- http_config
    init_by_lua_block {
        wasm = require("resty.proxy-wasm")
        local plugin = assert(wasm.load("hostcalls", "$TEST_NGINX_PLUGINS/hostcalls.wasm"))
        local ctx
        ctx, why = wasm.on_configure(plugin, '{"on_configure": [["trap"]]}')
        retried = wasm.on_configure(plugin, '{}')
    }
--- config
    location /t {
        content_by_lua_block {
            assert(wasm.on_http_request_headers(retried))
            ngx.say(why)
        }
    }
--- response_body
failed to run proxy_on_configure



=== TEST 7: loaded and configured in init_worker_by_lua
--- http_config
    init_worker_by_lua_block {
        wasm = require("resty.proxy-wasm")
        ctx = assert(wasm.on_configure(assert(wasm.load("rust-headers", "$TEST_NGINX_PLUGINS/rust-headers.wasm")), "blah"))
    }
--- config
    location /t {
        access_by_lua_block { assert(wasm.on_http_request_headers(ctx)) }
        content_by_lua_block { ngx.say(ngx.var.http_x_rust_conf) }
    }
--- response_body
blah
--- error_log
create plugin context 1
--- no_error_log
[error]



=== TEST 8: loaded and configured in a timer
--- http_config
    init_worker_by_lua_block {
        wasm = require("resty.proxy-wasm")
        configured = require("ngx.semaphore").new()
        ngx.timer.at(0, function()
            ctx = assert(wasm.on_configure(assert(wasm.load("rust-headers", "$TEST_NGINX_PLUGINS/rust-headers.wasm")), "blah"))
            configured:post()
        end)
    }
--- config
    location /t {
        access_by_lua_block {
            if not ctx then configured:wait(5) end
            assert(wasm.on_http_request_headers(ctx))
        }
        content_by_lua_block { ngx.say(ngx.var.http_x_rust_conf) }
    }
--- response_body
blah
--- no_error_log
[error]



=== TEST 9: required first while a request runs
--- config
    location /t {
        rewrite_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            ngx.ctx.wasm = assert(wasm.on_configure(
                assert(wasm.load("rust-headers", "$TEST_NGINX_PLUGINS/rust-headers.wasm")), "blah"))
            assert(wasm.on_http_request_headers(ngx.ctx.wasm))
        }
        content_by_lua_block { ngx.say(ngx.var.http_x_rust_conf) }
    }
--- response_body
blah
--- no_error_log
[error]



=== TEST 10: the code cache off: each request has a Lua of its own, and its plugin goes with it
--- http_config
    lua_code_cache off;
--- config
    location /t {
        access_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            ngx.ctx.wasm = assert(wasm.on_configure(
                assert(wasm.load("rust-headers", "$TEST_NGINX_PLUGINS/rust-headers.wasm")), "blah"))
            assert(wasm.on_http_request_headers(ngx.ctx.wasm))
        }
        content_by_lua_block { ngx.say(ngx.var.http_x_rust_conf) }
        header_filter_by_lua_block {
            assert(require("resty.proxy-wasm").on_http_response_headers(ngx.ctx.wasm))
        }
    }
--- response_headers
X-Rust: blah
--- response_body
blah
--- grep_error_log eval
qr/(?:create|free) \w+ context \d+|(?:un)?loaded wasm plugin|rust ctx \d+/
--- grep_error_log_out
loaded wasm plugin
create plugin context 1
create http context 2
rust ctx 2
free http context 2
free plugin context 1
unloaded wasm plugin
--- error_log
lua_code_cache is off
--- no_error_log
[error]



=== TEST 11: the code cache off, required in init_by_lua
--- http_config
    lua_code_cache off;
    init_by_lua_block { require("resty.proxy-wasm") }
--- config
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local ctx = assert(wasm.on_configure(assert(wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm")), "blah"))
            assert(wasm.on_http_request_headers(ctx))
            ngx.say("done")
        }
    }
--- response_body
done
--- error_log
lua_code_cache is off



=== TEST 12: master_process off: init_by_lua and the requests in one process
--- http_config
    init_by_lua_block {
        wasm = require("resty.proxy-wasm")
        ctx = assert(wasm.on_configure(assert(wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm")), "blah"))
    }
--- master_off
--- config
    location /t {
        content_by_lua_block {
            assert(wasm.on_http_request_headers(ctx))
            ngx.say("done")
        }
    }
--- response_body
done
--- no_error_log
[error]



=== TEST 13: nginx -t runs no Lua: init_by_lua loads nothing there, and a Lua file that is missing is not told
--- http_config
    lua_package_path "$TEST_NGINX_HTML_DIR/?.lua;;";
    init_by_lua_block { require("resty.proxy-wasm") }
--- check_config
--- no_error_log
resty.proxy-wasm
[error]
