# proxy_set_property of what is not a variable of nginx: it is kept for the request, for every plugin of it,
# and for nginx as $wasm_property_NAME.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Scripted;

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(request => 'GET /t') if !defined $block->request;
});

run_tests();

__DATA__

=== TEST 1: the plugins after it read it, until the log phase
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["set_property", "tenant", "t-7"], ["set_property", "a", "b.c", "deep"]]}';
        proxy_wasm hostcalls '{
            "on_request_headers": [["get_property", "tenant"], ["get_property", "a", "b.c"], ["get_property", "a"]],
            "on_response_headers": [["get_property", "tenant"]],
            "on_log": [["get_property", "tenant"]]
        }';
        return 200;
    }
--- grep_error_log eval: qr/[gs]et_property .*? -> [A-Z_]+(?: [-\w]+(?=[, ]))?/
--- grep_error_log_out
set_property tenant t-7 -> OK
set_property a b.c deep -> OK
get_property tenant -> OK t-7
get_property a b.c -> OK deep
get_property a -> NOT_FOUND
get_property tenant -> OK t-7
get_property tenant -> OK t-7
--- no_error_log
[error]



=== TEST 2: nginx has it as a variable, with _ for what a variable's name cannot have
--- http_config
    map $wasm_property_tenant $kind { default other; "" none; t-7 seven; }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["set_property", "tenant", "t-7"], ["set_property", "my.filter", "Risk-Level", "high"]
        ]}';
        add_header X-Tenant $wasm_property_tenant;
        add_header X-Risk $wasm_property_my_filter_risk_level;
        add_header X-Kind $kind;
        add_header X-None $wasm_property_none;
        return 200;
    }
--- response_headers
X-Tenant: t-7
X-Risk: high
X-Kind: seven
!X-None



=== TEST 3: it chooses the upstream
--- http_config
    upstream blue { server 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT; }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["set_property", "upstream", "blue"]]}';
        proxy_pass http://$wasm_property_upstream;
    }
--- upstream
--- response_body_like: ^GET /t HTTP



=== TEST 4: the last value counts, and a request has none of the one before
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["get_property", "tenant"], ["set_property", "tenant", "a"], ["set_property", "tenant", "bc"], ["get_property", "tenant"]
        ], "on_response_headers": [["set_property", "tenant", "d"]]}';
        add_header X-Tenant $wasm_property_tenant;
        return 200;
    }
--- request eval
["GET /t", "GET /t"]
--- grep_error_log eval: qr/get_property .*? -> [A-Z_]+(?: [-\w]+(?=[, ]))?/
--- grep_error_log_out
get_property tenant -> NOT_FOUND
get_property tenant -> OK bc



=== TEST 5: a value with a line break stays among plugins
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["set_property", "x", {"hex": "610d0a623a2063"}], ["get_property", "x"]]}';
        add_header X-X $wasm_property_x;
        return 200;
    }
--- response_headers
!X-X
!b
--- error_log
get_property x -> OK a\r\nb: c



=== TEST 6: an attribute of Envoy's is not hidden
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["set_property", "request", "path", "/x"], ["get_property", "request", "path"]]}';
        return 200;
    }
--- error_log
set_property request path /x -> OK
get_property request path -> OK /t,
--- no_error_log
[error]



=== TEST 7: a variable of nginx is set, not hidden
--- config
    set $mine "old";
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["set_property", "mine", "new"]]}';
        add_header X-Mine $mine;
        add_header X-Kept $wasm_property_mine;
        return 200;
    }
--- response_headers
X-Mine: new
!X-Kept
