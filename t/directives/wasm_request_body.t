# wasm_request_body whole|stream|property|never: when proxy_on_request_body runs. (stream: t/bodies/request-body-stream.t)

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Upstream qw(upstream);

add_block_preprocessor(sub {
    my ($block) = @_;
    return if defined $block->check_config;
    $block->set_value(http_config =>
        'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;' . upstream() . ($block->http_config // ''));
    $block->set_value(request => "POST /t\nhello");
    $block->set_value(response_body => 'hello');
});

run_tests();

__DATA__

=== TEST 1: whole, if nothing is said
--- config
    location /t {
        
        proxy_wasm hostcalls '{"trace": true}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/echo;
    }
--- error_log eval
qr/on_request_body \d 5 /
--- no_error_log
[error]



=== TEST 2: whole
--- config
    location /t {
        wasm_request_body whole;
        proxy_wasm hostcalls '{"trace": true}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/echo;
    }
--- error_log eval
qr/on_request_body \d 5 /
--- no_error_log
[error]



=== TEST 3: never
--- config
    location /t {
        wasm_request_body never;
        proxy_wasm hostcalls '{"trace": true, "on_request_headers": [["set_property", "wasm_process_req_body", "true"]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/echo;
    }
--- error_log eval
qr/on_log \d/
--- no_error_log
on_request_body
[error]



=== TEST 4: with property, not by itself
--- config
    location /t {
        wasm_request_body property;
        proxy_wasm hostcalls '{"trace": true}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/echo;
    }
--- error_log eval
qr/on_log \d/
--- no_error_log
on_request_body
[error]



=== TEST 5: with property, if the plugin asks
--- config
    location /t {
        wasm_request_body property;
        proxy_wasm hostcalls '{"trace": true, "on_request_headers": [["set_property", "wasm_process_req_body", "true"]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/echo;
    }
--- error_log eval
qr/on_request_body \d 5 /
--- no_error_log
[error]



=== TEST 6: which it can take back
--- config
    location /t {
        wasm_request_body property;
        proxy_wasm hostcalls '{"trace": true, "on_request_headers": [["set_property", "wasm_process_req_body", "true"], ["set_property", "wasm_process_req_body", ""]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/echo;
    }
--- error_log eval
qr/on_log \d/
--- no_error_log
on_request_body
[error]



=== TEST 7: where APISIX has declared the variable, it is set, too
--- config
    set $wasm_process_req_body '';
    add_header X-Asked "<$wasm_process_req_body>";
    location /t {
        wasm_request_body property;
        proxy_wasm hostcalls '{"trace": true, "on_request_headers": [["set_property", "wasm_process_req_body", "true"]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/echo;
    }
--- error_log eval
qr/on_request_body \d 5 /
--- no_error_log
[error]
--- response_headers
X-Asked: <true>



=== TEST 8: each plugin asks for itself
--- config
    location /t {
        wasm_request_body property;
        proxy_wasm hostcalls '{"on_request_headers": [["set_property", "wasm_process_req_body", "true"]], "on_request_body": [["echo", "the one that asked"]]}';
        proxy_wasm hostcalls '{"on_request_body": [["panic", "the other one"]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/echo;
    }
--- error_log
the one that asked
--- no_error_log
[error]



=== TEST 9: a location has it from above, or says otherwise
--- http_config
    wasm_request_body never;
--- config
    wasm_request_body property;
    location /t {
        # An older name of whole.
        wasm_request_body always;
        proxy_wasm hostcalls '{"trace": true}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/echo;
    }
    location /never {
        
        proxy_wasm hostcalls '{"trace": true}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/echo;
    }
--- error_log eval
qr/on_request_body \d 5 /
--- no_error_log
[error]



=== TEST 10: and has it from http
--- http_config
    wasm_request_body never;
--- config
    location /t {
        
        proxy_wasm hostcalls '{"trace": true}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/echo;
    }
--- error_log eval
qr/on_log \d/
--- no_error_log
on_request_body
[error]



=== TEST 11: any other mode is refused
--- http_config
    wasm_request_body sometimes;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_request_body": "sometimes" is not a mode; write whole, stream, property or never in .*nginx\.conf:\d+/



=== TEST 12: twice on one level is refused
--- http_config
    wasm_request_body never; wasm_request_body always;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_request_body": is duplicate in .*nginx\.conf:\d+/
