# Calls of a plugin that Lua drives: while one is unanswered the request waits, and the worker does not; when all are answered the
# request goes on, whatever the plugin returned. A pause without a call is a real one.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::LuaSetup;

no_long_string();
add_block_preprocessor(\&ProxyWasm::LuaSetup::add);
add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(config => $block->config . <<'C');
    location /called { add_header X-From called; return 200 "answer\n"; }
    location /teapot { return 418; }
C
});
run_tests();

__DATA__

=== TEST 1: Continue after a call: the request waits for the answer
--- config
    location /t {
        access_by_lua_block {
            local ctx = configured("hostcalls", [=[{"on_request_headers": [
                    ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/called"], [":authority", "a"]]]],
                "on_http_call_response": [
                    ["get_header_map_value", "call_response", "x-from"],
                    ["add_header_map_value", "request", "x-seen", "${last}"]]}]=])
            assert(wasm.on_http_request_headers(ctx))
        }
        content_by_lua_block { ngx.say(ngx.req.get_headers()["x-seen"]) }
    }
--- response_body
called
--- no_error_log
[error]



=== TEST 2: Pause after a call, and never a resume: the request goes on when the call is answered
--- config
    location /t {
        access_by_lua_block {
            local ctx = configured("hostcalls", [=[{"on_request_headers": [
                    ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/called"], [":authority", "a"]]],
                    ["return", "pause"]],
                "on_http_call_response": [["add_header_map_value", "request", "x-seen", "yes"]]}]=])
            assert(wasm.on_http_request_headers(ctx))
        }
        content_by_lua_block { ngx.say(ngx.req.get_headers()["x-seen"]) }
    }
--- response_body
yes
--- no_error_log
[error]



=== TEST 3: several calls at once: all are waited for
--- config
    location /t {
        access_by_lua_block {
            local ctx = configured("hostcalls", [=[{"on_request_headers": [
                    ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/called"], [":authority", "a"]]],
                    ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/teapot"], [":authority", "a"]]],
                    ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/called"], [":authority", "a"]]]],
                "on_http_call_response": [["add_header_map_value", "request", "x-seen", "yes"]]}]=])
            assert(wasm.on_http_request_headers(ctx))
        }
        content_by_lua_block { ngx.say(#ngx.req.get_headers()["x-seen"]) }
    }
--- response_body
3
--- no_error_log
[error]



=== TEST 4: an answer from the call's response
--- config
    location /t {
        access_by_lua_block {
            local ctx = configured("hostcalls", [=[{"on_request_headers": [
                    ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/called"], [":authority", "a"]]]],
                "on_http_call_response": [["send_local_response", 403, "refused\n", [["x-why", "call"]]]]}]=])
            assert(wasm.on_http_request_headers(ctx))
        }
        content_by_lua_block { ngx.say("not reached") }
    }
--- error_code: 403
--- response_headers
X-Why: call
--- response_body
refused



=== TEST 5: a failed call calls back with nothing, and the request goes on
--- config
    location /t {
        access_by_lua_block {
            local ctx = configured("hostcalls", [=[{"on_request_headers": [
                    ["http_call", "127.0.0.1:1", [[":method", "GET"], [":path", "/called"], [":authority", "a"]]]],
                "on_http_call_response": [["add_header_map_value", "request", "x-seen", "${num_headers} ${body_size} ${num_trailers}"]]}]=])
            assert(wasm.on_http_request_headers(ctx))
        }
        content_by_lua_block { ngx.say(ngx.req.get_headers()["x-seen"]) }
    }
--- response_body
0 0 0
--- error_log
http call failed: connection refused



=== TEST 6: a pause without a call ends at wasm_pause_timeout
--- config
    wasm_pause_timeout 50ms;
    location /t {
        content_by_lua_block {
            local ctx = configured("hostcalls", [=[{"on_request_headers": [["return", "pause"]]}]=])
            ngx.say(wasm.on_http_request_headers(ctx))
        }
    }
--- response_body
nilfailed to run proxy_on_http_call_response
--- error_log
held the request past wasm_pause_timeout



=== TEST 7: a plugin that traps in the call's response
--- config
    location /t {
        content_by_lua_block {
            local ctx = configured("hostcalls", [=[{"on_request_headers": [
                    ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/called"], [":authority", "a"]]]],
                "on_http_call_response": [["trap", "unreachable"]]}]=])
            ngx.say(wasm.on_http_request_headers(ctx))
        }
    }
--- response_body
nilfailed to run proxy_on_http_call_response
--- error_log
failed to call function



=== TEST 8: of two threads of a request that wait at once, the second is told that it cannot
--- config
    location /t {
        content_by_lua_block {
            local ctx = {}
            for i = 1, 2 do
                ctx[i] = configured("hostcalls", [=[{"on_request_headers": [
                    ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/called"], [":authority", "a"]]],
                    ["return", "pause"]]}]=] .. string.rep(" ", i))
            end
            local first, second = ngx.thread.spawn(wasm.on_http_request_headers, ctx[1]), ngx.thread.spawn(wasm.on_http_request_headers, ctx[2])
            ngx.say(select(2, ngx.thread.wait(first)))
            ngx.say(select(2, ngx.thread.wait(second)))
        }
    }
--- response_body
true
nilfailed to run proxy_on_http_request_headers
--- error_log
plugin "hostcalls" cannot hold the request: another Lua thread of it waits already



=== TEST 9: what a call leaves out has a default, and a path without a slash gets one
--- config
    location /asked { return 200 "$request_method $request_uri for $http_host"; }
    location /t {
        access_by_lua_block {
            local ctx = configured("hostcalls", [=[{"on_request_headers": [
                    ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":path", "asked?a=b"]]]],
                "on_http_call_response": [
                    ["get_buffer_bytes", "call_response_body"],
                    ["add_header_map_value", "request", "x-seen", "${last}"]]}]=])
            assert(wasm.on_http_request_headers(ctx))
        }
        content_by_lua_block { ngx.say(ngx.req.get_headers()["x-seen"]) }
    }
--- response_body eval
"GET /asked?a=b for 127.0.0.1:$ENV{TEST_NGINX_SERVER_PORT}\n"
--- no_error_log
[error]
