# wasm_upstream NAME [SERVER] [tls=] [sni=] [authority=] [verify=]; in http: what the names that
# plugins call stand for. TLS is in t/http-call-tls-of-names.t.

use lib '.';
use t::ProxyWasm 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    my $own = $block->http_config // '';
    $block->set_value(http_config => "wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls.wasm;\n$own");
    $block->set_value(request => 'GET /t') if !defined $block->request;
    $block->set_value(config => '') if !defined $block->config;
});

run_tests();

__DATA__

=== TEST 1: the name of a cluster stands for an address
--- http_config
    wasm_upstream outbound|80||name.svc 127.0.0.1:$TEST_NGINX_SERVER_PORT;
--- config
    location /p { return 200 "for $http_host"; }
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "outbound|80||name.svc", [[":method", "GET"], [":authority", "a.test"], [":path", "/p"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["send_local_response", 200, "${last}"]]
        }';
    }
--- response_body chomp
for a.test
--- no_error_log
[error]



=== TEST 2: it stands for an upstream block, and for a socket
--- http_config
    wasm_upstream web_service blocks;
    wasm_upstream sockets unix:$TEST_NGINX_HTML_DIR/server.sock;
    upstream blocks { server 127.0.0.1:$TEST_NGINX_SERVER_PORT; }
    server { listen unix:$TEST_NGINX_HTML_DIR/server.sock; return 200 "a socket for $http_host"; }
--- config
    location /p { return 200 "a block for $http_host"; }
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "web_service", [[":method", "GET"], [":authority", "a.test"], [":path", "/p"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [
                {"op": "get_buffer_bytes", "args": ["call_response_body"], "as": "body"},
                {"if": ["contains", "${body}", "block"],
                 "then": [
                    ["set", "first", "${body}"],
                    ["http_call", "sockets", [[":method", "GET"], [":authority", "b.test"], [":path", "/p"]]]],
                 "else": [["send_local_response", 200, "${first}, ${body}"]]}
            ]
        }';
    }
--- response_body chomp
a block for a.test, a socket for b.test
--- no_error_log
[error]



=== TEST 3: the name of an upstream block or of a host may stand for another server
--- http_config
    wasm_upstream backend 127.0.0.1:$TEST_NGINX_SERVER_PORT;
    wasm_upstream api.test:443 127.0.0.1:$TEST_NGINX_SERVER_PORT tls=off;
    upstream backend { server 127.0.0.1:1; }
--- config
    location /p { return 200 "$scheme for $http_host"; }
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "backend", [[":method", "GET"], [":authority", "a.test"], [":path", "/p"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [
                {"op": "get_buffer_bytes", "args": ["call_response_body"], "as": "body"},
                {"if": ["contains", "${body}", "a.test"],
                 "then": [
                    ["set", "first", "${body}"],
                    ["http_call", "api.test:443", [[":scheme", "https"], [":method", "GET"], [":authority", "b.test"], [":path", "/p"]]]],
                 "else": [["send_local_response", 200, "${first}, ${body}"]]}
            ]
        }';
    }
--- response_body chomp
http for a.test, http for b.test
--- no_error_log
[error]



=== TEST 4: authority= is in place of the plugin's
--- http_config
    wasm_upstream a.test 127.0.0.1:$TEST_NGINX_SERVER_PORT authority=b.test:8443;
--- config
    location /p { return 200 "for $http_host"; }
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["http_call", "a.test", [[":method", "GET"], [":authority", "c.test"], [":path", "/p"]]],
                ["return", "pause"]
            ],
            "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["send_local_response", 200, "${last}"]]
        }';
    }
--- response_body chomp
for b.test:8443
--- no_error_log
[error]



=== TEST 5: gRPC calls, by the text and by Envoy's message
--- http_config
    wasm_upstream outbound|80||greeter.svc 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    wasm_upstream asked 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT authority=b.test;
    server {
        listen 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT http2;
        default_type application/grpc;
        add_header grpc-status 7 always;
        add_header grpc-message "$http_host" always;
        location / { return 200; }
    }
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                ["set", "first", ""],
                ["grpc_call", "outbound|80||greeter.svc", "test.Greeter", "Hello", [], "hello"],
                ["return", "pause"]
            ],
            "on_grpc_close": [
                ["get_status"],
                {"if": ["eq", "${first}", ""],
                 "then": [
                    ["set", "first", "${last}"],
                    ["grpc_call", {"hex": "0a070a0561736b6564"}, "test.Greeter", "Hello", [], "hello"]],
                 "else": [["send_local_response", 200, "${first}, ${last}"]]}
            ]
        }';
    }
