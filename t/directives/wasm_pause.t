# wasm_pause all|headers; in http, pause= of a plugin. What follows from it: t/callbacks/pause-headers.t.

use lib '.';
use t::ProxyWasm 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    return if defined $block->check_config;
    $block->set_value(request => "POST /t\nhello");
    $block->set_value(config => <<'E');
    location /t {
        wasm_request_body whole;
        proxy_wasm p '{
            "on_request_headers": [["return", "pause"]],
            "on_request_body": [["send_local_response", 200, "the body came"]]
        }';
        wasm_pause_timeout 50ms;
    }
E
});

run_tests();

__DATA__

=== TEST 1: all is the default
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
--- error_code: 504
--- error_log
held the request past wasm_pause_timeout



=== TEST 2: headers for all plugins
--- http_config
    wasm_pause headers;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
--- response_body chomp
the body came
--- no_error_log
[error]



=== TEST 3: a plugin has its own
--- http_config
    wasm_pause headers;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm pause=all;
--- config
--- error_code: 504
--- error_log
held the request past wasm_pause_timeout



=== TEST 4: headers for plugins of Higress
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls-0-2-100.wasm;
--- config
--- response_body chomp
the body came
--- no_error_log
[error]



=== TEST 5: any other value is refused
--- http_config
    wasm_pause body;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_pause": "body" is not a value of pause; write all or headers in .*nginx\.conf:\d+/



=== TEST 6: twice is refused
--- http_config
    wasm_pause all; wasm_pause all;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_pause": sets "pause" twice in .*nginx\.conf:\d+/
