# Request headers that nginx keeps pointers to: Host, Content-Length, Content-Type,
# Connection, Cookie, X-Forwarded-For, Authorization, If-Modified-Since, Range … What a
# plugin does to them is what nginx acts on and what the upstream receives.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Scripted;

run_tests();

__DATA__

=== TEST 1: host
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", "Host", "new.example"],
            ["get_header_map_value", "request", ":authority"]
        ]}';
        proxy_set_header Host $http_host;
        proxy_set_header X-Host $host;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body_like: ^GET /t HTTP/1\.[01]\r\nHost: new.example\r\nX-Host: new.example\r\n
--- error_log
get_header_map_value request :authority -> OK new.example



=== TEST 2: adding a host replaces it: a request has one
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["add_header_map_value", "request", "host", "new.example"],
            ["get_header_map_pairs", "request"]
        ]}';
        proxy_set_header Host $http_host;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body_like: \r\nHost: new.example\r\n
--- error_log eval
qr/get_header_map_pairs request -> OK (?!.*localhost.*:scheme).*:authority: new.example/



=== TEST 3: without a host nginx falls back to its server name
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["remove_header_map_value", "request", "host"]
        ]}';
        return 200 "[$http_host] [$host]\n";
    }
--- request
GET /t
--- response_body
[] [localhost]



=== TEST 4: the Host of a redirect that nginx makes
--- config
    server_name_in_redirect off;
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", "host", "new.example"]
        ]}';
        return 301 /there;
    }
--- request
GET /t
--- error_code: 301
--- raw_response_headers_like: Location: http://new\.example:\d+/there\r\n



=== TEST 5: content-type goes upstream once
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["add_header_map_value", "request", "Content-Type", "application/json"]
        ]}';
        proxy_set_header X-Type $content_type;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- more_headers
Content-Type: text/plain
--- request
POST /t
hello
--- response_body_like: ^(?!.*text/plain).*\r\nX-Type: application/json\r\n.*\r\nContent-Type: application/json\r\n



=== TEST 6: a content-type that is removed
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["remove_header_map_value", "request", "content-type"]
        ]}';
        return 200 "[$content_type]\n";
    }
--- more_headers
Content-Type: text/plain
--- request
GET /t
--- response_body
[]



=== TEST 7: the length that goes upstream is the body's, whatever a plugin writes
--- upstream
        location /t {
            content_by_lua_block {
                ngx.req.read_body()
                ngx.say(ngx.var.http_content_length, " ", ngx.req.get_body_data())
            }
        }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", "content-length", "3"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
POST /t
hello
--- response_body
5 hello



=== TEST 8: removing content-length loses no body
--- upstream
        location /t {
            content_by_lua_block {
                ngx.req.read_body()
                ngx.say(ngx.var.http_content_length, " ", ngx.req.get_body_data())
            }
        }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["remove_header_map_value", "request", "content-length"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
POST /t
hello
--- response_body
5 hello



=== TEST 9: nothing a plugin writes about the framing smuggles a second request
--- upstream
        location /t {
            content_by_lua_block {
                ngx.req.read_body()
                ngx.say(ngx.var.request, " ", ngx.req.get_body_data())
            }
        }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["add_header_map_value", "request", "transfer-encoding", "chunked"],
            ["add_header_map_value", "request", "content-length", "0"]
        ]}';
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
POST /t
hello
--- response_body
POST /t HTTP/1.1 hello



=== TEST 10: what a plugin writes of the connection is not for the upstream's
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", "connection", "x-hop"],
            ["get_header_map_value", "request", "connection"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body_like: ^GET /t (?!.*x-hop)
--- error_log
get_header_map_value request connection -> OK x-hop



=== TEST 11: Upgrade and Connection as nginx passes them for WebSocket
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", "upgrade", "websocket"]
        ]}';
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body_like: \r\nUpgrade: websocket\r\n



=== TEST 12: a cookie is added beside the others
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["add_header_map_value", "request", "cookie", "c=3"]
        ]}';
        proxy_set_header X-Seen "$cookie_a $cookie_b $cookie_c";
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- more_headers
Cookie: a=1; b=2
--- request
GET /t
--- response_body_like: \r\nX-Seen: 1 2 3\r\n.*\r\nCookie: a=1; b=2\r\ncookie: c=3\r\n