--- response_body eval
"7 127.0.0.1:$ENV{TEST_NGINX_UPSTREAM_PORT}, 7 b.test"
--- no_error_log
[error]



=== TEST 6: calls that Lua makes
--- http_config
    wasm_vm wasmtime;
    wasm_upstream outbound|80||name.svc 127.0.0.1:$TEST_NGINX_SERVER_PORT authority=b.test;
    init_worker_by_lua_block {
        wasm = require("resty.proxy-wasm")
        plugin = assert(wasm.load("called", "$TEST_NGINX_PLUGINS/hostcalls.wasm"))
        ctx = assert(wasm.on_configure(plugin, [=[{
            "on_request_headers": [["http_call", "outbound|80||name.svc", [[":path", "/p"]]], ["return", "pause"]],
            "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["send_local_response", 200, "${last}"]]
        }]=]))
    }
--- config
    location /p { return 200 "for $http_host"; }
    location /t { access_by_lua_block { assert(wasm.on_http_request_headers(ctx)) } }
--- response_body chomp
for b.test



=== TEST 7: an upstream block that there is not
--- http_config
    wasm_upstream web_service backend;
--- check_config
--- must_die
--- error_log
"wasm_upstream": there is no upstream "backend"; write an upstream block of that name, or backend:PORT if it is a host in



=== TEST 8: without a server the name must be one
--- http_config
    wasm_upstream web_service tls=on;
--- check_config
--- must_die
--- error_log
"wasm_upstream": there is no upstream "web_service"; write



=== TEST 9: the block may come after the line
--- http_config
    wasm_upstream web_service Backend tls=on;
    upstream backend { server 127.0.0.1:1; }
--- check_config



=== TEST 10: a port that is none
--- http_config
    wasm_upstream web_service a.test:0;
--- check_config
--- must_die
--- error_log
"wasm_upstream": "a.test:0" is not a server; write the name of an upstream block, HOST:PORT or unix:/PATH in



=== TEST 11: a name is declared once
--- http_config
    wasm_upstream web_service a.test:80;
    wasm_upstream web_service b.test:80;
--- check_config
--- must_die
--- error_log eval
qr/"wasm_upstream": "web_service" is declared already in \S+:\d+ in \S+:\d+/



=== TEST 12: values of tls and verify
--- http_config
    wasm_upstream a.test:443 tls=yes;
--- check_config
--- must_die
--- error_log
"wasm_upstream": "tls=yes" is neither on nor off in



=== TEST 13: a parameter that there is not
--- http_config
    wasm_upstream a.test:443 ssl=on;
--- check_config
--- must_die
--- error_log
"wasm_upstream": "ssl=on" is not a server; write



=== TEST 14: a parameter that there is not, behind a server
--- http_config
    wasm_upstream a a.test:443 ssl=on;
--- check_config
--- must_die
--- error_log
"wasm_upstream": has no parameter "ssl=on"; there are tls, sni, authority and verify in



=== TEST 15: without TLS there is no certificate
--- http_config
    wasm_upstream a.test:443 tls=off verify=off;
--- check_config
--- must_die
--- error_log
"wasm_upstream": has tls=off, so sni= and verify= mean nothing; remove them, or tls=off in



=== TEST 16: a name alone says nothing
--- http_config
    wasm_upstream a.test:443;
--- check_config
--- must_die
--- error_log
invalid number of arguments in "wasm_upstream" directive



=== TEST 17: an authority that no server accepts
--- http_config
    wasm_upstream api api.test:443 tls=on authority=user@api.test;
--- check_config
--- must_die
--- error_log
"wasm_upstream": "authority=user@api.test" is not a host with or without a port in



=== TEST 18: a path that is too long for a socket
--- http_config eval
'wasm_upstream api unix:/' . 'a' x 107 . ' tls=off;'
--- check_config
--- must_die
--- error_log eval
qr/"wasm_upstream": "unix:\/a{107}" is not a server; write the name of an upstream block, HOST:PORT or unix:\/PATH in/
