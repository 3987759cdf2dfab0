# :method, :path, :authority and :scheme of the request: what a plugin reads of them,
# what it may set, and where nginx and the upstream see the change.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Scripted;

run_tests();

__DATA__

=== TEST 1: each is read by its name
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["get_header_map_value", "request", ":method"],
            ["get_header_map_value", "request", ":path"],
            ["get_header_map_value", "request", ":authority"],
            ["get_header_map_value", "request", ":scheme"],
            ["get_header_map_value", "request", ":status"]
        ]}';
        return 200;
    }
--- more_headers
Host: Example.com:8080
--- request
PUT /t/a%20b?c=d%2F&e
--- error_log
request :method -> OK PUT
request :path -> OK /t/a%20b?c=d%2F&e
request :authority -> OK Example.com:8080
request :scheme -> OK http
request :status -> NOT_FOUND



=== TEST 2: HTTP/1.0 without a Host: no :authority, and nothing breaks
--- config
    server_name "";
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["get_header_map_value", "request", ":authority"],
            ["get_header_map_pairs", "request"],
            {"op": "send_local_response", "args": [200, "${report}"]}
        ]}';
        return 500;
    }
--- raw_request eval
"GET /t HTTP/1.0\r\n\r\n"
--- response_body_like: get_header_map_pairs request -> OK .*:path: /t \| :method: GET



=== TEST 3: the same through the Rust SDK
--- http_config
    wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm phase=rewrite;
--- config
    location /t { proxy_wasm rust hi; return 500; }
--- raw_request eval
"GET /t HTTP/1.0\r\nX-Rust-Echo: 1\r\n\r\n"
--- response_body_like: ^authority is (?:None|Some\(".*"\))\nx-rust-echo: 1\n:scheme: http\n:path: /t\n:method: GET\n
--- no_error_log
[error]



=== TEST 4: and through the Go SDK
--- http_config
    wasm_plugin go $TEST_NGINX_PLUGINS/go-headers.wasm phase=rewrite;
--- config
    location /t { proxy_wasm go hi; return 200 "$http_x_go_conf\n"; }
--- raw_request eval
"GET /t HTTP/1.0\r\n\r\n"
--- response_body
hi
--- no_error_log
[error]



=== TEST 5: an absolute request line
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["get_header_map_value", "request", ":path"],
            ["get_header_map_value", "request", ":authority"]
        ]}';
        return 200;
    }
--- raw_request eval
"GET http://localhost/t?a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
--- error_log
request :path -> OK /t?a
request :authority -> OK localhost



=== TEST 6: a new :method goes upstream, an unknown verb too
--- config
    location /put {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", ":method", "PUT"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
    location /purge {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", ":method", "PURGE"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request eval
["GET /put", "GET /purge"]
--- response_body eval
[qr/^PUT \/put HTTP/, qr/^PURGE \/purge HTTP/]



=== TEST 7: nginx's own rewrites see the new method
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", ":method", "POST"]
        ]}';
        if ($request_method = POST) { return 204; }
        return 200;
    }
--- request
GET /t
--- error_code: 204



=== TEST 8: a :method of other characters than letters is refused
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", ":method", "G3T"],
            ["replace_header_map_value", "request", ":method", "GET /"],
            ["replace_header_map_value", "request", ":method", ""]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body_like: ^GET /t HTTP
--- error_log
[error]
failed to set request header :method: invalid char "3"
failed to set request header :method: invalid char " "
replace_header_map_value request :method "" -> BAD_ARGUMENT



=== TEST 9: a new :path goes upstream, with its arguments
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", ":path", "/t/new%20path?x=1&y=%2F"],
            ["get_header_map_value", "request", ":path"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t?old
--- response_body_like: ^GET /t/new%20path\?x=1&y=%2F HTTP
--- error_log
get_header_map_value request :path -> OK /t/new%20path?x=1&y=%2F



=== TEST 10: a path without arguments drops those there were
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", ":path", "/t/plain"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t?old=1
--- response_body_like: ^GET /t/plain HTTP



=== TEST 11: nginx's variables follow the path
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", ":path", "/t/a%20b?x=1"]
        ]}';
        return 200 "$uri|$args|$arg_x|$request_uri\n";
    }
