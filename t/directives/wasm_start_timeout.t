# wasm_start_timeout TIME|off: how long start and configure may run, which is longer
# than a callback may.

use lib '.';
use t::ProxyWasm 'no_plan';

run_tests();

__DATA__

=== TEST 1: a plugin that does not come up is stopped, and its requests are closed
--- http_config
    wasm_start_timeout 50ms;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_configure": [["loop"]]}';
        return 200 "served\n";
    }
--- request
GET /t
--- error_code: 503
--- error_log eval
qr/\[error\].*(?:deadline|timeout|interrupt)/
--- no_error_log
[alert]



=== TEST 2: callbacks have their own
--- http_config
    wasm_start_timeout off;
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



=== TEST 3: what is no time is refused
--- http_config
    wasm_start_timeout -1;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_start_timeout": "-1" is not a time; .* in .*nginx\.conf:\d+/



=== TEST 4: and a second one
--- http_config
    wasm_start_timeout 1s; wasm_start_timeout 1s;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_start_timeout": sets "start_timeout" twice in .*nginx\.conf:\d+/
