# resty.proxy-wasm: a plugin answers by itself. Lua sends that, and what follows the call does not run.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::LuaSetup;

no_long_string();
add_block_preprocessor(\&ProxyWasm::LuaSetup::add);
run_tests();

__DATA__

=== TEST 1: with a body
--- config
    location /t {
        access_by_lua_block {
            wasm.on_http_request_headers(configured("fault-injection", '{"http_status": 401, "body": "HIT\\n"}'))
            ngx.log(ngx.ERR, "still here")
        }
        content_by_lua_block { ngx.say("not answered by the plugin") }
    }
--- error_code: 401
--- response_body
HIT
--- no_error_log
[error]



=== TEST 2: without a body nginx's own page of that status is sent
--- config
    location /t {
        access_by_lua_block {
            wasm.on_http_request_headers(configured("fault-injection", '{"http_status": 401}'))
        }
        content_by_lua_block { ngx.say("not answered by the plugin") }
    }
--- error_code: 401
--- response_headers
Content-Type: text/html
--- response_body_like: <title>401 Authorization Required</title>
--- no_error_log
[error]



=== TEST 3: without a body, a status that has no page
--- config
    location /t {
        access_by_lua_block {
            wasm.on_http_request_headers(configured("fault-injection", '{"http_status": 204}'))
        }
        content_by_lua_block { ngx.say("not answered by the plugin") }
    }
--- error_code: 204
--- no_error_log
[error]



=== TEST 4: in the rewrite phase
--- config
    location /t {
        rewrite_by_lua_block {
            wasm.on_http_request_headers(configured("fault-injection", '{"http_status": 503, "body": "HIT\\n"}'))
        }
        access_by_lua_block { ngx.log(ngx.ERR, "still here") }
        content_by_lua_block { ngx.say("not answered by the plugin") }
    }
--- error_code: 503
--- response_body
HIT
--- no_error_log
still here



=== TEST 5: in the content phase
--- config
    location /t {
        content_by_lua_block {
            wasm.on_http_request_headers(configured("fault-injection", '{"http_status": 200, "body": "HIT\\n"}'))
            ngx.say("not answered by the plugin")
        }
    }
--- response_body
HIT
--- no_error_log
[error]



=== TEST 6: its header fields are sent, repeated ones repeated
--- config
    location /t {
        access_by_lua_block {
            wasm.on_http_request_headers(configured("hostcalls", [=[{"on_request_headers": [
                ["send_local_response", 403, "no\n", [["x-a", "1"], ["set-cookie", "a=1"], ["set-cookie", "b=2"],
                    ["content-type", "application/json"]]],
                ["return", "pause"]]}]=]))
        }
        content_by_lua_block { ngx.say("not answered by the plugin") }
    }
--- error_code: 403
--- response_headers
X-A: 1
Set-Cookie: a=1, b=2
Content-Type: application/json
--- response_body
no



=== TEST 7: the answer passes the response callbacks once
--- config
    location /t {
        access_by_lua_block {
            wasm.on_http_request_headers(configured("hostcalls", [=[{
                "on_request_headers": [["send_local_response", 403, "no\n"]],
                "on_response_headers": [["get_header_map_value", "response", ":status"]]}]=]))
        }
        header_filter_by_lua_block {
            assert(wasm.on_http_response_headers(configured("hostcalls", [=[{
                "on_request_headers": [["send_local_response", 403, "no\n"]],
                "on_response_headers": [["get_header_map_value", "response", ":status"]]}]=])))
        }
    }
--- error_code: 403
--- response_body
no
--- grep_error_log eval
qr/(?:create|free) http context \d+|:status -> OK \d+/
--- grep_error_log_out
create http context 2
:status -> OK 403
free http context 2



=== TEST 8: an answer of the first plugin ends the request before the second
--- config
    location /t {
        access_by_lua_block {
            wasm.on_http_request_headers(configured("fault-injection", '{"http_status": 401, "body": "HIT\\n"}'))
            wasm.on_http_request_headers(configured("log", "blah"))
        }
        content_by_lua_block { ngx.say("not answered by a plugin") }
    }
--- error_code: 401
--- response_body
HIT
--- no_error_log
run plugin ctx



=== TEST 9: a share of none is never answered by the plugin
--- config
    location /t {
        access_by_lua_block {
            assert(wasm.on_http_request_headers(configured("fault-injection", '{"http_status": 401, "percentage": 0}')))
        }
        content_by_lua_block { ngx.say("not answered by the plugin") }
    }
--- response_body
not answered by the plugin



=== TEST 10: a Go plugin answers by itself
--- config
    location /t {
        access_by_lua_block { wasm.on_http_request_headers(configured("go-headers", "blah")) }
        content_by_lua_block { ngx.say("not answered by the plugin") }
    }
--- more_headers
X-Go-Deny: yes
--- error_code: 403
--- response_body
denied



=== TEST 11: a body with NUL bytes, and a long one, arrive whole
--- config
    location /t {
        access_by_lua_block {
            wasm.on_http_request_headers(configured("hostcalls", ngx.var.arg_nul
                and [=[{"on_request_headers": [["send_local_response", 200, {"hex": "610062"}]]}]=]
                or [=[{"on_request_headers": [["send_local_response", 200, {"repeat": ["x", 100000]}]]}]=]))
        }
    }
--- request eval
["GET /t?nul=1", "GET /t"]
--- response_body eval
["a\0b", "x" x 100_000]



=== TEST 12: on a kept connection, the next request is answered too
--- config
    location /t {
        access_by_lua_block {
            wasm.on_http_request_headers(configured("fault-injection", '{"http_status": 403, "body": "HIT\\n"}'))
        }
    }
--- pipelined_requests eval
["GET /t", "GET /t"]
--- error_code eval
[403, 403]
--- response_body eval
["HIT\n", "HIT\n"]
