# proxy_http_call from the callbacks of a request, and proxy_on_http_call_response.

use lib '.';
use t::ProxyWasm 'no_plan';

# What plugins call: a server of the same nginx.
our $http_config = <<'CONF';
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;

    server {
        listen 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
        location / {
            add_header X-Method $request_method;
            add_header X-In $http_x_in;
            add_header X-Two 1;
            add_header X-Two 2;
            return 200 "$request_method $host $request_uri";
        }
        location = /teapot { return 418; }
        location = /large {
            default_type text/plain;
            alias $TEST_NGINX_HTML_DIR/large;
        }
        location = /echo {
            content_by_lua_block {
                ngx.req.read_body()
                ngx.header["X-Transfer"] = ngx.var.http_transfer_encoding or "none"
                ngx.say(ngx.var.http_content_length or "chunked", " ", ngx.req.get_body_data() or "")
            }
        }
        location = /slow { content_by_lua_block { ngx.sleep(1) ngx.say("late") } }
        location = /pieces {
            add_trailer X-Sum 1;
            content_by_lua_block { ngx.print("one ") ngx.flush(true) ngx.print("two") }
        }
        location = /none { return 204; }
        # Answers when as many have come as its argument says.
        location = /together { content_by_lua_block {
            arrived = (arrived or 0) + 1
            gate = gate or require("ngx.semaphore").new(0)
            if arrived == tonumber(ngx.var.args) then gate:post(arrived) end
            gate:wait(5)
            ngx.print("one of ", arrived)
        } }
    }
CONF

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(http_config => $http_config . ($block->http_config // ''));
    $block->set_value(request => 'GET /t') if !defined $block->request;
});

run_tests();

__DATA__

=== TEST 1: the response comes with its header, body and pseudo header
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":path", "/a?b=c"], [":authority", "test.com"], ["x-in", "yes"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [
                ["get_header_map_value", "call_response", ":status"],
                ["get_header_map_value", "call_response", "X-In"],
                ["get_header_map_pairs", "call_response"],
                ["get_buffer_bytes", "call_response_body"],
                ["send_local_response", 201, "${last}", [["x-headers", "${num_headers}"]]]
            ]
        }';
    }
--- error_code: 201
--- response_body chomp
GET test.com /a?b=c
--- error_log
register http call callout id: 0, host: 127.0.0.1:
run http callback callout id: 0, plugin ctx id: 1
get_header_map_value call_response :status -> OK 200
get_header_map_value call_response X-In -> OK yes
x-two: 1 | x-two: 2
--- no_error_log
[error]



=== TEST 2: the request goes on when the plugin resumes it
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":path", "/teapot"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [
                ["get_header_map_value", "call_response", ":status"],
                ["replace_header_map_value", "request", "x-auth", "${last}"],
                ["continue_stream", "request"]
            ]
        }';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/;
        proxy_set_header X-In $http_x_auth;
    }
--- response_headers
X-In: 418
--- no_error_log
[error]



=== TEST 3: a body is sent with its length
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":method", "POST"], [":path", "/echo"], ["content-length", "99"], ["transfer-encoding", "gzip"], ["expect", "100-continue"]], "some body"],
                ["return", "pause"]
            ],
            "on_http_call_response": [
                ["get_buffer_bytes", "call_response_body"],
                ["send_local_response", 200, "${last}"]
            ]
        }';
    }
--- response_body
9 some body



=== TEST 4: trailers follow a body in chunks
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":method", "POST"], [":path", "/echo"]], "some body", [["x-sum", "1"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [
                ["get_header_map_value", "call_response", "x-transfer"],
                ["get_buffer_bytes", "call_response_body"],
                ["send_local_response", 200, "${last}"]
            ]
        }';
    }
--- response_body
chunked some body
--- error_log
get_header_map_value call_response x-transfer -> OK chunked



=== TEST 5: all calls of a callback are told of
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":path", "/a"]]],
                ["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":path", "/b"]]],
                ["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":path", "/c"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [
                {"if": ["eq", "${count}", "3"], "then": [["send_local_response", 200, "three"]]}
            ]
        }';
    }
