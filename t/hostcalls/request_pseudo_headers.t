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



=== TEST 8: a :method of other characters than letters gets 400
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
--- error_code: 400
--- response_body_like: 400 Bad Request
--- error_log
[error]
failed to set request header :method: invalid char "3", so the client gets 400
failed to set request header :method: invalid char " "
replace_header_map_value request :method "" -> OK



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



=== TEST 12: a proxy_pass with a path of its own sends the new one, as after rewrite … break
--- config
    location /t/ {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", ":path", "/t/new?q"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/base/;
    }
--- request
GET /t/old
--- response_body_like: ^GET /t/new\?q HTTP



=== TEST 13: a static file of the new path
--- user_files
>>> files/new.txt
the new file
--- http_config
    wasm_plugin late $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /files/ {
        root $TEST_NGINX_HTML_DIR;
        proxy_wasm late '{"on_request_headers": [
            ["replace_header_map_value", "request", ":path", "/files/new.txt"]
        ]}';
    }
--- request
GET /files/old.txt
--- response_body
the new file



=== TEST 14: what a request line cannot carry is escaped, and a slash put in front
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            {"op": "get_header_map_value", "args": ["request", "x-case"], "as": "case", "quiet": true},
            {"if": ["eq", "${case}", "space"], "then": [["replace_header_map_value", "request", ":path", "/a b?c d"]]},
            {"if": ["eq", "${case}", "lines"], "then": [
                ["replace_header_map_value", "request", ":path", {"hex": "2f610d0a583a3f0a62"}]]},
            {"if": ["eq", "${case}", "decoded"], "then": [
                ["replace_header_map_value", "request", ":path", "/a%20b%0d%0aX:%3F%23%25?%0d"]]},
            {"if": ["eq", "${case}", "none"], "then": [["replace_header_map_value", "request", ":path", ""]]},
            {"if": ["eq", "${case}", "word"], "then": [["replace_header_map_value", "request", ":path", "a?b"]]},
            {"if": ["eq", "${case}", "dots"], "then": [
                ["set_header_map_pairs", "request", [[":path", "/a//./b/../c/..?d"]]]]},
            {"if": ["eq", "${case}", "long"], "then": [
                ["replace_header_map_value", "request", ":path", {"repeat": ["/long", 8000]}]]}
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- upstream
        large_client_header_buffers 4 64k;
--- request eval
[("GET /t?old") x 7]
--- more_headers eval
[map { "X-Case: $_" } qw(space lines decoded none word dots long)]
--- response_body_like eval
[qr{^GET /a%20b\?c%20d HTTP}, qr{^GET /a%0D%0AX:\?%0Ab HTTP}, qr{^GET /a%20b%0D%0AX:%3F%23%25\?%0d HTTP},
 qr{^GET / HTTP}, qr{^GET /a\?b HTTP}, qr{^GET /a/\?d HTTP}, qr{^GET (?:/long){8000} HTTP}]
--- no_error_log
[error]



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



=== TEST 17: :scheme can be set to what a scheme is, for plugins to read
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", ":scheme", "https"],
            ["get_header_map_value", "request", ":scheme"],
            ["get_header_map_pairs", "request"],
            ["replace_header_map_value", "request", ":scheme", "gopher"],
            ["remove_header_map_value", "request", ":scheme"],
            ["get_header_map_value", "request", ":scheme"]
        ]}';
        return 200;
    }
--- request
GET /t
--- error_log
replace_header_map_value request :scheme https -> OK
get_header_map_value request :scheme -> OK https
:scheme: https | :path: /t
failed to set request header :scheme: neither http nor https
replace_header_map_value request :scheme gopher -> OK
get_header_map_value request :scheme -> OK http,



=== TEST 18: those that are removed stay, but for the host
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
remove_header_map_value request :method -> OK
remove_header_map_value request :path -> OK
remove_header_map_value request :authority -> OK
remove_header_map_value request :scheme -> OK
--- no_error_log
[error]



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
add_header_map_value request :fnord x -> OK
replace_header_map_value request :status 200 -> OK



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



=== TEST 21: a path that nginx takes of no client gets 400, and the plugin lives
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            {"op": "get_header_map_value", "args": ["request", "x-path"], "as": "path", "quiet": true},
            ["replace_header_map_value", "request", ":path", "${path}"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request eval
[("GET /t") x 5]
--- more_headers eval
[map { "X-Path: $_" } qw(/../etc/passwd /a/../../../etc/passwd /%2e%2e/x /a%00b /a%zz)]
--- error_code eval
[(400) x 5]
--- error_log
failed to set request header :path: nginx takes no such path, so the client gets 400, plugin: "hostcalls"



=== TEST 22: a path that is only written back changes nothing
--- config
    location /t/ {
        proxy_wasm hostcalls '{"on_request_headers": [
            {"op": "get_header_map_value", "args": ["request", ":path"], "as": "path"},
            ["set_header_map_pairs", "request", [["host", "a"], [":path", "${path}"]]]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/base/;
    }
--- request
GET /t/a%20b?c=%2F
--- response_body_like: ^GET /base/a%20b\?c=%2F HTTP



=== TEST 23: new arguments of the same path are what set $args makes them
--- config
    location /t/ {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", ":path", "/t/a%20b?new=%2F"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/base/;
    }
    location /set/ {
        set $args new=%2F;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/base/;
    }
--- request eval
["GET /t/a%20b?c", "GET /set/a%20b?c"]
--- response_body_like eval
[(qr{^GET /base/a%20b\?new=%2F HTTP}) x 2]



=== TEST 24: a path shorter than the prefix of its location
--- config
    location /a/long/prefix/ {
        proxy_wasm hostcalls '{"on_request_headers": [["replace_header_map_value", "request", ":path", "/u"]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/base/;
    }
--- request
GET /a/long/prefix/users/7
--- response_body_like: ^GET /u HTTP



=== TEST 25: alias knows no file of another path, as after rewrite … break
--- user_files
>>> data/a.txt
a file
>>> secret.txt
a secret
--- http_config
    wasm_plugin late $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /files/ {
        proxy_wasm late '{"on_request_headers": [
            {"if": ["request_header", "x-path"], "then": [
                {"op": "get_header_map_value", "args": ["request", "x-path"], "as": "path", "quiet": true},
                ["replace_header_map_value", "request", ":path", "${path}"]]}
        ]}';
        alias $TEST_NGINX_HTML_DIR/data/;
    }
--- request eval
[("GET /files/a.txt") x 2]
--- more_headers eval
["X-Path: /x", "X-Path: /files1../secret.txt"]
--- error_code eval
[500, 500]
--- error_log
"alias" cannot be used in location "/files/" where URI was rewritten



=== TEST 26: alias finds the file of a path of which only the arguments are new
--- user_files
>>> data/a.txt
a file
--- http_config
    wasm_plugin late $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /files/ {
        proxy_wasm late '{"on_request_headers": [["replace_header_map_value", "request", ":path", "/files/a.txt?b"]]}';
        alias $TEST_NGINX_HTML_DIR/data/;
    }
--- request
GET /files/a.txt
--- response_body
a file