--- request
GET /t?old=1
--- response_body
/t/a b|x=1|1|/t/a%20b?x=1



=== TEST 12: a proxy_pass with a path of its own maps the new one
--- config
    location /t/ {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", ":path", "/t/new?q"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/base/;
    }
--- request
GET /t/old
--- response_body_like: ^GET /base/new\?q HTTP



=== TEST 13: a static file of the new path
--- user_files
>>> new.txt
the new file
--- http_config
    wasm_plugin late $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /files/ {
        alias $TEST_NGINX_HTML_DIR/;
        proxy_wasm late '{"on_request_headers": [
            ["replace_header_map_value", "request", ":path", "/files/new.txt"]
        ]}';
    }
--- request
GET /files/old.txt
--- response_body
the new file



=== TEST 14: a :path that is none is refused
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", ":path", "/a b"],
            ["replace_header_map_value", "request", ":path", ""],
            ["replace_header_map_value", "request", ":path", "/../etc/passwd"],
            ["replace_header_map_value", "request", ":path", {"hex": "2f0d0a"}]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t?kept
--- response_body_like: ^GET /t\?kept HTTP
--- error_log
[error]
failed to set request header :path: invalid char " "
replace_header_map_value request :path "" -> BAD_ARGUMENT
replace_header_map_value request :path /../etc/passwd -> BAD_ARGUMENT
replace_header_map_value request :path /\r\n -> BAD_ARGUMENT



=== TEST 15: a new :authority is the Host that goes upstream, and $host
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", ":authority", "Other.example:81"],
            ["get_header_map_value", "request", "host"],
            ["get_header_map_value", "request", ":authority"]
        ]}';
        proxy_set_header Host $http_host;
        proxy_set_header X-Host $host;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body_like: (?=.*\r\nHost: Other\.example:81\r\n)(?=.*\r\nX-Host: other\.example\r\n)
--- error_log
get_header_map_value request host -> OK Other.example:81
get_header_map_value request :authority -> OK Other.example:81



=== TEST 16: adding a pseudo header sets it: a request has each once
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["add_header_map_value", "request", ":path", "/t/added"],
            ["add_header_map_value", "request", ":method", "PUT"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body_like: ^PUT /t/added HTTP



=== TEST 17: :scheme can only be read
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", ":scheme", "https"],
            ["get_header_map_value", "request", ":scheme"]
        ]}';
        return 200;
    }
--- request
GET /t
--- error_log
[error]
failed to set request header :scheme: read only
replace_header_map_value request :scheme https -> BAD_ARGUMENT
get_header_map_value request :scheme -> OK http



=== TEST 18: none of them can be removed
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["remove_header_map_value", "request", ":method"],
            ["remove_header_map_value", "request", ":path"],
            ["remove_header_map_value", "request", ":authority"],
            ["remove_header_map_value", "request", ":scheme"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body_like: ^GET /t HTTP
--- error_log
[error]
failed to set request header :method: can't remove pseudo header
failed to set request header :path: can't remove pseudo header
failed to set request header :authority: can't remove pseudo header
failed to set request header :scheme: can't remove pseudo header



=== TEST 19: a pseudo header that there is not
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["add_header_map_value", "request", ":fnord", "x"],
            ["replace_header_map_value", "request", ":status", "200"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body_unlike: fnord|status
--- error_log
[error]
add_header_map_value request :fnord x -> BAD_ARGUMENT
replace_header_map_value request :status 200 -> BAD_ARGUMENT



=== TEST 20: HTTP/2 has them, and no host header is invented
--- http2
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["get_header_map_value", "request", ":authority"],
            ["get_header_map_value", "request", ":path"],
            ["get_header_map_value", "request", ":method"]
        ]}';
        return 200 "two\n";
    }
--- request
GET /t?a
--- response_body
two
--- error_log eval
["request :path -> OK /t?a", "request :method -> OK GET", qr/request :authority -> OK \S+/]