--- response_body chomp
three
--- error_log
run http callback callout id: 0, plugin ctx id: 1
run http callback callout id: 1, plugin ctx id: 1
run http callback callout id: 2, plugin ctx id: 1
--- no_error_log
[error]



=== TEST 6: a response may lead to the next call
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":path", "/first"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [
                ["get_buffer_bytes", "call_response_body"],
                {"if": ["contains", "${last}", "/first"],
                 "then": [["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":path", "/second"]]]],
                 "else": [["send_local_response", 200, "${last}"]]}
            ]
        }';
    }
--- response_body_like: /second$
--- no_error_log
[error]



=== TEST 7: a refused connection calls back with 503, and a line says why
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "127.0.0.1:1", [[":method", "GET"], [":authority", "127.0.0.1:1"], [":path", "/x"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [
                ["get_header_map_value", "call_response", ":dispatch_status"],
                ["get_header_map_pairs", "call_response"],
                ["get_buffer_bytes", "call_response_body"],
                ["send_local_response", 200, "${num_headers} ${body_size} ${num_trailers}"]
            ]
        }';
    }
--- response_body chomp
3 77 0
--- error_log
get_header_map_value call_response :dispatch_status -> OK broken connection
get_header_map_pairs call_response -> OK :status: 503 | content-length: 77 | content-type: text/plain
get_buffer_bytes call_response_body -> OK upstream connect error or disconnect/reset before headers: connection refused
http call failed: connection refused, uri: http://127.0.0.1:1/x
run http callback callout id: 0, plugin ctx id: 1



=== TEST 8: the timeout is for all of the call
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":path", "/slow"]], "", [], 100],
                ["return", "pause"]
            ],
            "on_http_call_response": [
                ["get_header_map_value", "call_response", ":status"], ["get_header_map_value", "call_response", ":dispatch_status"],
                ["send_local_response", 200, "${num_headers}"]
            ]
        }';
    }
--- response_body chomp
3
--- error_log
get_header_map_value call_response :status -> OK 504
get_header_map_value call_response :dispatch_status -> OK timeout
http call failed: timeout, uri: http://127.0.0.1:



=== TEST 9: what is no host is refused
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "", [[":method", "GET"], [":path", "/"], [":authority", ""]]],
                ["http_call", "127.0.0.1:111981", [[":method", "GET"], [":path", "/"], [":authority", "127.0.0.1:111981"]]],
                ["http_call", "a::1]", [[":method", "GET"], [":path", "/"], [":authority", "a::1]"]]],
                ["http_call", "a b", [[":method", "GET"], [":path", "/"], [":authority", "a b"]]],
                ["http_call", "unix:", [[":method", "GET"], [":path", "/"], [":authority", "localhost"]]]
            ]
        }';
        content_by_lua_block { ngx.print("ok") }
    }
--- response_body chomp
ok
--- grep_error_log eval: qr/http call gets invalid host: [^,;]*/
--- grep_error_log_out
http call gets invalid host: 
http call gets invalid host: 127.0.0.1:111981
http call gets invalid host: a::1]
http call gets invalid host: a b
http call gets invalid host: unix:
--- error_log
-> BAD_ARGUMENT



=== TEST 10: a header that HTTP cannot carry is refused, and a line names its field
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "a.test", [[":method", "GET"], [":authority", "a.test"], [":path", "no-slash"]]],
                ["http_call", "a.test", [[":path", "/"], [":authority", "a.test"], [":method", "GE T"]]],
                ["http_call", "a.test", [[":method", "GET"], [":path", "/"], [":authority", "a.test"], [":scheme", "ftp"]]],
                ["http_call", "a.test", [[":method", "GET"], [":path", "/"], [":authority", "a.test"], ["x(y)", "1"]]],
                ["http_call", "a.test", [[":method", "GET"], [":path", "/"], [":authority", "a.test"]], "", [["x{z}", "1"]]]
            ]
        }';
        content_by_lua_block { ngx.print("ok") }
    }
--- response_body chomp
ok
--- grep_error_log eval: qr/http call gets invalid header: [^,]*|-> (?!BAD_ARGUMENT)\w+/
--- grep_error_log_out
http call gets invalid header: :path
http call gets invalid header: :method
http call gets invalid header: :scheme
http call gets invalid header: x(y)
http call gets invalid header: x{z}



