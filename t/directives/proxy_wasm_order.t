# The order in which a request meets its plugins: http and server lines first, then the
# location's; within each by priority, high first, then as written. Request and response
# callbacks both run in that order.

use lib '.';
use t::ProxyWasm 'no_plan';

# Plugins of several priorities, each adding its configuration to x-rust-conf of the
# request and to x-rust of the response; and an upstream that says what it got.
my $rust = "$ENV{TEST_NGINX_PLUGINS}/rust-headers.wasm";
add_block_preprocessor(sub {
    my ($block) = @_;
    return if !defined $block->config;
    $block->set_value(http_config => <<"EOF_CONF" . ($block->http_config // ''));
    wasm_plugin low  $rust priority=-1;
    wasm_plugin zero $rust;
    wasm_plugin also $rust;
    wasm_plugin high $rust priority=10;
    wasm_plugin early $rust phase=rewrite priority=-100;
    server {
        listen $ENV{TEST_NGINX_UPSTREAM_PORT};
        proxy_wasm off;
        location / {
            content_by_lua_block {
                local got = ngx.req.get_headers()["x-rust-conf"]
                ngx.say(type(got) == "table" and table.concat(got, ", ") or got)
            }
        }
    }
EOF_CONF
});

run_tests();

__DATA__

=== TEST 1: of one priority, as they are written
--- config
    location /t {
        proxy_wasm zero first;
        proxy_wasm also second;
        proxy_wasm zero third;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_headers
X-Rust: first, second, third
--- response_body
first, second, third



=== TEST 2: high priority first
--- config
    location /t {
        proxy_wasm low low;
        proxy_wasm zero zero;
        proxy_wasm high high;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_headers
X-Rust: high, zero, low
--- response_body
high, zero, low



=== TEST 3: the location's come after all that stand above, whatever their priority
--- config
    proxy_wasm low server;
    location /t {
        proxy_wasm high location;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_headers
X-Rust: server, location
--- response_body
server, location



=== TEST 4: http and server are one level
--- http_config
    proxy_wasm low http-low;
    proxy_wasm zero http-zero;
--- config
    proxy_wasm high server-high;
    proxy_wasm zero server-zero;
    location /t {
        proxy_wasm zero location;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_headers
X-Rust: server-high, http-zero, server-zero, http-low, location
--- response_body
server-high, http-zero, server-zero, http-low, location



=== TEST 5: nested locations are one level, by priority
--- config
    location /t {
        proxy_wasm zero outer;
        location /t/in {
            proxy_wasm zero inner;
            proxy_wasm high inner-high;
            proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
        }
    }
--- request
GET /t/in
--- response_headers
X-Rust: inner-high, outer, inner
--- response_body
inner-high, outer, inner



=== TEST 6: the rewrite phase comes before the access phase, whatever the priority
--- config
    location /t {
        proxy_wasm high access;
        proxy_wasm early rewrite;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body
rewrite, access



=== TEST 7: a plugin that answers keeps the later ones from the request, not from the response
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t {
        proxy_wasm zero first;
        proxy_wasm hostcalls '{
            "on_request_headers": [["echo", "second sees the request"]],
            "on_response_headers": [["replace_header_map_value", "response", "x-second", "saw it"]]
        }';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- more_headers
X-Rust-Deny: 1
--- request
GET /t
--- error_code: 403
--- response_headers
X-Rust: first
X-Second: saw it
--- response_body
denied
--- no_error_log
second sees the request



=== TEST 8: what one plugin writes the next one reads
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["replace_header_map_value", "request", "x-a", "from the first"]],
            "on_response_headers": [["replace_header_map_value", "response", "x-b", "of the response"]]
        }';
        proxy_wasm hostcalls '{
            "on_request_headers": [["get_header_map_value", "request", "x-a"]],
            "on_response_headers": [["get_header_map_value", "response", "x-b"]]
        }';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_headers
X-B: of the response
--- error_log
get_header_map_value request x-a -> OK from the first
get_header_map_value response x-b -> OK of the response
