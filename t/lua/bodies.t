# resty.proxy-wasm: on_http_request_body(ctx, body, end_of_body) and on_http_response_body(ctx) run the body callbacks:
# true, or nil and why not.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::LuaSetup;

no_long_string();
add_block_preprocessor(\&ProxyWasm::LuaSetup::add);
run_tests();

__DATA__

=== TEST 1: request: it answers true, and the plugin sees size and end
--- config
    location /t {
        content_by_lua_block {
            ngx.req.read_body()
            local ctx = configured("hostcalls", [=[{"on_request_body":
                [["log", "info", "body ${body_size} ${end_of_stream}"], ["get_buffer_bytes", "request_body"]]}]=])
            assert(wasm.on_http_request_headers(ctx))
            ngx.say(wasm.on_http_request_body(ctx, ngx.req.get_body_data(), true))
        }
    }
--- request
POST /t
hello
--- response_body
true
--- error_log
body 5 true
get_buffer_bytes request_body -> OK hello



=== TEST 2: request: bad plugin ctx
--- config
    location /t {
        content_by_lua_block { ngx.say(wasm.on_http_request_body({}, "body", true)) }
    }
--- response_body
nilbad plugin ctx



=== TEST 3: request: a plugin that traps
--- config
    location /t {
        content_by_lua_block {
            ngx.say(wasm.on_http_request_body(configured("hostcalls", '{"on_request_body": [["trap"]]}'), "body", true))
        }
    }
--- response_body
nilfailed to run proxy_on_http_request_body
--- error_log
failed to call function: proxy_on_request_body of plugin "hostcalls" in context 2: wasm trap:



=== TEST 4: request: a body the plugin changes is what the upstream gets
--- config
    location /t {
        access_by_lua_block {
            ngx.req.read_body()
            assert(wasm.on_http_request_body(configured("hostcalls",
                '{"on_request_body": [["set_buffer_bytes", "request_body", "changed"]]}'), ngx.req.get_body_data(), true))
        }
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /upstream { content_by_lua_block { ngx.req.read_body() ngx.say(ngx.req.get_body_data()) } }
--- request
POST /t
hello
--- response_body
changed



=== TEST 5: response: it answers true per chunk, and the plugin sees size and end
--- config
    location /t {
        content_by_lua_block { ngx.print("hello") }
        header_filter_by_lua_block { ngx.header.content_length = nil }
        body_filter_by_lua_block {
            local ok, err = wasm.on_http_response_body(configured("hostcalls",
                '{"on_response_body": [["log", "info", "body ${body_size} ${end_of_stream}"]]}'))
            ngx.log(ngx.INFO, "answer: ", ok, " ", err)
        }
    }
--- response_body chomp
hello
--- error_log
body 5 false
body 0 true
answer: true nil



=== TEST 6: response: bad plugin ctx
--- config
    location /t {
        content_by_lua_block { ngx.say(wasm.on_http_response_body("ctx")) }
    }
--- response_body
nilbad plugin ctx



=== TEST 7: response: a plugin that traps lets nothing through
--- config
    location /t {
        content_by_lua_block { ngx.print("hello") }
        body_filter_by_lua_block {
            ngx.log(ngx.INFO, wasm.on_http_response_body(configured("hostcalls", '{"on_response_body": [["trap"]]}')))
        }
    }
--- ignore_response
--- error_log
nilfailed to run proxy_on_http_response_body



=== TEST 8: request: what a timer runs in is no request
--- config
    location /t {
        content_by_lua_block {
            local ctx = configured("hostcalls", '{"on_request_body": [["get_buffer_bytes", "request_body"]]}')
            local answered = require("ngx.semaphore").new()
            local ok, err
            ngx.timer.at(0, function()
                ok, err = wasm.on_http_request_body(ctx, "body", true)
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



=== TEST 9: a request's body that a plugin changed before it answered is not the answer's
--- config
    location /t {
        access_by_lua_block {
            ngx.req.read_body()
            ngx.ctx.plugin = configured("hostcalls", [=[{
                "on_request_body": [["set_buffer_bytes", "request_body", "of the request"],
                    ["send_local_response", 403, "the answer"]],
                "on_response_body": [["get_buffer_bytes", "request_body"]]}]=])
            wasm.on_http_request_body(ngx.ctx.plugin, ngx.req.get_body_data(), true)
        }
        body_filter_by_lua_block { wasm.on_http_response_body(ngx.ctx.plugin) }
    }
--- request
POST /t
hello
--- error_code: 403
--- response_body chomp
the answer
--- error_log
get_buffer_bytes request_body -> OK the answer
--- no_error_log
[error]



=== TEST 10: nor is one that a plugin changed before it failed
--- config
    location /t {
        content_by_lua_block {
            ngx.req.read_body()
            wasm.on_http_request_body(configured("hostcalls", [=[{
                "on_request_body": [["set_buffer_bytes", "request_body", "of the request"], ["trap"]]}]=]),
                ngx.req.get_body_data(), true)
            ngx.ctx.plugin = configured("hostcalls",
                '{"on_response_body": [["set_buffer_bytes", "response_body", "of the response"]]}')
            ngx.print("the response")
        }
        body_filter_by_lua_block { wasm.on_http_response_body(ngx.ctx.plugin) }
    }
--- request
POST /t
hello
--- response_body_like: ^(of the response)+$