=== TEST 11: a call has a method, a path and an authority
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "a.test", [[":path", "/"], [":authority", "a.test"]]],
                ["http_call", "a.test", [[":method", "GET"], [":authority", "a.test"]]],
                ["http_call", "a.test", [[":method", "GET"], [":path", "/"]]]
            ]
        }';
        content_by_lua_block { ngx.print("ok") }
    }
--- response_body chomp
ok
--- grep_error_log eval: qr/http call has no [^,]*|-> (?!BAD_ARGUMENT)\w+/
--- grep_error_log_out
http call has no :method
http call has no :path
http call has no :authority



=== TEST 12: a negative timeout is refused
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["http_call", "127.0.0.1:80", [[":method", "GET"], [":path", "/"], [":authority", "127.0.0.1:80"]], "", [], "max"]]
        }';
        content_by_lua_block { ngx.print("ok") }
    }
--- response_body chomp
ok
--- error_log
invalid timeout: -1
-> BAD_ARGUMENT



=== TEST 13: a host without a resolver is an error that says so
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["http_call", "example.test", [[":method", "GET"], [":path", "/"], [":authority", "example.test"]]], ["return", "pause"]],
            "on_http_call_response": [["send_local_response", 200, "${num_headers}"]]
        }';
    }
--- response_body chomp
3
--- error_log
http call failed: no resolver defined to resolve example.test, uri: http://example.test/



=== TEST 14: a socket in the file system
--- http_config
    server {
        listen unix:$TEST_NGINX_SERVER_ROOT/call.sock;
        location / { return 200 "$host over unix"; }
    }
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "unix:$TEST_NGINX_SERVER_ROOT/call.sock", [[":method", "GET"], [":path", "/"], [":authority", "u.test"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [
                ["get_buffer_bytes", "call_response_body"],
                ["send_local_response", 200, "${last}"]
            ]
        }';
    }
--- response_body chomp
u.test over unix



=== TEST 15: a large response comes whole
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":path", "/large"]]], ["return", "pause"]],
            "on_http_call_response": [["send_local_response", 200, "${body_size}"]]
        }';
    }
--- user_files eval
">>> large\n" . ("x" x 3_000_000) . "\n"
--- response_body_like: ^30000\d\d$



=== TEST 16: a response past the limit is refused
--- http_config
    wasm_call_response_limit 1m;
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":path", "/large"]]], ["return", "pause"]],
            "on_http_call_response": [["send_local_response", 200, "${num_headers}"]]
        }';
    }
--- user_files eval
">>> large\n" . ("x" x 3_000_000) . "\n"
--- response_body chomp
3
--- error_log
http call failed: response larger than 1048576 bytes



=== TEST 17: a server that sends no HTTP
--- tcp_listen: $TEST_NGINX_SERVER_ROOT/garbage.sock
--- tcp_reply eval: "\x00\x01garbage\r\n\r\n"
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["http_call", "unix:$TEST_NGINX_SERVER_ROOT/garbage.sock", [[":method", "GET"], [":path", "/"], [":authority", "localhost"]]], ["return", "pause"]],
            "on_http_call_response": [["send_local_response", 200, "${num_headers}"]]
        }';
    }
--- response_body chomp
3
--- error_log
http call failed: invalid HTTP version parsed



=== TEST 18: a plugin that fails in the callback fails its request
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":path", "/"], [":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"]]], ["return", "pause"]],
            "on_http_call_response": [["trap"]]
        }';
    }
--- error_code: 503
--- error_log
failed to call function: proxy_on_http_call_response



=== TEST 19: the servers of an upstream block, one after the other
--- http_config
    upstream auth.service {
        server 127.0.0.1:1;
        server 127.0.0.1:2 down;
        server 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT backup;
    }
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "auth.service", [[":method", "GET"], [":authority", "a.test"], [":path", "/p"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [
                ["get_buffer_bytes", "call_response_body"],
                ["send_local_response", 200, "${last}"]
            ]
        }';
    }
