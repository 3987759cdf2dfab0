# proxy_send_local_response: an answer that a plugin gives in the upstream's place.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Scripted;

run_tests();

__DATA__

=== TEST 1: status, body and headers
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["send_local_response", 418, "short and stout\n", [["x-a", "1"], ["X-B", "2"], ["x-a", "3"]]]
        ]}';
        return 500;
    }
--- request
GET /t
--- error_code: 418
--- response_headers
X-A: 1, 3
X-B: 2
Content-Type: text/plain
Content-Length: 16
--- response_body
short and stout
--- no_error_log
[error]



=== TEST 2: the upstream is not asked
--- upstream
        location /t { content_by_lua_block { ngx.log(ngx.WARN, "upstream was asked") } }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["send_local_response", 200, "local"]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body chomp
local
--- no_error_log
upstream was asked



=== TEST 3: without a body
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["send_local_response", 401]]}';
        return 500;
    }
--- request
GET /t
--- error_code: 401



=== TEST 4: a content type of its own
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["send_local_response", 200, "{}", [["Content-Type", "application/json"]]]
        ]}';
        return 500;
    }
--- request
GET /t
--- response_headers
Content-Type: application/json
--- response_body chomp
{}



=== TEST 5: the length is the body's, whatever the headers say
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["send_local_response", 200, "hello", [["content-length", "500"], ["transfer-encoding", "chunked"]]]
        ]}';
        return 500;
    }
    location /next { return 200 "next"; }
--- pipelined_requests eval
["GET /t", "GET /next"]
--- response_body eval
["hello", "next"]



=== TEST 6: redirect, cookies and caching
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["send_local_response", 302, "", [
                ["location", "https://login.example/?a=b"], ["set-cookie", "a=1"], ["set-cookie", "b=2"],
                ["cache-control", "no-store"], ["server", "wasm"], ["www-authenticate", "Basic"]
            ]]
        ]}';
        return 500;
    }
--- request
GET /t
--- error_code: 302
--- response_headers
Location: https://login.example/?a=b
Set-Cookie: a=1, b=2
Cache-Control: no-store
Server: wasm
WWW-Authenticate: Basic



=== TEST 7: pseudo headers in the answer are left out
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["send_local_response", 200, "hello", [[":status", "500"], [":fnord", "x"], ["x-a", "1"]]]
        ]}';
        return 500;
    }
--- request
GET /t
--- response_headers
X-A: 1
--- raw_response_headers_unlike: fnord|:status



=== TEST 8: to HEAD, the length without the body
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["send_local_response", 200, "hello"]]}';
        return 500;
    }
--- request
HEAD /t
--- response_headers
Content-Length: 5
--- response_body chomp



=== TEST 9: a request's body that nobody read does not disturb the next request
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["send_local_response", 403, "no"]]}';
        return 500;
    }
    location /next { return 200 "next"; }
--- pipelined_requests eval
["POST /t\nhello", "GET /next"]
--- error_code eval
[403, 200]
--- response_body eval
["no", "next"]



=== TEST 10: the answer passes the response callbacks, once
--- config
    location /t {
        proxy_wasm hostcalls '{"trace": true,
            "on_request_headers": [["send_local_response", 403, "no"], ["return", "pause"]],
            "on_response_headers": [
                ["get_header_map_value", "response", ":status"],
                ["add_header_map_value", "response", "x-seen", "${callback}"]
            ]
        }';
        return 500;
    }
--- request
GET /t
--- error_code: 403
--- response_headers
X-Seen: on_response_headers
--- error_log
get_header_map_value response :status -> OK 403
--- grep_error_log eval: qr/on_(?:request|response)_headers \d+|on_(?:done|log|delete) 2/
--- grep_error_log_out eval
qr/^on_request_headers 2\non_response_headers 2\non_done 2\non_log 2\non_delete 2\n$/



=== TEST 11: Continue is as good as Pause
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["send_local_response", 403, "no"], ["return", "continue"]
        ]}';
        return 500;
    }
--- request
GET /t
--- error_code: 403
--- response_body chomp
no



=== TEST 12: of two answers the first is sent
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["send_local_response", 403, "first"],
            ["send_local_response", 404, "second"]
        ]}';
        return 500;
    }
--- request
GET /t
--- error_code: 403
--- response_body chomp
first



=== TEST 13: from the response headers, in place of the upstream's
--- upstream
        location /t { add_header X-Up 1; add_header ETag e; return 200 "of the upstream, and longer"; }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["send_local_response", 502, "replaced", [["x-a", "1"]]]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- error_code: 502
--- response_headers
X-A: 1
!X-Up
!ETag
Content-Length: 8
--- response_body chomp
replaced



=== TEST 14: from the response headers, of what nginx itself answers
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["send_local_response", 502, "replaced"]
        ]}';
        return 200 "of nginx, and longer";
    }
--- request
GET /t
--- error_code: 502
--- response_body chomp
replaced



=== TEST 15: from the body's callback, while the header is not sent
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_body": [
            ["send_local_response", 502, "replaced"]
        ]}';
        return 200 "of nginx, and longer";
    }
