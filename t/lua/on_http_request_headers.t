# resty.proxy-wasm: on_http_request_headers(ctx) runs proxy_on_request_headers: true, or nil and why not.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::LuaSetup;

no_long_string();
add_block_preprocessor(\&ProxyWasm::LuaSetup::add);
run_tests();

__DATA__

=== TEST 1: it answers true, and nothing else
--- config
    location /t {
        content_by_lua_block {
            ngx.say(wasm.on_http_request_headers(configured("log", "blah")))
        }
    }
--- response_body
true
--- error_log
run plugin ctx 1 with conf blah in http ctx 2
--- no_error_log
[error]



=== TEST 2: bad plugin ctx: anything that on_configure did not answer
--- config
    location /t {
        content_by_lua_block {
            for _, ctx in ipairs({false, "ctx", {}, 1}) do
                ngx.say(type(ctx), " ", select(2, wasm.on_http_request_headers(ctx)))
            end
            ngx.say("nil ", select(2, wasm.on_http_request_headers()))
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
        answer = {wasm.on_http_request_headers(ctx)}
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
                ok, err = wasm.on_http_request_headers(ctx)
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



=== TEST 5: bad request: what init_worker_by_lua runs in is none
--- http_config
    init_worker_by_lua_block {
        local wasm = require("resty.proxy-wasm")
        local plugin = assert(wasm.load("rust-headers", "$TEST_NGINX_PLUGINS/rust-headers.wasm"))
        local ctx = assert(wasm.on_configure(plugin, "blah"))
        answer = {wasm.on_http_request_headers(ctx)}
    }
--- config
    location /t {
        content_by_lua_block { ngx.say(answer[1], " ", answer[2]) }
    }
--- response_body
nil bad request
--- no_error_log
[error]



=== TEST 6: a result that is no action is an error, not a loop
--- config
    location /t {
        content_by_lua_block {
            ngx.say(wasm.on_http_request_headers(configured("hostcalls", '{"on_request_headers": [["return", 7]]}')))
        }
    }
--- response_body
nilfailed to run proxy_on_http_request_headers
--- error_log eval
qr/\[error\] .*plugin "hostcalls" failed: it returned 7, which is not an action/



=== TEST 7: in the rewrite phase, what it changes is seen by what follows
--- config
    location /t {
        rewrite_by_lua_block {
            assert(wasm.on_http_request_headers(configured("rust-headers", "blah")))
        }
        access_by_lua_block { ngx.log(ngx.INFO, "access sees ", ngx.var.http_x_rust_conf) }
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /upstream { return 200 "$http_x_rust_conf\n"; }
--- response_body
blah
--- error_log
access sees blah



=== TEST 8: in the access phase, what it changes reaches the upstream
--- config
    location /t {
        access_by_lua_block {
            assert(wasm.on_http_request_headers(configured("rust-headers", "blah")))
        }
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /upstream { return 200 "$http_x_rust_conf\n"; }
--- response_body
blah



=== TEST 9: a Go plugin's change reaches the upstream
--- config
    location /t {
        access_by_lua_block {
            assert(wasm.on_http_request_headers(configured("go-headers", "blah")))
        }
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /upstream { return 200 "$http_x_go_conf\n"; }
--- response_body
blah



=== TEST 10: num_headers counts the headers, pseudo headers too; a request without a body ends here
--- config
    location /t {
        access_by_lua_block {
            assert(wasm.on_http_request_headers(configured("hostcalls", [=[{"on_request_headers":
                [["log", "info", "headers ${num_headers} end ${end_of_stream}"]]}]=])))
        }
        content_by_lua_block { ngx.say("done") }
    }
--- raw_request eval
["GET /t HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX-A: 2\r\nConnection: close\r\n\r\n"]
--- response_body
done
--- error_log
headers 8 end true



=== TEST 11: a request with a body does not end here
--- config
    location /t {
        access_by_lua_block {
            assert(wasm.on_http_request_headers(configured("hostcalls", [=[{"on_request_headers":
                [["log", "info", "end ${end_of_stream}"]]}]=])))
        }
        content_by_lua_block { ngx.req.discard_body() ngx.say("done") }
    }
--- request
POST /t
body
--- response_body
done
--- error_log
end false



=== TEST 12: a second call on a request runs the callback again, in the same context
--- config
    location /t {
        content_by_lua_block {
            local ctx = configured("log", "blah")
            wasm.on_http_request_headers(ctx)
            wasm.on_http_request_headers(ctx)
            ngx.say("done")
        }
    }
--- response_body
done
--- grep_error_log eval
qr/(?:create|free) http context \d+|in http ctx \d+/
--- grep_error_log_out
create http context 2
in http ctx 2
in http ctx 2
free http context 2



=== TEST 13: HTTP/1.0 without Host: a plugin that reads :authority and all headers is served
--- config
    location /t {
        access_by_lua_block {
            assert(wasm.on_http_request_headers(configured("rust-headers", "blah")))
        }
        content_by_lua_block { ngx.say("not answered by the plugin") }
    }
--- raw_request eval
["GET /t HTTP/1.0\r\nX-Rust-Echo: 1\r\n\r\n"]
--- response_body_like
^authority is .*
x-rust-echo: 1
:scheme: http
:path: /t
:method: GET



=== TEST 14: a context that Lua lets go of during the request stays until its end
--- config
    location /t {
        content_by_lua_block {
            local plugin = assert(wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm"))
            local ctx = assert(wasm.on_configure(plugin, "blah"))
            assert(wasm.on_http_request_headers(ctx))
            ctx, plugin = nil, nil
            collectgarbage()
            collectgarbage()
            ngx.log(ngx.INFO, "collected")
            ngx.say("done")
        }
    }
--- response_body
done
--- grep_error_log eval
qr/(?:create|free) \w+ context \d+|collected,|unloaded/
--- grep_error_log_out
create plugin context 1
create http context 2
collected,
free http context 2
free plugin context 1
unloaded



=== TEST 15: in subrequests, each has a context of its own
--- config
    location /t {
        access_by_lua_block { assert(wasm.on_http_request_headers(configured("log", "blah"))) }
        content_by_lua_block {
            ngx.location.capture_multi({{"/sub"}, {"/sub"}})
            ngx.say("done")
        }
    }
    location /sub {
        rewrite_by_lua_block { assert(wasm.on_http_request_headers(configured("log", "blah"))) }
        content_by_lua_block { ngx.sleep(0) ngx.say("sub") }
    }
--- response_body
done
--- grep_error_log eval
qr/in http ctx \d+|free http context \d+/
--- grep_error_log_out eval
qr/^in http ctx 2
in http ctx 3
in http ctx 4
(?:free http context [234]\n){3}$/



=== TEST 16: an internal redirect does not make a second context
--- config
    location /t {
        access_by_lua_block { assert(wasm.on_http_request_headers(configured("log", "blah"))) }
        content_by_lua_block { ngx.exec("/redirected") }
    }
    location /redirected {
        access_by_lua_block { assert(wasm.on_http_request_headers(configured("log", "blah"))) }
        content_by_lua_block { ngx.say("done") }
    }
--- response_body
done
--- grep_error_log eval
qr/in http ctx \d+|free http context \d+/
--- grep_error_log_out
in http ctx 2
in http ctx 2
free http context 2



=== TEST 15: :path gets a slash in front; one with a space or a control character is refused
--- config
    location /t {
        content_by_lua_block {
            for _, path in ipairs({[["a"]], [["b?d"]], [["b c"]], [[{"hex": "610d0a61"}]]}) do
                local step = [[["replace_header_map_value", "request", ":path", ]] .. path .. "]"
                assert(wasm.on_http_request_headers(configured("hostcalls", '{"on_request_headers": [' .. step .. "]}")))
                ngx.say(ngx.var.uri, " ", ngx.var.args)
            end
        }
    }
--- response_body
/a nil
/b d
/b d
/b d
--- error_log
failed to set request header :path: invalid char " "
failed to set request header :path: invalid char "\r"



=== TEST 16: a path that leaves the root gets 400
--- config
    location /t {
        content_by_lua_block {
            local script = [=[{"on_request_headers": [["replace_header_map_value", "request", ":path", "/../../etc/passwd"]]}]=]
            wasm.on_http_request_headers(configured("hostcalls", script))
            ngx.say("not reached")
        }
    }
--- error_code: 400
--- error_log
failed to set request header :path: nginx takes no such path, so the client gets 400, plugin: "hostcalls"
