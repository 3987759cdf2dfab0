# The header-map calls on the response, and what the client receives of them: the list,
# :status, and the fields that nginx keeps elsewhere or looks at itself. What nginx's own
# add_header and expires write comes behind the plugins.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Scripted;

run_tests();

__DATA__

=== TEST 1: all headers, then content-type, content-length, connection and :status
--- upstream
        location /t { add_header X-First 1; add_header X-First 2; add_header ETag "e"; return 201 "hello"; }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [["get_header_map_pairs", "response"]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- error_code: 201
--- error_log
x-first: 1 | x-first: 2 | etag: e | content-type: text/plain | content-length: 5 | connection: close | :status: 201


=== TEST 2: of an upstream, too
--- upstream
        location /t { add_header X-Up 1; return 404 "gone"; }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [["get_header_map_pairs", "response"]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- error_code: 404
--- error_log eval
qr/get_header_map_pairs response -> OK .*content-type: text\/plain \| content-length: 4 \| connection: \S+ \| :status: 404/



=== TEST 3: a chunked response has no length
--- upstream
        location /t { content_by_lua_block { ngx.print("a") ngx.flush() ngx.print("b") } }
--- config
    location /t {
        proxy_http_version 1.1;
        proxy_wasm hostcalls '{"on_response_headers": [
            ["get_header_map_value", "response", "content-length"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body chomp
ab
--- error_log
get_header_map_value response content-length -> NOT_FOUND



=== TEST 4: a value is the first of its name, without case
--- upstream
        location /t { add_header X-A 1; add_header x-a 2; return 200 "hello"; }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["get_header_map_value", "response", "X-a"],
            ["get_header_map_value", "response", "Content-Type"],
            ["get_header_map_value", "response", "Content-LENGTH"],
            ["get_header_map_value", "response", ":status"],
            ["get_header_map_value", "response", "x-none"],
            ["get_header_map_value", "response", ":path"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- error_log
response X-a -> OK 1
response Content-Type -> OK text/plain
response Content-LENGTH -> OK 5
response :status -> OK 200
response x-none -> NOT_FOUND
response :path -> NOT_FOUND


=== TEST 5: added, replaced and removed
--- upstream
        location /t {
            add_header X-Old 1;
            add_header X-Old 2;
            add_header X-Gone 1;
            add_header x-gone 2;
            return 200;
        }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["add_header_map_value", "response", "x-new", "a"],
            ["add_header_map_value", "response", "x-new", "b"],
            ["replace_header_map_value", "response", "x-old", "3"],
            ["remove_header_map_value", "response", "X-GONE"],
            ["get_header_map_value", "response", "x-gone"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_headers
X-New: a, b
X-Old: 3
!X-Gone
--- error_log
get_header_map_value response x-gone -> NOT_FOUND


=== TEST 6: proxy_set_header_map_pairs replaces the whole, but for what frames the body
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["add_header_map_value", "response", "x-old", "1"],
            ["set_header_map_pairs", "response", [
                [":status", "202"], ["content-type", "text/html"], ["x-only", "1"], ["x-only", "2"]
            ]]
        ]}';
        return 200 "hello";
    }
--- request
GET /t
--- error_code: 202
--- response_headers
X-Only: 1, 2
!X-Old
Content-Type: text/html
--- response_body chomp
hello



=== TEST 7: :status
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["replace_header_map_value", "response", ":status", "418"],
            ["get_header_map_value", "response", ":status"]
        ]}';
        return 200 "hello";
    }
--- request
GET /t
--- error_code: 418
--- response_body chomp
hello
--- error_log
get_header_map_value response :status -> OK 418



=== TEST 8: a :status that is none
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["replace_header_map_value", "response", ":status", "fine"],
            ["replace_header_map_value", "response", ":status", "99"],
            ["replace_header_map_value", "response", ":status", "100"],
            ["replace_header_map_value", "response", ":status", "101"],
            ["set_header_map_pairs", "response", [[":status", "199"]]],
            ["replace_header_map_value", "response", ":status", "1000"],
            ["replace_header_map_value", "response", ":status", ""],
            ["remove_header_map_value", "response", ":status"]
        ]}';
        return 200 "hello";
    }
--- request
GET /t
--- error_code: 200
--- error_log
[error]
failed to set response header :status: invalid value
replace_header_map_value response :status 99 -> OK
replace_header_map_value response :status 100 -> OK
replace_header_map_value response :status 101 -> OK
set_header_map_pairs response :status: 199 -> OK
replace_header_map_value response :status 1000 -> OK
replace_header_map_value response :status "" -> OK
failed to set response header :status: can't remove pseudo header



