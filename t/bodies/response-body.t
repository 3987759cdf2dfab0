# What proxy_on_response_body sees: each piece as nginx passes it, and the end.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Upstream qw(upstream);

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(http_config =>
        'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;' . upstream() . ($block->http_config // ''));
    $block->set_value(no_error_log => '[error]') if !defined $block->no_error_log;
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: a static file
--- config
    location /t.txt {
        proxy_wasm hostcalls '{
            "trace": true,
            "on_response_body": [["get_buffer_bytes", "response_body"]]
        }';
    }
--- user_files
>>> t.txt
hello
--- request
GET /t.txt
--- response_body
hello
--- response_headers
Content-Length: 6
--- grep_error_log eval: qr/on_response_\w+ 2 \d+ \w+|get_buffer_bytes \w+ -> OK \w+/
--- grep_error_log_out
on_response_headers 2 6 false
on_response_body 2 6 true
get_buffer_bytes response_body -> OK hello



=== TEST 2: proxied, with buffering
--- config
    location /pieces {
        proxy_wasm hostcalls '{"on_response_body": [{"op": "get_buffer_bytes", "args": ["response_body"], "as": "piece", "quiet": true}, ["echo", "<${piece}>${end_of_stream}"]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /pieces
--- response_body chomp
one two three
--- error_log
true
three



=== TEST 3: proxied, without buffering, piece by piece, the end by itself
--- config
    location /pieces {
        proxy_buffering off;
        proxy_wasm hostcalls '{"on_response_body": [
            {"op": "get_buffer_bytes", "args": ["response_body"], "as": "piece", "quiet": true},
            {"if": ["eq", "${body_size}", "0"], "then": [["set", "piece", ""]]},
            {"op": "log", "args": ["info", "<${piece}> ${end_of_stream}"], "quiet": true}
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /pieces
--- response_body chomp
one two three
--- grep_error_log eval: qr/<.+?> \w+|<> true/
--- grep_error_log_out
<one > false
<two > false
<three> false
<> true



=== TEST 4: large, and more than the client's connection takes at once
--- config
    location /zeros {
        proxy_wasm hostcalls '{"on_response_body": [
            {"if": ["eq", "${end_of_stream}", "true"], "then": [["log", "info", "seen to the end"]]}
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /zeros?4096
--- response_body eval
"0" x (4 << 20)
--- error_log
seen to the end



=== TEST 5: HEAD has a header alone
--- config
    location /headers {
        proxy_wasm hostcalls '{"trace": true}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
HEAD /headers
--- response_body chomp
--- response_headers
Content-Length: 5
ETag: "tag"
--- error_log eval
qr/on_response_headers 2 \d+ true/
--- no_error_log
on_response_body
[error]



=== TEST 6: so have 204 and 304
--- config
    location /204 {
        proxy_wasm rewriting '{"trace": true, "on_response_body": [["panic", "no body"]]}';
        return 204;
    }
    location /t.txt {
        etag off;
        if_modified_since before;
        proxy_wasm hostcalls '{"trace": true, "on_response_body": [["panic", "no body"]]}';
    }
--- http_config
    wasm_plugin rewriting $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- user_files
>>> t.txt
hello
--- request eval
["GET /204", "GET /t.txt"]
--- more_headers eval
["", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"]
--- error_code eval
[204, 304]
--- error_log eval
[qr/on_response_headers 2 \d+ true/, qr/on_response_headers 2 \d+ true/]
--- no_error_log
on_response_body



=== TEST 7: an empty body is the end alone
--- config
    location /echo {
        proxy_wasm hostcalls '{"trace": true}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /echo
--- response_body chomp
--- grep_error_log eval: qr/on_response_body \d+ \d+ \w+/
--- grep_error_log_out
on_response_body 2 0 true



=== TEST 8: nginx's own page for an upstream that is not there
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_body": [["get_buffer_bytes", "response_body", 0, 6]]}';
        proxy_pass http://127.0.0.1:1;
    }
--- request
GET /t
--- error_code: 502
--- response_body_like: 502 Bad Gateway
--- error_log
get_buffer_bytes response_body 0 6 -> OK <html>
--- no_error_log
[alert]



=== TEST 9: an error_page is the response that the plugin sees, once
--- config
    location /t {
        proxy_wasm hostcalls '{"trace": true, "on_response_body": [["get_buffer_bytes", "response_body"]]}';
        error_page 502 = /sorry.txt;
        proxy_pass http://127.0.0.1:1;
    }
--- user_files
>>> sorry.txt
sorry
--- request
GET /t
--- error_code: 200
--- response_body
sorry
--- grep_error_log eval: qr/on_\w+ \d+ \d+ \w+|get_buffer_bytes \w+ -> OK \w+/
--- grep_error_log_out
on_request_headers 2 4 true
on_response_headers 2 6 false
on_response_body 2 6 true
get_buffer_bytes response_body -> OK sorry
--- no_error_log
[alert]



=== TEST 10: with X-Accel-Redirect, what it leads to
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_body": [["get_buffer_bytes", "response_body"]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/accel;
    }
    location /accel { add_header X-Accel-Redirect /file.txt; return 200 "never seen"; }
    location /file.txt { internal; }
--- user_files
>>> file.txt
the file
--- request
GET /t
--- response_body
the file
--- grep_error_log eval: qr/get_buffer_bytes \w+ -> OK \w+ \w+/
--- grep_error_log_out
get_buffer_bytes response_body -> OK the file



=== TEST 11: a subrequest is no response of its own
--- config
    location /t.txt {
        add_before_body /before;
        addition_types *;
        proxy_wasm hostcalls '{"trace": true, "on_response_body": [["get_buffer_bytes", "response_body"]]}';
    }
    location /before { return 200 "before "; }
--- user_files
>>> t.txt
hello
--- request
GET /t.txt
--- response_body
before hello
--- grep_error_log eval: qr/on_response_headers \d+|get_buffer_bytes \w+ -> OK \w+/
--- grep_error_log_out
on_response_headers 2
get_buffer_bytes response_body -> OK hello



=== TEST 12: gzip comes after the plugins
--- config
    location /zeros {
        gzip on;
        gzip_types *;
        gzip_proxied any;
        proxy_wasm hostcalls '{"on_response_body": [["get_buffer_bytes", "response_body", 0, 3]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /zeros?1
--- more_headers
Accept-Encoding: gzip
--- response_headers
Content-Encoding: gzip
--- error_log
get_buffer_bytes response_body 0 3 -> OK 000



=== TEST 13: a plugin that cannot change bodies leaves length, tag and ranges alone
--- config
    location /t.txt {
        etag on;
        proxy_wasm onlooker '{}';
    }
--- http_config
    wasm_plugin onlooker $TEST_NGINX_HTML_DIR/onlooker.wat;
--- user_files
>>> t.txt
0123456789
>>> onlooker.wat
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 1024)
  (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) i32.const 0))
--- request eval
["GET /t.txt", "GET /t.txt"]
--- more_headers eval
["", "Range: bytes=3-5"]
--- error_code eval
[200, 206]
--- response_headers_like eval
["Content-Length: 11\nETag: .+\nAccept-Ranges: bytes", "Content-Length: 3\nContent-Range: bytes 3-5/11"]
--- response_body eval
["0123456789\n", "345"]



=== TEST 14: in Go's SDK, and in Rust's
--- config
    location /t.txt {
        proxy_wasm go go;
        proxy_wasm rust rust;
    }
--- http_config
    wasm_plugin go $TEST_NGINX_PLUGINS/go-headers.wasm;
    wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm;
--- user_files
>>> t.txt
hello
--- request
GET /t.txt
--- response_headers
X-Go: go
X-Rust: rust
Content-Length: 6
--- response_body
hello
