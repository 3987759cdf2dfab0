# proxy_on_request_headers: its arguments, by ABI version, and that it runs once for what
# the client sent, whatever nginx makes of the request.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Scripted;

run_tests();

__DATA__

=== TEST 1: context, number of headers, end of stream
--- config
    location /t {
        proxy_wasm hostcalls '{"trace": true}';
        return 200;
    }
--- raw_request eval
"GET /t HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-A: 2\r\nConnection: close\r\n\r\n"
--- error_log eval
# Two of the client's and four pseudo headers; Host is one of these, Connection none.
qr/on_request_headers 2 6 true,/



=== TEST 2: with a body the stream has not ended
--- config
    location /t {
        proxy_wasm hostcalls '{"trace": true}';
        return 200;
    }
--- request
POST /t
hello
--- error_log eval
qr/on_request_headers 2 \d+ false,/



=== TEST 3: a chunked body
--- config
    location /t {
        proxy_wasm hostcalls '{"trace": true}';
        return 200;
    }
--- raw_request eval
"POST /t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
--- error_log eval
qr/on_request_headers 2 \d+ false,/



=== TEST 4: Content-Length: 0 is no body
--- config
    location /t {
        proxy_wasm hostcalls '{"trace": true}';
        return 200;
    }
--- raw_request eval
"POST /t HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
--- error_log eval
qr/on_request_headers 2 \d+ true,/



=== TEST 5: ABI 0.2.0 has the same three arguments
--- config
    location /t {
        proxy_wasm hostcalls-0-2-0 '{"trace": true}';
        return 200;
    }
--- raw_request eval
"GET /t HTTP/1.0\r\nHost: x\r\n\r\n"
--- error_log eval
qr/on_request_headers 2 4 true,/



=== TEST 6: ABI 0.1.0 has two
--- config
    location /t {
        proxy_wasm hostcalls-0-1-0 '{"trace": true}';
        return 200;
    }
--- raw_request eval
"GET /t HTTP/1.0\r\nHost: x\r\n\r\n"
--- error_log eval
qr/on_request_headers 2 4,/



=== TEST 7: HTTP/1.0 without a Host, the Rust SDK
--- http_config
    wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm;
--- config
    location /t {
        proxy_wasm rust hi;
        proxy_set_header Host upstream;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- raw_request eval
"GET /t HTTP/1.0\r\n\r\n"
--- response_headers
X-Rust: hi
--- response_body_like: \r\nx-rust-conf: hi\r\n



=== TEST 8: index redirects inside nginx; the callback runs once
--- config
    location /dir/ {
        alias $TEST_NGINX_HTML_DIR/;
        index index.html;
        proxy_wasm hostcalls '{"trace": true}';
    }
--- request
GET /dir/
--- response_body_like: It works!
--- grep_error_log eval: qr/on_(?:context_create 2 1|(?:request|response)_headers 2|(?:done|log|delete) 2)/
--- grep_error_log_out
on_context_create 2 1
on_request_headers 2
on_response_headers 2
on_done 2
on_log 2
on_delete 2



=== TEST 9: try_files
--- config
    proxy_wasm hostcalls '{"trace": true}';
    location /t { try_files /none.txt /also-none.txt /fallback; }
    location /fallback { return 200 "fallback\n"; }
--- request
GET /t
--- response_body
fallback
--- grep_error_log eval: qr/on_(?:context_create 2 1|(?:request|response)_headers 2|(?:done|log|delete) 2)/
--- grep_error_log_out
on_context_create 2 1
on_request_headers 2
on_response_headers 2
on_done 2
on_log 2
on_delete 2



=== TEST 10: rewrite to another location: each plugin of it runs, none twice
--- config
    proxy_wasm hostcalls '{"on_request_headers": [["echo", "of the server"]]}';
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["echo", "of the first location"]]}';
        rewrite ^ /u last;
    }
    location /u {
        proxy_wasm hostcalls '{"on_request_headers": [["echo", "of the second location"]]}';
        return 200 "second\n";
    }
--- request
GET /t
--- response_body
second
--- grep_error_log eval: qr/echo of the \w+/
--- grep_error_log_out
echo of the server
echo of the first
echo of the second



=== TEST 11: X-Accel-Redirect
--- upstream
        location /t { add_header X-Accel-Redirect /inside; return 200; }
--- config
    proxy_wasm hostcalls '{"trace": true}';
    location /t { proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT; }
    location /inside { internal; return 200 "inside\n"; }
--- request
GET /t
--- response_body
inside
--- grep_error_log eval: qr/on_(?:context_create \d+ 1|(?:request|response)_headers \d+|(?:done|log|delete) [2-9])/
--- grep_error_log_out
on_context_create 2 1
on_request_headers 2
on_response_headers 2
on_done 2
on_log 2
on_delete 2



=== TEST 12: auth_request asks in a subrequest, which has no plugins of its own
--- upstream
        location /auth { return 204; }
--- config
    proxy_wasm hostcalls '{"trace": true}';
    location /t {
        auth_request /auth;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
    location /auth {
        internal;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body_like: ^GET /t HTTP
--- grep_error_log eval: qr/on_(?:context_create \d+ 1|(?:request|response)_headers \d+|(?:done|log|delete) [2-9])/
--- grep_error_log_out
on_context_create 2 1
on_request_headers 2
on_response_headers 2
on_done 2
on_log 2
on_delete 2



=== TEST 13: auth_request that refuses
--- upstream
        location /auth { return 403; }
--- config
    proxy_wasm hostcalls '{"on_response_headers": [["add_header_map_value", "response", "x-seen", "${count}"]]}';
    location /t {
        auth_request /auth;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
    location /auth { proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT; }
--- request
GET /t
--- error_code: 403
--- response_headers
X-Seen: 1



=== TEST 14: SSI
--- user_files
>>> page.html
<!--# include virtual="/part" --> and the rest
--- config
    proxy_wasm hostcalls '{"trace": true}';
    location /pages/ { alias $TEST_NGINX_HTML_DIR/; ssi on; ssi_types *; }
    location /part { return 200 "part"; }
--- request
GET /pages/page.html
--- response_body
part and the rest
--- grep_error_log eval: qr/on_(?:context_create \d+ 1|(?:request|response)_headers \d+|(?:done|log|delete) [2-9])/
--- grep_error_log_out
on_context_create 2 1
on_request_headers 2
on_response_headers 2
on_done 2
on_log 2
on_delete 2



=== TEST 15: addition, before and after
--- user_files
>>> page.html
page
--- config
    proxy_wasm hostcalls '{"on_response_headers": [["add_header_map_value", "response", "x-seen", "${count}"]]}';
    location /pages/ {
        alias $TEST_NGINX_HTML_DIR/;
        addition_types *;
        add_before_body /before;
        add_after_body /after;
    }
    location /before { return 200 "before\n"; }
    location /after { return 200 "after\n"; }
--- request
GET /pages/page.html
--- response_headers
X-Seen: 1
--- response_body
before
page
after



=== TEST 16: mirror
--- upstream
        location /mirror { return 200; }
--- config
    location /t {
        proxy_wasm hostcalls '{"trace": true}';
        mirror /mirror;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
    location /mirror {
        internal;
        proxy_wasm hostcalls '{"on_request_headers": [["echo", "of the mirror"]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body_like: ^GET /t HTTP
--- no_error_log
of the mirror