=== TEST 9: a status without a body drops the body
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["replace_header_map_value", "response", ":status", "204"]
        ]}';
        return 200 "hello";
    }
--- request
GET /t
--- error_code: 204
--- response_headers
!Content-Length
--- response_body chomp



=== TEST 10: content-type
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["replace_header_map_value", "response", "Content-Type", "application/json; charset=utf-8"]
        ]}';
        return 200 "{}";
    }
    location /add {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["add_header_map_value", "response", "content-type", "image/png"]
        ]}';
        return 200 "{}";
    }
    location /remove {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["remove_header_map_value", "response", "content-type"],
            ["get_header_map_value", "response", "content-type"]
        ]}';
        return 200 "{}";
    }
--- request eval
["GET /t", "GET /add", "GET /remove"]
--- response_headers eval
["Content-Type: application/json; charset=utf-8", "Content-Type: image/png", "!Content-Type"]



=== TEST 11: nginx's charset is not added to a type that a plugin sets
--- config
    charset utf-8;
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["replace_header_map_value", "response", "content-type", "text/plain; charset=koi8-r"]
        ]}';
        return 200 "hello";
    }
--- request
GET /t
--- response_headers
Content-Type: text/plain; charset=koi8-r



=== TEST 12: server
--- config
    location /replace {
        proxy_wasm hostcalls '{"on_response_headers": [["replace_header_map_value", "response", "server", "wasm"]]}';
        return 200;
    }
    location /add {
        proxy_wasm hostcalls '{"on_response_headers": [["add_header_map_value", "response", "Server", "wasm"]]}';
        return 200;
    }
    location /plain { return 200; }
--- request eval
["GET /replace", "GET /add"]
--- response_headers eval
["Server: wasm", "Server: wasm"]



=== TEST 13: date
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["replace_header_map_value", "response", "date", "Thu, 01 Jan 1970 00:00:00 GMT"]
        ]}';
        return 200;
    }
--- request
GET /t
--- response_headers
Date: Thu, 01 Jan 1970 00:00:00 GMT



=== TEST 14: one Set-Cookie beside the others
--- upstream
        location /t { add_header Set-Cookie a=1; add_header Set-Cookie b=2; return 200; }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["add_header_map_value", "response", "Set-Cookie", "c=3"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- raw_response_headers_like: Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nSet-Cookie: c=3\r\n


=== TEST 15: one Set-Cookie for all
--- upstream
        location /t { add_header Set-Cookie a=1; add_header Set-Cookie b=2; return 200; }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["replace_header_map_value", "response", "set-cookie", "c=3"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_headers
Set-Cookie: c=3


=== TEST 16: location is sent as the plugin wrote it
--- config
    location /new {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["replace_header_map_value", "response", ":status", "302"],
            ["replace_header_map_value", "response", "location", "/elsewhere?a=b"]
        ]}';
        return 200;
    }
    location /change {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["get_header_map_value", "response", "location"],
            ["replace_header_map_value", "response", "location", "https://new.example/"]
        ]}';
        return 301 https://old.example/;
    }
    location /remove {
        proxy_wasm hostcalls '{"on_response_headers": [["remove_header_map_value", "response", "location"]]}';
        return 301 https://old.example/;
    }
--- request eval
["GET /new", "GET /change", "GET /remove"]
--- error_code eval
[302, 301, 301]
--- response_headers eval
["Location: /elsewhere?a=b", "Location: https://new.example/", "!Location"]



=== TEST 17: etag and last-modified of a file
--- user_files
>>> file.txt 202001010000
the file
--- config
    location /remove/ {
        alias $TEST_NGINX_HTML_DIR/;
        proxy_wasm hostcalls '{"on_response_headers": [
            ["remove_header_map_value", "response", "etag"],
            ["remove_header_map_value", "response", "last-modified"]
        ]}';
    }
    location /replace/ {
        alias $TEST_NGINX_HTML_DIR/;
        proxy_wasm hostcalls '{"on_response_headers": [
            ["replace_header_map_value", "response", "etag", "\\"mine\\""],
            ["replace_header_map_value", "response", "last-modified", "Thu, 02 Jan 2020 00:00:00 GMT"]
        ]}';
    }