--- request
GET /t
--- error_code: 502
--- response_body chomp
replaced



=== TEST 16: details are logged
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["send_local_response", 403, "no", [], "rule 17 denied it"]
        ]}';
        return 500;
    }
--- request
GET /t
--- error_code: 403
--- error_log eval
qr/\[info\] .*local response 403, details: rule 17 denied it, client: 127/



=== TEST 17: a status that is none is a bad argument, and the request goes on
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["send_local_response", 0], ["send_local_response", 99], ["send_local_response", 100],
            ["send_local_response", 600], ["send_local_response", "max"]
        ]}';
        return 200 "went on";
    }
--- request
GET /t
--- response_body chomp
went on
--- grep_error_log eval: qr/send_local_response \S+ -> \w+/
--- grep_error_log_out eval
qr/^(?:.* -> BAD_ARGUMENT\n){5}$/



=== TEST 18: what would split the response is a bad argument, and half an answer is none
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["send_local_response", 200, "a", [["x-a", {"hex": "610d0a782d623a2062"}]]],
            ["send_local_response", 200, "a", [["x-ok", "1"], [{"hex": "780a79"}, "b"]]],
            ["send_local_response", 200, "a", {"hex": "ffffffff"}]
        ]}';
        return 200 "went on";
    }
--- request
GET /t
--- raw_response_headers_unlike: (?i)x-
--- response_body chomp
went on
--- grep_error_log eval: qr/send_local_response .* -> \w+/
--- grep_error_log_out eval
qr/^(?:.* -> (?!OK)\w+\n){3}$/



=== TEST 19: a wild body is no answer
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["raw", "proxy_send_local_response", 200, 0, 0, 4294967280, 100, 0, 0, 0]
        ]}';
        return 200 "went on";
    }
--- request
GET /t
--- response_body chomp
went on
--- error_log
-> INVALID_MEMORY_ACCESS



=== TEST 20: a gRPC client gets a gRPC status
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["send_local_response", 403, "not 100% allowed\n", [["x-a", "1"]], "", 7]
        ]}';
        return 500;
    }
--- more_headers
Content-Type: application/grpc+proto
--- request
GET /t
--- response_headers
Content-Type: application/grpc
grpc-status: 7
grpc-message: not 100%25 allowed%0A
X-A: 1
--- response_body chomp



=== TEST 21: another client does not
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["send_local_response", 403, "no", [], "", 7]]}';
        return 500;
    }
--- request
GET /t
--- error_code: 403
--- response_headers
!grpc-status
--- response_body chomp
no



=== TEST 22: where there is no request, or no response any more, it is a bad argument
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_configure": [["send_local_response", 200, "a"]],
            "on_log": [["send_local_response", 201, "b"]]
        }';
        return 200 "hello";
    }
--- request
GET /t
--- response_body chomp
hello
--- error_log
send_local_response 200 a -> BAD_ARGUMENT
send_local_response 201 b -> BAD_ARGUMENT



=== TEST 23: error_page is for nginx's errors, not for a plugin's answer
--- config
    error_page 403 /error;
    location /error { return 200 "page"; }
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["send_local_response", 403, "no"]]}';
        return 500;
    }
--- request
GET /t
--- error_code: 403
--- response_body chomp
no



=== TEST 24: a large body
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["send_local_response", 200, {"repeat": ["x", 1000000]}]
        ]}';
        return 500;
    }
--- request
GET /t
--- response_headers
Content-Length: 1000000
--- response_body_filters: length
--- response_body chomp
1000000



=== TEST 25: on HTTP/2
--- http2
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["send_local_response", 403, "no", [["X-A", "1"]]]
        ]}';
        return 500;
    }
--- request
GET /t
--- error_code: 403
--- response_headers
X-A: 1
--- response_body chomp
no



=== TEST 26: in the access phase, through the Rust SDK
--- http_config
    wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm;
--- config
    location /t {
        proxy_wasm rust hi;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- more_headers
X-Rust-Deny: 1
--- request
GET /t
--- error_code: 403
--- response_body
denied
--- response_headers
X-Rust: hi



=== TEST 27: a status by which nginx means something else is sent as it is
--- config eval
join '', map { <<"E" } 408, 444, 494 .. 497, 499;
    location /$_ {
        proxy_wasm hostcalls '{"on_request_headers": [["send_local_response", $_, "", [["x-a", "b"]]]]}';
    }
E
--- request eval
[map { "GET /$_" } 408, 444, 494 .. 497, 499]
--- error_code eval
[408, 444, 494 .. 497, 499]
--- response_headers eval
[("X-A: b") x 7]



=== TEST 28: with satisfy any, what a plugin refuses in the access phase is refused
--- http_config
    wasm_plugin access $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t {
        satisfy any;
        allow all;
        proxy_wasm access '{"on_request_headers": [["send_local_response", 403, "", [["x-a", "b"]]]]}';
    }
--- user_files
>>> t
let in
--- request
GET /t
--- error_code: 403
--- response_headers
X-A: b
--- no_error_log
[error]
