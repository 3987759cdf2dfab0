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

# A field of Protocol Buffers that holds bytes.
sub field {
    my ($number, $value) = @_;
    return pack('CC', $number << 3 | 2, length $value) . $value;
}

# Envoy's GrpcService, as an argument of a step: GOOGLE(TARGET) or ENVOY(CLUSTER[, AUTHORITY]) in a script.
sub grpc_service {
    my ($kind, $arguments) = @_;
    my @texts = split m{, }, $arguments =~ s/PORT/$ENV{TEST_NGINX_UPSTREAM_PORT}/r;
    my $message = CORE::join '', map { field($_ + 1, $texts[$_]) } 0 .. $#texts;
    return '{"hex": "' . unpack('H*', field($kind eq 'ENVOY' ? 1 : 2, $message)) . '"}';
}

add_block_preprocessor(sub {
    my ($block) = @_;
    my $config = $block->config;
    $config =~ s/\b(ENVOY|GOOGLE)\(([^)]*)\)/grpc_service($1, $2)/ge;
    $block->set_value(config => $config);
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
                ["grpc_call", ENVOY(greeter), "test.Greeter", "Hello", [], "cluster"],
                ["grpc_call", ENVOY(greeter, asked.test), "test.Greeter", "Hello", [], "cluster with an authority"],
                ["grpc_call", GOOGLE(127.0.0.1:PORT), "test.Greeter", "Hello", [], "target"],
                ["grpc_call", GOOGLE(dns:///127.0.0.1:PORT), "test.Greeter", "Hello", [], "dns target"],
                ["grpc_call", GOOGLE(dns://127.0.0.1/127.0.0.1:PORT), "test.Greeter", "Hello", [], "dns target with a server"],
                ["grpc_call", GOOGLE(ipv4:127.0.0.1:PORT), "test.Greeter", "Hello", [], "ipv4 target"],
                ["return", "pause"]
            ],
            "on_grpc_receive_initial_metadata": [["get_header_map_value", "grpc_initial_metadata", "x-authority"]],
            "on_grpc_receive": [
                ["get_buffer_bytes", "grpc_message"],
                ["add_header_map_value", "request", "x-got", "${last}"],
                {"if": ["eq", "${count}", "6"], "then": [["continue_stream", "request"]]}
            ],
            "on_grpc_close": [["get_status"], ["send_local_response", 500, "${last}"]]
        }';
        content_by_lua_block {
            local got = ngx.req.get_headers()["x-got"]
            table.sort(got)
            ngx.print(table.concat(got, ", "))
        }
    }
--- response_body chomp
cluster, cluster with an authority, dns target, dns target with a server, ipv4 target, target
--- error_log
x-authority -> OK greeter
x-authority -> OK asked.test
--- no_error_log
[error]



=== TEST 6: what cannot be called is refused, and a line says what is wrong
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["grpc_call", {"hex": "0a090a07"}, "test.Greeter", "Hello", [], "hello"],
                ["grpc_call", "", "test.Greeter", "Hello", [], "hello"],
                ["grpc_call", "greeter", "test.Greeter", "He llo", [], "hello"],
                ["grpc_call", "greeter", "test.Greeter", "Hello", [["x(in)", "a"]], "hello"],
                ["grpc_call", "greeter", "test.Greeter", "Hello", [[":authority", "a b"]], "hello"],
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
grpc call gets invalid method: /test.Greeter/He llo
grpc call gets invalid metadata: x(in)
grpc call gets invalid metadata: :authority
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
                ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":authority", "127.0.0.1:$TEST_NGINX_SERVER_PORT"], [":path", "/slow"]]],
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



=== TEST 8: a plugin that fails on a message fails its request
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["grpc_call", "greeter", "test.Greeter", "Hello", [], "hello"], ["return", "pause"]],
            "on_grpc_receive": [["trap"]]
        }';
    }
--- error_code: 503
--- error_log
failed to call function: proxy_on_grpc_receive of plugin "hostcalls"



=== TEST 9: on a stream's metadata
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["grpc_stream", "greeter", "test.Greeter", "Hello"], ["grpc_send", "${last}", "m", 1], ["return", "pause"]],
            "on_grpc_receive_initial_metadata": [["trap"]]
        }';
    }
--- error_code: 503
--- error_log
failed to call function: proxy_on_grpc_receive_initial_metadata of plugin "hostcalls"



=== TEST 10: on its trailers
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["grpc_stream", "greeter", "test.Greeter", "Hello"], ["grpc_send", "${last}", "m", 1], ["return", "pause"]],
            "on_grpc_receive_trailing_metadata": [["trap"]]
        }';
    }
--- error_code: 503
--- error_log
failed to call function: proxy_on_grpc_receive_trailing_metadata of plugin "hostcalls"



=== TEST 11: and at the end of a call, while another waits
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["grpc_call", "greeter", "test.Greeter", "Refuse", [], "hello"], ["grpc_call", "greeter", "test.Greeter", "Slow", [], "hello"], ["return", "pause"]],
            "on_grpc_close": [["trap"]]
        }';
    }
--- error_code: 503
--- error_log
failed to call function: proxy_on_grpc_close of plugin "hostcalls"



=== TEST 12: calls of configure and of ticks, which no request waits for
--- config
    location /t { return 200 ok; }
    location /configure {
        proxy_wasm hostcalls '{
            "on_configure": [
                ["grpc_call", "greeter", "test.Greeter", "Hello", [], "from configure"],
                ["set_tick_period_milliseconds", 10]
            ],
            "on_tick": [["set_tick_period_milliseconds", 0], ["grpc_call", "greeter", "test.Greeter", "Hello", [], "from a tick"]],
            "on_grpc_receive": [["get_buffer_bytes", "grpc_message"]]
        }';
    }
--- wait: 0.3
--- error_log
get_buffer_bytes grpc_message -> OK from configure
get_buffer_bytes grpc_message -> OK from a tick
--- no_error_log
[error]



=== TEST 13: a request that Lua drives waits for its calls
--- http_config
    init_worker_by_lua_block {
        wasm = require("resty.proxy-wasm")
        plugin = assert(wasm.load("lua", "$TEST_NGINX_PLUGINS/hostcalls.wasm"))
        ctx = assert(wasm.on_configure(plugin, [=[{
            "on_request_headers": [["grpc_call", "greeter", "test.Greeter", "Hello", [], "through Lua"]],
            "on_grpc_receive": [["get_buffer_bytes", "grpc_message"], ["add_header_map_value", "request", "x-seen", "${last}"]]}]=]))
    }
--- config
    location /t {
        access_by_lua_block { assert(wasm.on_http_request_headers(ctx)) }
        content_by_lua_block { ngx.print(ngx.req.get_headers()["x-seen"]) }
    }
--- response_body chomp
through Lua
--- no_error_log
[error]
