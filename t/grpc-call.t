# proxy_grpc_call and its callbacks: unary calls, to a server of the same nginx that speaks HTTP/2.

use lib '.';
use t::ProxyWasm 'no_plan';

our $http_config = <<'CONF';
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;

    upstream greeter { server 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT; }

    server {
        listen 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT http2;
        default_type application/grpc;
        location = /test.Greeter/Hello {
            add_header X-Timeout $http_grpc_timeout;
            add_header X-Authority $http_host;
            add_header X-Bin $http_x_bin;
            add_header X-Reply-Bin "AAEC";
            add_trailer grpc-status 0;
            add_trailer X-Trailer at-the-end;
            content_by_lua_block {
                ngx.req.read_body()
                ngx.print(ngx.req.get_body_data())
            }
        }
        location = /test.Greeter/Refuse {
            add_header grpc-status 7 always;
            add_header grpc-message "not%20you%25" always;
            return 200;
        }
        location = /test.Greeter/Fail {
            add_trailer grpc-status 9;
            add_trailer grpc-message "too%20late";
            content_by_lua_block { ngx.print("\0\0\0\0\1x") }
        }
        location = /test.Greeter/Slow { content_by_lua_block { ngx.sleep(1) } }
        location = /test.Greeter/Missing { return 200 ""; }
        location = /test.Greeter/Huge { content_by_lua_block { ngx.print("\0\127\0\0\0x") } }
    }
CONF

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(http_config => $http_config . ($block->http_config // ''));
    $block->set_value(request => 'GET /t') if !defined $block->request;
});

run_tests();

__DATA__

=== TEST 1: a message there and back, with metadata both ways
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["grpc_call", "greeter", "test.Greeter", "Hello", [["x-bin", {"hex": "00ff"}]], "hello", 2500],
                ["return", "pause"]
            ],
            "on_grpc_receive_initial_metadata": [
                ["get_header_map_value", "grpc_initial_metadata", "x-timeout"],
                ["get_header_map_value", "grpc_initial_metadata", "x-authority"],
                ["get_header_map_value", "grpc_initial_metadata", "x-reply-bin"]
            ],
            "on_grpc_receive": [
                ["get_buffer_bytes", "grpc_message"],
                ["send_local_response", 200, "${last} ${caller}"]
            ],
            "on_grpc_receive_trailing_metadata": [["get_header_map_value", "grpc_trailing_metadata", "x-trailer"]],
            "on_grpc_close": [["echo", "closed"]]
        }';
    }
--- response_body chomp
hello 2
--- error_log
get_header_map_value grpc_initial_metadata x-timeout -> OK 2500m
get_header_map_value grpc_initial_metadata x-authority -> OK greeter
get_header_map_value grpc_initial_metadata x-reply-bin -> OK \x00\x01\x02
get_header_map_value grpc_trailing_metadata x-trailer -> OK at-the-end
--- no_error_log
[error]
closed



=== TEST 2: a refusal comes with its status and message
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["grpc_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", "test.Greeter", "Refuse", [], "hello"],
                ["return", "pause"]
            ],
            "on_grpc_close": [["get_status"], ["send_local_response", 200, "${last}"]]
        }';
    }
--- response_body chomp
7 not you%
--- no_error_log
[error]



=== TEST 3: a status after a message fails the call, too
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["grpc_call", "greeter", "test.Greeter", "Fail", [], "hello"], ["return", "pause"]],
            "on_grpc_receive": [["echo", "received"]],
            "on_grpc_close": [["get_status"], ["send_local_response", 200, "${last}"]]
        }';
    }
--- response_body chomp
9 too late
--- no_error_log
received



=== TEST 4: what is no gRPC has a status all the same
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["grpc_call", "greeter", "test.Greeter", "Nothing", [], "hello"],
                ["grpc_call", "greeter", "test.Greeter", "Missing", [], "hello"],
                ["grpc_call", "greeter", "test.Greeter", "Huge", [], "hello"],
                ["grpc_call", "greeter", "test.Greeter", "Slow", [], "hello", 100],
                ["grpc_call", "127.0.0.1:1", "test.Greeter", "Hello", [], "hello"],
                ["grpc_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", "test.Greeter", "Hello", [], "hello"],
                ["return", "pause"]
            ],
            "on_grpc_close": [
                ["get_status"],
                {"if": ["eq", "${count}", "6"], "then": [["send_local_response", 200, "six"]]}
            ]
        }';
    }
--- response_body chomp
six
--- error_log
get_status -> OK 12 HTTP status 404
get_status -> OK 2 no grpc-status received
get_status -> OK 8 message of 2130706432 bytes, larger than 10485760
get_status -> OK 4 timeout
get_status -> OK 14 connection refused



=== TEST 5: Envoy's GrpcService names a cluster, or a target
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["grpc_call", {"hex": "0a090a0767726565746572"}, "test.Greeter", "Hello", [], "from a cluster"],
                ["return", "pause"]
            ],
            "on_grpc_receive": [["get_buffer_bytes", "grpc_message"], ["send_local_response", 200, "${last}"]]
        }';
    }
--- response_body chomp
from a cluster



=== TEST 6: what names no server is refused
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["grpc_call", {"hex": "0a090a07"}, "test.Greeter", "Hello", [], "hello"],
                ["grpc_call", "", "test.Greeter", "Hello", [], "hello"],
                ["grpc_call", "greeter", "test.Greeter", "He llo", [], "hello"],
                ["grpc_call", "greeter", "test.Greeter", "Hello", [], "hello", "max"],
                ["grpc_send", 99, "x"],
                ["grpc_cancel", 99],
                ["grpc_close", 99]
            ]
        }';
        content_by_lua_block { ngx.print("ok") }
    }
--- response_body chomp
ok
--- error_log
grpc call gets invalid service
grpc call gets invalid method or metadata
invalid timeout: -1
grpc_send 99 x -> NOT_FOUND
grpc_cancel 99 -> NOT_FOUND
grpc_close 99 -> NOT_FOUND



=== TEST 7: nothing is told of a call that was cancelled
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["grpc_call", "greeter", "test.Greeter", "Hello", [], "hello"],
                ["grpc_cancel", "${last}"],
                ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":path", "/slow"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [["send_local_response", 200, "done"]],
            "on_grpc_receive": [["echo", "received"]],
            "on_grpc_close": [["echo", "closed"]]
        }';
    }
    location /slow { content_by_lua_block { ngx.sleep(0.2) } }
--- response_body chomp
done
--- no_error_log
received
closed
