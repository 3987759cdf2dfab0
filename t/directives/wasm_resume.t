# wasm_resume plugin|calls; in http, resume= of a plugin. What follows from it: t/callbacks/pause-headers.t.

use lib '.';
use t::ProxyWasm 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    return if defined $block->check_config;
    $block->set_value(request => 'GET /t');
    $block->set_value(config => <<'E');
    location /quick { return 200; }
    location /t {
        proxy_wasm p '{
            "on_request_headers": [["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT",
                [[":method", "GET"], [":path", "/quick"], [":authority", "a"]]], ["return", "pause"]]
        }';
        wasm_pause_timeout 300ms;
        return 200 "it went on";
    }
E
});

run_tests();

__DATA__

=== TEST 1: plugin is the default
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
--- error_code: 504
--- error_log
held the request past wasm_pause_timeout



=== TEST 2: calls for all plugins
--- http_config
    wasm_resume calls;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
--- response_body chomp
it went on
--- no_error_log
[error]



=== TEST 3: a plugin has its own
--- http_config
    wasm_resume calls;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite resume=plugin;
--- config
--- error_code: 504
--- error_log
held the request past wasm_pause_timeout



=== TEST 4: any other value is refused
--- http_config
    wasm_resume never;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_resume": "never" is not a value of resume; write plugin or calls in .*nginx\.conf:\d+/
