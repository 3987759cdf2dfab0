# proxy_on_response_headers: its arguments, and that it runs once for each response,
# also for those that nginx makes itself.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Scripted;

run_tests();

__DATA__

=== TEST 1: context, number of headers, end of stream
--- config
    location /t { proxy_wasm hostcalls '{"trace": true}'; return 200 "hello"; }
--- request
GET /t
--- error_log eval
# Content type and length, connection, status.
qr/on_response_headers 2 4 false,/



=== TEST 2: ABI 0.1.0 has two arguments
--- config
    location /t { proxy_wasm hostcalls-0-1-0 '{"trace": true}'; return 200 "hello"; }
--- request
GET /t
--- error_log eval
qr/on_response_headers 2 4,/



=== TEST 3: a response without a body ends with its headers: HEAD, 204
--- config
    location /t { proxy_wasm hostcalls '{"trace": true}'; return 200 "hello"; }
    location /no-content { proxy_wasm hostcalls '{"trace": true}'; return 204; }
--- request eval
["HEAD /t", "GET /no-content"]
--- error_code eval
[200, 204]
--- response_body eval
["", ""]
--- error_log eval
qr/on_response_headers \d+ \d+ true,/



=== TEST 4: HEAD keeps the length
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["add_header_map_value", "response", "x-length", "${num_headers}"]
        ]}';
        return 200 "hello";
    }
--- request
HEAD /t
--- response_headers
X-Length: 4
Content-Length: 5



=== TEST 5: a page of nginx's own
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["add_header_map_value", "response", "x-seen", "${count}"],
            ["get_header_map_value", "response", ":status"]
        ]}';
        root $TEST_NGINX_HTML_DIR;
    }
--- request
GET /t/none
--- error_code: 404
--- response_headers
X-Seen: 1
--- response_body_like: 404 Not Found
--- error_log
get_header_map_value response :status -> OK 404



=== TEST 6: return
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [["add_header_map_value", "response", "x-seen", "${count}"]]}';
        return 403;
    }
--- request
GET /t
--- error_code: 403
--- response_headers
X-Seen: 1
--- response_body_like: 403 Forbidden



=== TEST 7: a request that nginx refuses before any plugin
--- config
    location /t {
        client_max_body_size 3;
        proxy_wasm hostcalls '{
            "on_request_headers": [["echo", "sees the request"]],
            "on_response_headers": [["add_header_map_value", "response", "x-seen", "${count}"]]
        }';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
POST /t
hello
--- error_code: 413
--- response_headers
X-Seen: 1
--- no_error_log
sees the request



=== TEST 8: an upstream that is not there
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [["add_header_map_value", "response", "x-seen", "${count}"]]}';
        proxy_pass http://127.0.0.1:1;
    }
--- request
GET /t
--- error_code: 502
--- response_headers
X-Seen: 1



=== TEST 9: error_page in another location: plugins of the request run once
--- config
    proxy_wasm hostcalls '{"trace": true, "on_response_headers": [
        ["get_header_map_value", "response", ":status"],
        ["add_header_map_value", "response", "x-seen", "${count}"]
    ]}';
    error_page 404 /error;
    location /t { return 404; }
    location /error { return 200 "our page\n"; }
--- request
GET /t
--- error_code: 404
--- response_headers
X-Seen: 1
--- response_body
our page
--- grep_error_log eval: qr/on_(?:context_create \d+ 1|(?:request|response)_headers \d+|(?:done|log|delete) [2-9])/
--- grep_error_log_out
on_context_create 2 1
on_request_headers 2
on_response_headers 2
on_done 2
on_log 2
on_delete 2



=== TEST 10: error_page to a named location
--- config
    proxy_wasm hostcalls '{"on_response_headers": [["add_header_map_value", "response", "x-seen", "${count}"]]}';
    location /t { error_page 404 = @named; return 404; }
    location @named { return 200 "named\n"; }
--- request
GET /t
--- response_headers
X-Seen: 1
--- response_body
named



=== TEST 11: the upstream's errors through proxy_intercept_errors
--- upstream
        location /t { return 500 "broken"; }
--- config
    proxy_wasm hostcalls '{"on_response_headers": [["add_header_map_value", "response", "x-seen", "${count}"]]}';
    location /t {
        proxy_intercept_errors on;
        error_page 500 /error;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
    location /error { return 200 "our page\n"; }
--- request
GET /t
--- error_code: 500
--- response_headers
X-Seen: 1
--- response_body
our page



=== TEST 12: one request after another on a connection
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [["add_header_map_value", "response", "x-seen", "${count}"]]}';
        return 200 "hello";
    }
--- pipelined_requests eval
["GET /t", "GET /t", "GET /t"]
--- response_headers eval
["X-Seen: 1", "X-Seen: 1", "X-Seen: 1"]
--- response_body eval
["hello", "hello", "hello"]



=== TEST 13: a request line that nginx cannot read meets no plugin, and no harm is done
--- config
    location /t { proxy_wasm hostcalls '{"trace": true}'; return 200; }
--- raw_request eval
"GET /t\x01 HTTP/9.9\r\n\r\n"
--- error_code_like: ^(?:400|505)$
--- no_error_log
on_request_headers



=== TEST 14: a page of nginx's own filters cannot be held: nginx ends the request with it
--- http_config
    wasm_plugin access $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /headers.txt {
        proxy_wasm access '{"on_response_headers": [["return", "pause"]]}';
    }
    location /body.txt {
        proxy_wasm access '{"on_response_body": [["return", "pause"]]}';
    }
--- user_files
>>> headers.txt
text
>>> body.txt
text
--- request eval
["GET /headers.txt", "GET /body.txt"]
--- more_headers
If-Match: "another"
--- error_code eval
[500, 500]
--- response_body_like eval
[("500 Internal Server Error") x 2]
--- error_log
plugin "access" cannot hold a page of nginx's own filters: nginx does not wait for it



=== TEST 15: but it can be changed as a whole
--- http_config
    wasm_plugin access $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t.txt {
        proxy_wasm access '{"on_response_body": [
            {"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "pause"]]},
            ["set_buffer_bytes", "response_body", "new"]
        ]}';
    }
--- user_files
>>> t.txt
text
--- request
GET /t.txt
--- more_headers
If-Match: "another"
--- error_code: 412
--- response_body chomp
new
--- no_error_log
[error]