=== TEST 13: a cookie is replaced
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", "cookie", "c=3"]
        ]}';
        return 200 "[$cookie_a] [$cookie_c] [$http_cookie]\n";
    }
--- raw_request eval
"GET /t HTTP/1.1\r\nHost: x\r\nCookie: a=1\r\nCookie: b=2\r\nConnection: close\r\n\r\n"
--- response_body
[] [3] [c=3]



=== TEST 14: cookies are removed
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["remove_header_map_value", "request", "cookie"]
        ]}';
        return 200 "[$cookie_a] [$http_cookie]\n";
    }
--- raw_request eval
"GET /t HTTP/1.1\r\nHost: x\r\nCookie: a=1\r\nCookie: b=2\r\nConnection: close\r\n\r\n"
--- response_body
[] []



=== TEST 15: x-forwarded-for is what nginx adds its client to
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", "X-Forwarded-For", "192.0.2.1"]
        ]}';
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- more_headers
X-Forwarded-For: 198.51.100.7
--- request
GET /t
--- response_body_like: \r\nX-Forwarded-For: 192\.0\.2\.1, 127\.0\.0\.1\r\n



=== TEST 16: one more x-forwarded-for
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["add_header_map_value", "request", "X-Forwarded-For", "192.0.2.1"]
        ]}';
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- more_headers
X-Forwarded-For: 198.51.100.7
--- request
GET /t
--- response_body_like: \r\nX-Forwarded-For: 198\.51\.100\.7, 192\.0\.2\.1, 127\.0\.0\.1\r\n



=== TEST 17: x-forwarded-for removed
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["remove_header_map_value", "request", "X-Forwarded-For"]
        ]}';
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- more_headers
X-Forwarded-For: 198.51.100.7
--- request
GET /t
--- response_body_like: \r\nX-Forwarded-For: 127\.0\.0\.1\r\n



=== TEST 18: user-agent, referer and authorization are variables of nginx
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", "user-agent", "wasm/1"],
            ["add_header_map_value", "request", "referer", "http://r.example/"],
            ["replace_header_map_value", "request", "authorization", "Basic dXNlcjpwYXNz"]
        ]}';
        return 200 "$http_user_agent $http_referer $remote_user\n";
    }
--- more_headers
User-Agent: old
--- request
GET /t
--- response_body
wasm/1 http://r.example/ user



=== TEST 19: a condition that is removed does not hold
--- user_files
>>> file.txt 202001010000
the file
--- config
    location /files/ {
        alias $TEST_NGINX_HTML_DIR/;
        proxy_wasm hostcalls '{"on_request_headers": [
            {"if": ["request_header", "x-fresh"], "then": [
                ["remove_header_map_value", "request", "if-modified-since"]
            ]}
        ]}';
    }
--- request eval
["GET /files/file.txt", "GET /files/file.txt"]
--- more_headers eval
["If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT",
 "If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT\nX-Fresh: 1"]
--- error_code eval
[304, 200]



=== TEST 20: a range that a plugin asks for
--- user_files
>>> file.txt
0123456789
>>> plain.wat
;; Asks for the first four bytes. It imports nothing that changes a body, which would rule out ranges.
(module
  (import "env" "proxy_replace_header_map_value" (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "range" "bytes=0-3")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $set (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 5) (i32.const 9)))
    (i32.const 0)))
--- http_config
    wasm_plugin plain html/plain.wat phase=rewrite;
--- config
    location /files/ {
        alias $TEST_NGINX_HTML_DIR/;
        proxy_wasm plain;
    }
--- request
GET /files/file.txt
--- error_code: 206
--- response_headers
Content-Range: bytes 0-3/11
--- response_body chomp
0123



=== TEST 21: accept-encoding decides over gzip
--- config
    gzip on;
    gzip_min_length 1;
    gzip_types text/plain;
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["remove_header_map_value", "request", "accept-encoding"]
        ]}';
        return 200 "plain text, plain text, plain text\n";
    }
--- more_headers
Accept-Encoding: gzip
--- request
GET /t
--- response_headers
!Content-Encoding
--- response_body
plain text, plain text, plain text



=== TEST 22: expect and what else nginx has read already
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["remove_header_map_value", "request", "expect"],
            ["get_header_map_value", "request", "expect"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- more_headers
Expect: something
--- request
GET /t
--- response_body_unlike: (?i)expect
--- error_log
get_header_map_value request expect -> NOT_FOUND