--- response_body chomp
GET a.test /p
--- error_log
register http call callout id: 0, host: auth.service



=== TEST 20: twenty calls of one callback run at once
--- config eval
my $calls = CORE::join ', ', ('["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":path", "/together?20"]]]') x 20;
<<"CONF";
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [$calls, ["return", "pause"]],
            "on_http_call_response": [
                ["get_buffer_bytes", "call_response_body"],
                {"if": ["eq", "\${count}", "20"], "then": [["send_local_response", 200, "\${count} answers, \${last}"]]}
            ]
        }';
    }
CONF
--- response_body chomp
20 answers, one of 20
--- no_error_log
[error]



=== TEST 21: a response in chunks, and its trailers
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":path", "/pieces"]]], ["return", "pause"]],
            "on_http_call_response": [
                ["get_header_map_value", "call_response", "transfer-encoding"],
                ["get_header_map_pairs", "call_response_trailers"],
                ["get_buffer_bytes", "call_response_body"],
                ["send_local_response", 200, "${last}, ${num_trailers} trailer"]
            ]
        }';
    }
--- response_body chomp
one two, 1 trailer
--- error_log
get_header_map_value call_response transfer-encoding -> OK chunked
get_header_map_pairs call_response_trailers -> OK x-sum: 1



=== TEST 22: a response without a body
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":path", "/none"]]],
                ["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":method", "HEAD"], [":path", "/a"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [
                ["get_header_map_value", "call_response", ":status"],
                ["get_buffer_bytes", "call_response_body"],
                {"if": ["eq", "${count}", "2"], "then": [["send_local_response", 200, "${body_size}"]]}
            ]
        }';
    }
--- response_body chomp
0
--- error_log
get_header_map_value call_response :status -> OK 204
get_header_map_value call_response :status -> OK 200
get_buffer_bytes call_response_body -> OK ""
--- no_error_log
[error]



=== TEST 23: IPv6
--- http_config
    server {
        listen [::1]:$TEST_NGINX_UPSTREAM_PORT ipv6only=on;
        location / { return 200 "$http_host over $server_addr"; }
    }
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["http_call", "[::1]:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":path", "/"], [":authority", "[::1]:$TEST_NGINX_UPSTREAM_PORT"]]], ["return", "pause"]],
            "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["send_local_response", 200, "${last}"]]
        }';
    }
--- response_body_like: ^\[::1\]:\d+ over ::1$
--- no_error_log
[error]



=== TEST 24: the weights of an upstream block are those of its calls
--- http_config
    upstream weighted {
        server unix:$TEST_NGINX_SERVER_ROOT/three.sock weight=3;
        server unix:$TEST_NGINX_SERVER_ROOT/one.sock;
        server 127.0.0.1:1 down;
        server 127.0.0.1:2 backup;
    }
    server { listen unix:$TEST_NGINX_SERVER_ROOT/three.sock; location / { return 200 "three"; } }
    server { listen unix:$TEST_NGINX_SERVER_ROOT/one.sock; location / { return 200 "one"; } }
--- config eval
my $calls = CORE::join ', ', ('["http_call", "weighted", [[":method", "GET"], [":path", "/"], [":authority", "weighted"]]]') x 8;
<<"CONF";
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [$calls, ["return", "pause"]],
            "on_http_call_response": [
                ["get_buffer_bytes", "call_response_body"],
                ["add_header_map_value", "request", "x-by", "\${last}"],
                {"if": ["eq", "\${count}", "8"], "then": [["continue_stream", "request"]]}
            ]
        }';
        content_by_lua_block {
            local by = {}
            for _, name in ipairs(ngx.req.get_headers()["x-by"]) do by[name] = (by[name] or 0) + 1 end
            ngx.print(by.three, " and ", by.one)
        }
    }
CONF
--- response_body chomp
6 and 2
--- no_error_log
[error]



