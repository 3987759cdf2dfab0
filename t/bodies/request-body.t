# What proxy_on_request_body sees: the whole body, once, however it comes.

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

=== TEST 1: a body in memory
--- config
    location /echo {
        proxy_wasm hostcalls '{
            "trace": true,
            "on_request_body": [["get_buffer_bytes", "request_body"]]
        }';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
POST /echo
hello
--- response_body chomp
hello
--- response_headers
X-Method: POST
X-Length: 5
--- grep_error_log eval: qr/on_request_\w+ 2 \d+ \w+|get_buffer_bytes \w+ -> .*?(?=,)/
--- grep_error_log_out
on_request_headers 2 5 false
on_request_body 2 5 true
get_buffer_bytes request_body -> OK hello



=== TEST 2: a body that nginx spilled to a file is read from there
--- config
    location /echo {
        client_body_buffer_size 1k;
        proxy_wasm hostcalls '{
            "on_request_body": [
                {"op": "get_buffer_bytes", "args": ["request_body", 2998, 10], "as": "tail", "quiet": true},
                ["echo", "${body_size} ${end_of_stream} ${tail}"]
            ]
        }';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request eval
"POST /echo\n" . "a" x 3000 . "b" x 3000
--- response_body eval
"a" x 3000 . "b" x 3000
--- error_log
6000 true aabbbbbbbb



=== TEST 3: a chunked body
--- config
    location /echo {
        proxy_wasm hostcalls '{
            "trace": true,
            "on_request_body": [["get_buffer_bytes", "request_body"]]
        }';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- raw_request eval
["POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
 "5\r\nhello\r\n", "1\r\n \r\n5\r\nworld\r\n", "0\r\n\r\n"]
--- raw_request_middle_delay: 0.01
--- response_body chomp
hello world
--- grep_error_log eval: qr/on_request_\w+ 2 \d+ \w+|get_buffer_bytes \w+ -> .*?(?=,)/
--- grep_error_log_out
on_request_headers 2 4 false
on_request_body 2 11 true
get_buffer_bytes request_body -> OK hello world



=== TEST 4: no body, no callback
--- config
    location /echo {
        proxy_wasm hostcalls '{"trace": true}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request eval
["GET /echo", "POST /echo"]
--- more_headers eval
["", "Content-Length: 0"]
--- response_body eval
["", ""]
--- error_log eval
qr/on_request_headers \d \d true/
--- no_error_log
on_request_body
[error]



=== TEST 5: a chunked body with nothing in it is a body of no bytes
--- config
    location /echo {
        proxy_wasm hostcalls '{
            "trace": true,
            "on_request_body": [["get_buffer_bytes", "request_body"], ["get_buffer_status", "request_body"]]
        }';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- raw_request eval
"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n"
--- response_body chomp
--- error_log
on_request_body 2 0 true
get_buffer_bytes request_body -> OK ""
get_buffer_status request_body -> OK 0



=== TEST 6: with proxy_request_buffering off the plugin sees the whole if it is told so
--- config
    location /echo {
        proxy_request_buffering off;
        wasm_request_body whole;
        client_body_buffer_size 1k;
        proxy_wasm hostcalls '{"trace": true}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request eval
"POST /echo\n" . "x" x 9000
--- response_body eval
"x" x 9000
--- error_log
on_request_body 2 9000 true



=== TEST 7: HTTP/2, with and without a length
--- http2
--- config
    location /echo {
        proxy_wasm hostcalls '{
            "trace": true,
            "on_request_body": [["get_buffer_bytes", "request_body"]]
        }';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request eval
["POST /echo\nhello", "POST /echo\nworld"]
--- more_headers eval
["", "Transfer-Encoding: chunked"]
--- response_body eval
["hello", "world"]
--- error_log
on_request_body 2 5 true



=== TEST 8: what another module has read already
--- config
    location /echo {
        rewrite_by_lua_block { ngx.req.read_body() }
        proxy_wasm hostcalls '{"on_request_body": [["get_buffer_bytes", "request_body"]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
POST /echo
hello
--- response_body chomp
hello
--- error_log
get_buffer_bytes request_body -> OK hello



=== TEST 9: one too large for client_max_body_size never reaches the plugin
--- config
    location /echo {
        client_max_body_size 1k;
        proxy_wasm hostcalls '{"trace": true}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request eval
"POST /echo\n" . "x" x 2000
--- error_code: 413
--- error_log
client intended to send too large body
--- no_error_log
on_request_body



=== TEST 10: the body is seen in the rewrite phase, too
--- config
    location /echo {
        proxy_wasm rewriting '{"on_request_body": [["get_buffer_bytes", "request_body"]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- http_config
    wasm_plugin rewriting $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- request
POST /echo
hello
--- response_body chomp
hello
--- error_log
get_buffer_bytes request_body -> OK hello



=== TEST 11: a body of which the location makes nothing
--- config
    location /index.html {
        proxy_wasm hostcalls '{"on_request_body": [["get_buffer_bytes", "request_body"]]}';
    }
--- raw_request eval
"GET /index.html HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
--- response_body_like: It works!
--- error_log
get_buffer_bytes request_body -> OK hello



=== TEST 12: a local response instead of the upstream, from the body's callback
--- config
    location /echo {
        proxy_wasm hostcalls '{
            "on_request_body": [
                {"op": "get_buffer_bytes", "args": ["request_body"], "as": "body"},
                {"if": ["contains", "${body}", "attack"], "then": [["send_local_response", 403, "blocked", [["x-a", "1"]]], ["return", "pause"]]}
            ]
        }';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request eval
["POST /echo\nan attack", "POST /echo\nnone"]
--- error_code eval
[403, 200]
--- response_headers eval
["X-A: 1", "!X-A"]
--- response_body eval
["blocked", "none"]



=== TEST 13: one larger than the plugin's memory can be read in parts, and passes
--- http_config
    wasm_plugin small $TEST_NGINX_PLUGINS/hostcalls.wasm memory_limit=4m;
--- config
    location /echo {
        client_max_body_size 0;
        proxy_wasm small '{"trace": true, "on_request_body": [["get_buffer_bytes", "request_body", 5999990, 10]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request eval
"POST /echo\n" . "a" x 6_000_000
--- response_headers
X-Length: 6000000
--- error_log eval
[qr/on_request_body 2 6000000 true/, qr/get_buffer_bytes request_body 5999990 10 -> OK a{10}/]



=== TEST 14: as a whole it does not fit: the plugin is told so, nothing is cut
--- http_config
    wasm_plugin small $TEST_NGINX_PLUGINS/hostcalls.wasm memory_limit=4m;
--- config
    location /echo {
        client_max_body_size 0;
        proxy_wasm small '{"on_request_body": [["get_buffer_bytes", "request_body"]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request eval
"POST /echo\n" . "a" x 6_000_000
--- response_headers
X-Length: 6000000
--- error_log
get_buffer_bytes request_body -> INVALID_MEMORY_ACCESS
