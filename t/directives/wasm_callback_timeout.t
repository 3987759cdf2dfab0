# wasm_callback_timeout TIME|off: how long a callback may run.

use lib '.';
use t::ProxyWasm 'no_plan';

run_tests();

__DATA__

=== TEST 1: a callback that runs on is stopped
--- http_config
    wasm_callback_timeout 50ms;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["loop"]]}';
        return 200 "served\n";
    }
--- request
GET /t
--- error_code: 503
--- error_log eval
qr/\[error\].*(?:deadline|timeout|interrupt)/
--- no_error_log
[alert]



=== TEST 2: off, and plugins run without checks
--- http_config
    wasm_callback_timeout off;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm hostcalls '{}';
        return 200 "served\n";
    }
--- request
GET /t
--- response_body
served
--- no_error_log
[error]



=== TEST 3: what is no time is refused
--- http_config
    wasm_callback_timeout soon;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_callback_timeout": "soon" is not a time; .* in .*nginx\.conf:\d+/



=== TEST 4: 0 is refused
--- http_config
    wasm_callback_timeout 0;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_callback_timeout": a timeout of 0 fails every callback; write off for no timeout in .*nginx\.conf:\d+/



=== TEST 5: and a second one
--- http_config
    wasm_callback_timeout 1s; wasm_callback_timeout off;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_callback_timeout": sets "callback_timeout" twice in .*nginx\.conf:\d+/