=== TEST 25: a server of a block that fails too often is left alone
--- http_config
    upstream failing {
        server 127.0.0.1:1 max_fails=1 fail_timeout=60s;
        server 127.0.0.1:2 max_fails=1 fail_timeout=60s;
    }
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["http_call", "failing", [[":method", "GET"], [":path", "/"], [":authority", "failing"]]], ["return", "pause"]],
            "on_http_call_response": [
                {"if": ["eq", "${count}", "1"], "then": [["http_call", "failing", [[":method", "GET"], [":path", "/"], [":authority", "failing"]]]], "else": [["send_local_response", 200, "failed"]]}
            ]
        }';
    }
--- response_body chomp
failed
--- grep_error_log eval: qr/http call failed: [^,]*/
--- grep_error_log_out
http call failed: connection refused
http call failed: no live servers in upstream "failing"



=== TEST 26: calls from the body of a request
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_body": [
                ["get_buffer_bytes", "request_body"],
                ["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":method", "POST"], [":path", "/echo"]], "${last}"],
                ["return", "pause"]
            ],
            "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["send_local_response", 200, "${last}"]]
        }';
        content_by_lua_block { ngx.print("not reached") }
    }
--- request
POST /t
the body
--- response_body
8 the body
--- no_error_log
[error]



=== TEST 27: calls from the header of a response, which waits
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_response_headers": [["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":path", "/teapot"]]], ["return", "pause"]],
            "on_http_call_response": [
                ["get_header_map_value", "call_response", ":status"],
                ["replace_header_map_value", "response", "x-called", "${last}"],
                ["continue_stream", "response"]
            ]
        }';
        content_by_lua_block { ngx.print("content") }
    }
--- response_headers
X-Called: 418
--- response_body chomp
content
--- no_error_log
[error]



=== TEST 28: calls from the body of a response, which waits
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_response_body": [
                {"if": ["eq", "${end_of_stream}", "true"],
                 "then": [["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT"], [":path", "/from-a-body"]]]]},
                ["return", "pause"]
            ],
            "on_http_call_response": [
                ["get_buffer_bytes", "call_response_body"],
                ["continue_stream", "response"]
            ]
        }';
        content_by_lua_block { ngx.print("content") }
    }
--- response_body chomp
content
--- error_log
/from-a-body
--- no_error_log
[error]



=== TEST 29: an upstream block that has the name of a service of Higress
--- http_config
    upstream "outbound|80||name.svc" {
        server 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "outbound|80||name.svc", [[":method", "GET"], [":authority", "a.test"], [":path", "/p"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [
                ["get_buffer_bytes", "call_response_body"],
                ["send_local_response", 200, "${last}"]
            ]
        }';
    }
--- response_body chomp
GET a.test /p
--- no_error_log
[error]



=== TEST 30: an address is itself, also where proxy_pass names it with another port
--- http_config
    server {
        listen 127.0.0.9:$TEST_NGINX_UPSTREAM_PORT;
        return 200 "of another port";
    }
--- config
    location /passed { proxy_pass http://127.0.0.9:$TEST_NGINX_UPSTREAM_PORT; }
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "127.0.0.9", [[":method", "GET"], [":authority", "a.test"], [":path", "/"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["send_local_response", 200, "it says: ${last}"]]
        }';
    }
--- response_body_unlike: another port



=== TEST 31: an upstream block has its turns, in whichever case a plugin writes its name
--- http_config
    upstream turns {
        server unix:$TEST_NGINX_SERVER_ROOT/first.sock;
        server unix:$TEST_NGINX_SERVER_ROOT/second.sock;
    }
    server { listen unix:$TEST_NGINX_SERVER_ROOT/first.sock; location / { return 200 "first"; } }
    server { listen unix:$TEST_NGINX_SERVER_ROOT/second.sock; location / { return 200 "second"; } }
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["set", "by", ""],
                ["http_call", "turns", [[":method", "GET"], [":authority", "a"], [":path", "/"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [
                ["get_buffer_bytes", "call_response_body"],
                ["set", "by", "${by} ${last}"],
                {"if": ["eq", "${count}", "1"], "then": [["http_call", "Turns", [[":method", "GET"], [":authority", "a"], [":path", "/"]]]]},
                {"if": ["eq", "${count}", "2"], "then": [["send_local_response", 200, "${by}"]]}
            ]
        }';
    }
--- response_body chomp
 first second
--- no_error_log
[error]
