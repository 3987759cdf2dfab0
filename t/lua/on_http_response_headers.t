# resty.proxy-wasm: on_http_response_headers(ctx) runs proxy_on_response_headers: true, or nil and why not.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::LuaSetup;

no_long_string();
add_block_preprocessor(\&ProxyWasm::LuaSetup::add);
run_tests();

__DATA__

=== TEST 1: it answers true, and what the plugin changes reaches the client
--- config
    location /t {
        content_by_lua_block { ngx.say("hi") }
        header_filter_by_lua_block {
            ngx.header["X-Answer"] = tostring(wasm.on_http_response_headers(configured("rust-headers", "blah")))
        }
    }
--- response_headers
X-Rust: blah
X-Answer: true
--- response_body
hi
--- error_log
rust ctx 2 conf blah
--- no_error_log
[error]



=== TEST 2: bad plugin ctx: anything that on_configure did not answer
--- config
    location /t {
        content_by_lua_block {
            for _, ctx in ipairs({false, "ctx", {}, 1}) do
                ngx.say(type(ctx), " ", select(2, wasm.on_http_response_headers(ctx)))
            end
            ngx.say("nil ", select(2, wasm.on_http_response_headers()))
        }
    }
--- response_body
boolean bad plugin ctx
string bad plugin ctx
table bad plugin ctx
number bad plugin ctx
nil bad plugin ctx
--- no_error_log
[error]



=== TEST 3: bad request: there is none in init_by_lua
--- http_config
    init_by_lua_block {
        local wasm = require("resty.proxy-wasm")
        local plugin = assert(wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm"))
        local ctx = assert(wasm.on_configure(plugin, "blah"))
        answer = {wasm.on_http_response_headers(ctx)}
    }
--- config
    location /t {
        content_by_lua_block { ngx.say(answer[1], " ", answer[2]) }
    }
--- response_body
nil bad request
--- no_error_log
[error]



=== TEST 4: bad request: what a timer runs in is none
--- config
    location /t {
        content_by_lua_block {
            local ctx = configured("rust-headers", "blah")
            local answered = require("ngx.semaphore").new()
            local ok, err
            ngx.timer.at(0, function()
                ok, err = wasm.on_http_response_headers(ctx)
                answered:post()
            end)
            answered:wait(5)
            ngx.say(ok, " ", err)
        }
    }
--- response_body
nil bad request
--- no_error_log
[error]



=== TEST 5: request and response run in one context
--- config
    location /t {
        access_by_lua_block { assert(wasm.on_http_request_headers(configured("rust-headers", "blah"))) }
        content_by_lua_block { ngx.say(ngx.var.http_x_rust_conf) }
        header_filter_by_lua_block { assert(wasm.on_http_response_headers(configured("rust-headers", "blah"))) }
    }
--- response_headers
X-Rust: blah
--- response_body
blah
--- grep_error_log eval
qr/(?:create|free) http context \d+|rust ctx \d+/
--- grep_error_log_out
create http context 2
rust ctx 2
free http context 2



=== TEST 6: a Go plugin, on an upstream's response
--- config
    location /t {
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
        header_filter_by_lua_block { assert(wasm.on_http_response_headers(configured("go-headers", "blah"))) }
    }
    location /upstream { return 200 "from upstream\n"; }
--- response_headers
X-Go: blah
--- response_body
from upstream
--- no_error_log
[error]



=== TEST 7: a plugin that traps: nil, and 503 in the place of the response
--- config
    location /t {
        content_by_lua_block { ngx.say("hi") }
        header_filter_by_lua_block {
            ngx.header["X-Answer"] = table.concat({select(2,
                wasm.on_http_response_headers(configured("hostcalls", '{"on_response_headers": [["trap"]]}')))})
        }
    }
--- error_code: 503
--- response_headers
X-Answer: failed to run proxy_on_http_response_headers
--- response_body
503 Service Temporarily Unavailable
--- error_log
failed to call function: proxy_on_response_headers of plugin "hostcalls" in context 2: wasm trap:



=== TEST 8: a result that is no action is an error, not a loop
--- config
    location /t {
        content_by_lua_block { ngx.say("hi") }
        header_filter_by_lua_block {
            ngx.header["X-Answer"] = table.concat({select(2,
                wasm.on_http_response_headers(configured("hostcalls", '{"on_response_headers": [["return", 99]]}')))})
        }
    }
--- error_code: 503
--- response_headers
X-Answer: failed to run proxy_on_http_response_headers
--- response_body
503 Service Temporarily Unavailable
--- error_log
plugin "hostcalls" failed: it returned 99, which is not an action



=== TEST 9: on a response without a body the stream ends here, on another it does not
--- config
    location /t {
        content_by_lua_block { ngx.say("hi") }
        header_filter_by_lua_block {
            assert(wasm.on_http_response_headers(configured("hostcalls", [=[{"on_response_headers":
                [{"op": "echo", "args": ["${end_of_stream}"], "to": ["response", "x-end"]}]}]=])))
        }
    }
--- request eval
["GET /t", "HEAD /t"]
--- response_headers eval
["X-End: false", "X-End: true"]



=== TEST 10: the plugin sees the status, and nginx's own error page passes it too
--- config
    location /t {
        access_by_lua_block { ngx.exit(403) }
        header_filter_by_lua_block {
            assert(wasm.on_http_response_headers(configured("hostcalls", [=[{"on_response_headers":
                [{"op": "get_header_map_value", "args": ["response", ":status"], "to": ["response", "x-status"]}]}]=])))
        }
    }
--- error_code: 403
--- response_headers
X-Status: 403