--- request eval
["GET /remove/file.txt", "GET /replace/file.txt"]
--- response_headers eval
["!ETag\n!Last-Modified", "ETag: \"mine\"\nLast-Modified: Thu, 02 Jan 2020 00:00:00 GMT"]
--- response_body eval
["the file\n", "the file\n"]



=== TEST 18: cache-control and expires of the upstream
--- upstream
        location /t { expires 1h; return 200; }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["get_header_map_value", "response", "cache-control"],
            ["replace_header_map_value", "response", "cache-control", "no-store"],
            ["remove_header_map_value", "response", "expires"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
    location /add {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["add_header_map_value", "response", "cache-control", "private"],
            ["add_header_map_value", "response", "cache-control", "no-cache"]
        ]}';
        return 200;
    }
--- request eval
["GET /t", "GET /add"]
--- response_headers eval
["Cache-Control: no-store\n!Expires", "Cache-Control: private, no-cache"]


=== TEST 19: without a content-length the body is framed otherwise
--- config
    location /remove {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["remove_header_map_value", "response", "content-length"]
        ]}';
        return 200 "hello";
    }
    location /next { return 200 "next"; }
--- pipelined_requests eval
["GET /remove", "GET /next"]
--- response_body eval
["hello", "next"]



=== TEST 20: a length that is no number is none
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["replace_header_map_value", "response", "content-length", "many"]
        ]}';
        return 200 "hello";
    }
    location /next { return 200 "next"; }
--- pipelined_requests eval
["GET /t", "GET /next"]
--- response_body eval
["hello", "next"]



=== TEST 21: transfer-encoding is nginx's to say
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["add_header_map_value", "response", "transfer-encoding", "chunked"]
        ]}';
        return 200 "hello";
    }
    location /next { return 200 "next"; }
--- pipelined_requests eval
["GET /t", "GET /next"]
--- response_body eval
["hello", "next"]



=== TEST 22: connection: close closes
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["get_header_map_value", "response", "connection"],
            ["replace_header_map_value", "response", "connection", "close"],
            ["get_header_map_value", "response", "connection"]
        ]}';
        return 200 "hello";
    }
--- more_headers
Connection: keep-alive
--- request
GET /t
--- raw_response_headers_like: Connection: close\r\n
--- error_log
get_header_map_value response connection -> OK keep-alive
get_header_map_value response connection -> OK close



=== TEST 23: content-encoding keeps gzip away
--- config
    gzip on;
    gzip_min_length 1;
    gzip_types text/plain;
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["add_header_map_value", "response", "content-encoding", "identity"]
        ]}';
        return 200 "text, text, text, text, text";
    }
--- more_headers
Accept-Encoding: gzip
--- request
GET /t
--- response_headers
Content-Encoding: identity
--- response_body chomp
text, text, text, text, text



=== TEST 24: more than a hundred headers
--- user_files eval
my @steps = map { qq(["add_header_map_value", "response", "x-$_", "$_"]) } 1 .. 150;
[["plugin.conf", '{"on_response_headers": [' . CORE::join(",", @steps,
    '["remove_header_map_value", "response", "x-75"]', '["get_header_map_size", "response"]',
    '["get_header_map_value", "response", "x-150"]') . ']}']]
--- config
    location /t {
        proxy_wasm hostcalls conf_file=html/plugin.conf;
        return 200;
    }
--- request
GET /t
--- raw_response_headers_like eval
my $expected = CORE::join "", map { "x-$_: $_\r\n" } grep { $_ != 75 } 1 .. 150;
qr/\r\n\Q$expected\E/
--- error_log
get_header_map_value response x-150 -> OK 150



=== TEST 25: what would split the response is refused
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["add_header_map_value", "response", "x-a", {"hex": "610d0a782d623a2062"}],
            ["replace_header_map_value", "response", "x-a", {"hex": "610a62"}],
            ["add_header_map_value", "response", {"hex": "782d610d0a"}, "b"],
            ["replace_header_map_value", "response", "location", {"hex": "2f000a"}],
            ["set_header_map_pairs", "response", [["x-a", {"hex": "610d0a782d623a2062"}]]]
        ]}';
        return 200 "hello";
    }
--- request
GET /t
--- raw_response_headers_unlike: (?i)x-[ab]|location
--- grep_error_log eval: qr/_header_map_\w+ .* -> \w+/
--- grep_error_log_out eval
qr/^(?:.* -> BAD_ARGUMENT\n){5}$/



=== TEST 26: a pseudo header that there is not
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["add_header_map_value", "response", ":fnord", "x"],
            ["replace_header_map_value", "response", ":path", "/x"]
        ]}';
        return 200 "hello";
    }
