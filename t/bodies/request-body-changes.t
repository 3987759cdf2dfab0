# proxy_set_buffer_bytes on the request's body: upstream gets what plugins made of it,
# with its length.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Upstream qw(upstream);

# --- steps: what the plugin of /echo does in on_request_body
add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(http_config =>
        'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;' . upstream() . ($block->http_config // ''));
    $block->set_value(no_error_log => '[error]') if !defined $block->no_error_log;
    my $steps = $block->steps // return;
    $block->set_value(config => ($block->config // '') . <<"E");
        location /echo {
            proxy_wasm hostcalls '{"on_request_body": [$steps]}';
            proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT;
        }
E
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: replaced
--- steps: ["set_buffer_bytes", "request_body", "something else"]
--- request
POST /echo
hello
--- response_body chomp
something else
--- response_headers
X-Length: 14
X-Encoding: none



=== TEST 2: prepended, with start and size 0
--- steps: ["set_buffer_bytes", "request_body", "oh, ", 0, 0]
--- request
POST /echo
hello
--- response_body chomp
oh, hello
--- response_headers
X-Length: 9



=== TEST 3: appended, with a start at the end or past it
--- steps: ["set_buffer_bytes", "request_body", " there", 5, 0], ["set_buffer_bytes", "request_body", "!", 1000, 7]
--- request
POST /echo
hello
--- response_body chomp
hello there!
--- response_headers
X-Length: 12



=== TEST 4: a range in the middle, by something longer, shorter, and nothing
--- steps: ["set_buffer_bytes", "request_body", "[longer]", 1, 2], ["set_buffer_bytes", "request_body", "s", 9, 2], ["set_buffer_bytes", "request_body", "", 0, 1]
--- request
POST /echo
hello
--- response_body chomp
[longer]s
--- response_headers
X-Length: 9



=== TEST 5: cut to nothing
--- steps: ["set_buffer_bytes", "request_body", ""]
--- request
POST /echo
hello
--- response_body chomp
--- response_headers
X-Length: 0



=== TEST 6: a size past the end replaces what is there
--- steps: ["set_buffer_bytes", "request_body", "LO", 3, 100]
--- request
POST /echo
hello
--- response_body chomp
helLO



=== TEST 7: a plugin sees what it made of the body
--- steps: ["set_buffer_bytes", "request_body", "12345678"], ["get_buffer_bytes", "request_body", 6, 10], ["get_buffer_status", "request_body"]
--- request
POST /echo
hello
--- response_body chomp
12345678
--- error_log
get_buffer_bytes request_body 6 10 -> OK 78
get_buffer_status request_body -> OK 8



=== TEST 8: a chunked body gets a length
--- steps: ["set_buffer_bytes", "request_body", ">", 0, 0]
--- raw_request eval
"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
--- response_body chomp
>hello
--- response_headers
X-Length: 6
X-Encoding: none



=== TEST 9: HTTP/2
--- http2
--- steps: ["set_buffer_bytes", "request_body", ">", 0, 0]
--- request eval
["POST /echo\nhello", "POST /echo\nhello"]
--- more_headers eval
["", "Transfer-Encoding: chunked"]
--- response_body eval
[">hello", ">hello"]
--- response_headers eval
["X-Length: 6", "X-Length: 6"]



=== TEST 10: of a body in a file, a part
--- config
    client_body_buffer_size 1k;
--- steps: ["set_buffer_bytes", "request_body", "XYZ", 2999, 2]
--- request eval
"POST /echo\n" . "a" x 3000 . "b" x 3000
--- response_body eval
"a" x 2999 . "XYZ" . "b" x 2999
--- response_headers
X-Length: 6001



=== TEST 11: by more than client_body_buffer_size, which then is in a file
--- config
    client_body_buffer_size 1k;
--- steps: ["set_buffer_bytes", "request_body", {"repeat": ["0123456789", 10000]}]
--- request
POST /echo
hello
--- response_body eval
"0123456789" x 10000
--- response_headers
X-Length: 100000



=== TEST 12: with proxy_request_buffering off
--- config
    proxy_request_buffering off;
--- steps: ["set_buffer_bytes", "request_body", "> ", 0, 0]
--- request
POST /echo
hello
--- response_body chomp
> hello
--- response_headers
X-Length: 7



=== TEST 13: of a body in a file, all; nginx's own variables forget the file
--- config
    location /echo {
        client_body_buffer_size 1k;
        proxy_wasm hostcalls '{"on_request_body": [["set_buffer_bytes", "request_body", "small"]]}';
        proxy_set_body "$request_body <$request_body_file>";
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request eval
"POST /echo\n" . "a" x 3000
--- response_body chomp
small <>



=== TEST 14: several plugins, each on what the one before left
--- config
    location /echo {
        proxy_wasm hostcalls '{"on_request_body": [["set_buffer_bytes", "request_body", "1", 100, 0]]}';
        proxy_wasm hostcalls '{"on_request_body": [["get_buffer_bytes", "request_body"]]}';
        proxy_wasm hostcalls '{"on_request_body": [["set_buffer_bytes", "request_body", "3", 100, 0], ["get_buffer_bytes", "request_body"]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
POST /echo
0
--- response_body chomp
013
--- grep_error_log eval: qr/get_buffer_bytes \w+ -> OK \w+/
--- grep_error_log_out
get_buffer_bytes request_body -> OK 01
get_buffer_bytes request_body -> OK 013



=== TEST 15: from the rewrite phase to the access phase
--- http_config
    wasm_plugin rewriting $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /echo {
        proxy_wasm hostcalls '{"on_request_body": [["set_buffer_bytes", "request_body", " access", 100, 0]]}';
        proxy_wasm rewriting '{"on_request_body": [["set_buffer_bytes", "request_body", " rewrite", 100, 0]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
POST /echo
0
--- response_body chomp
0 rewrite access



=== TEST 16: a body for a request that had none
--- config
    location /echo {
        proxy_wasm hostcalls '{
            "on_request_headers": [["set_property", "wasm_process_req_body", "1"]],
            "on_request_body": [["set_buffer_bytes", "request_body", "made up"]]
        }';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
PUT /echo
--- response_body chomp
made up
--- response_headers
X-Length: 7



=== TEST 17: a body larger than wasm_body_buffer_size cannot be changed, and is not cut
--- config
    location /echo {
        proxy_wasm small '{"on_request_body": [["set_buffer_bytes", "request_body", ">", 0, 0]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- http_config
    wasm_plugin small $TEST_NGINX_PLUGINS/hostcalls.wasm body_buffer_size=4k;
--- request eval
"POST /echo\n" . "a" x 4096
--- response_body eval
"a" x 4096
--- error_log
plugin "small" cannot change a body: 4097 bytes are more than wasm_body_buffer_size (4096)
set_buffer_bytes request_body > 0 0 -> INTERNAL_FAILURE
--- no_error_log
[alert]