--- request
GET /t
--- raw_response_headers_unlike: fnord|path
--- error_log
[error]
add_header_map_value response :fnord x -> OK
replace_header_map_value response :path /x -> OK



=== TEST 27: a pseudo header that there is not is left out of a map
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["add_header_map_value", "response", "x-a", "kept"],
            ["set_header_map_pairs", "response", [["x-b", "1"], [":fnord", "x"]]],
            ["set_header_map_pairs", "response", [["x-b", "2"], [":status", "fine"]]]
        ]}';
        return 200 "hello";
    }
--- request
GET /t
--- response_headers
!X-A
X-B: 2
--- error_log
[error]
set_header_map_pairs response x-b: 1 | :fnord: x -> OK
set_header_map_pairs response x-b: 2 | :status: fine -> OK



=== TEST 28: adding :status sets it
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["add_header_map_value", "response", ":status", "202"]
        ]}';
        return 200 "hello";
    }
--- request
GET /t
--- error_code: 202



=== TEST 29: in the request's callbacks there is no response to change yet, and no harm in it
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["get_header_map_value", "response", ":status"],
            ["get_header_map_pairs", "response"]
        ]}';
        return 200 "hello";
    }
--- request
GET /t
--- response_body chomp
hello
--- no_error_log
panicked



=== TEST 30: variables follow
--- http_config
    log_format sent "type=$sent_http_content_type a=$sent_http_x_a status=$status";
--- config
    location /t {
        access_log logs/access.log sent;
        proxy_wasm hostcalls '{"on_response_headers": [
            ["add_header_map_value", "response", "x-a", "1"],
            ["replace_header_map_value", "response", "content-type", "text/html"],
            ["replace_header_map_value", "response", ":status", "202"]
        ]}';
        return 200 "hello";
    }
--- request
GET /t
--- error_code: 202
--- access_log
type=text/html a=1 status=202



=== TEST 31: on HTTP/2
--- http2
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["add_header_map_value", "response", "X-A", "1"],
            ["replace_header_map_value", "response", "server", "wasm"],
            ["replace_header_map_value", "response", ":status", "202"]
        ]}';
        return 200 "hello";
    }
--- request
GET /t
--- error_code: 202
--- response_headers
X-A: 1
Server: wasm
--- response_body chomp
hello



=== TEST 32: a relative location that is only written back stays relative
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            {"op": "get_header_map_value", "args": ["response", "location"], "as": "location"},
            ["set_header_map_pairs", "response", [["location", "${location}"], ["x-a", "b"]]]
        ]}';
        return 301 /elsewhere;
    }
    location /alone {
        proxy_wasm hostcalls '{"on_response_headers": [["add_header_map_value", "response", "x-a", "b"]]}';
        return 301 /elsewhere;
    }
    location /answer {
        proxy_wasm hostcalls '{"on_request_headers": [["send_local_response", 302, "", [["location", "/login"]]]]}';
    }
--- request eval
["GET /t", "GET /alone", "GET /answer"]
--- error_code eval
[301, 301, 302]
--- response_headers eval
["Location: /elsewhere", "Location: http://localhost:$ENV{TEST_NGINX_SERVER_PORT}/elsewhere", "Location: /login"]



=== TEST 33: spaces and tabs around a value are no part of it
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["add_header_map_value", "response", "X-A", " 1 "],
            ["replace_header_map_value", "response", "X-B", "\\t2 3\\t"],
            ["add_header_map_value", "response", "X-C", "  "],
            ["get_header_map_value", "response", "X-A"]
        ]}';
        return 200 "hello";
    }
--- request
GET /t
--- raw_response_headers_like: X-A: 1\r\nX-B: 2 3\r\nX-C: \r\n
--- response_body chomp
hello
--- error_log eval
qr/get_header_map_value response X-A -> OK 1(?! )/



=== TEST 34: nor of a local response's
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["send_local_response", 403, "no", [["X-A", "\\t1 "], ["X-B", "2"]]]
        ]}';
    }
--- request
GET /t
--- error_code: 403
--- raw_response_headers_like: X-A: 1\r\nX-B: 2\r\n



=== TEST 35: nor of a request's to the upstream
--- upstream
        location /t { return 200 "[$http_x_a][$http_x_b]"; }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["add_header_map_value", "request", "X-A", "\\t1\\t"],
            ["replace_header_map_value", "request", "X-B", " \\t2 3\\t "]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body chomp
[1][2 3]
