# wasm_pause_timeout TIME: how long a plugin may hold a request or a response. What
# then happens is in t/callbacks/pause.t.

use lib '.';
use t::ProxyWasm 'no_plan';

run_tests();

__DATA__

=== TEST 1: a held request is answered 504 when it is over
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t {
        wasm_pause_timeout 30ms;
        proxy_wasm hostcalls '{"on_request_headers": [["return", "pause"]]}';
    }
--- request
GET /t
--- error_code: 504
--- error_log eval
qr/\[error\].*plugin "hostcalls" held the request past wasm_pause_timeout/



=== TEST 2: a location has it from above
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
    wasm_pause_timeout 1h;
--- config
    wasm_pause_timeout 30ms;
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["return", "pause"]]}';
    }
--- request
GET /t
--- error_code: 504
--- error_log
held the request past wasm_pause_timeout



=== TEST 3: what is no time is refused
--- http_config
    wasm_pause_timeout soon;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_pause_timeout": "soon" is not a time; .* in .*nginx\.conf:\d+/



=== TEST 4: so is 0
--- http_config
    wasm_pause_timeout 0;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_pause_timeout": a pause of 0 ends every request that a plugin holds in .*nginx\.conf:\d+/



=== TEST 5: and one that is too long
--- http_config
    wasm_pause_timeout 50d;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_pause_timeout": a pause can last 49 days at most in .*nginx\.conf:\d+/



=== TEST 6: and a second one
--- http_config
    wasm_pause_timeout 1s; wasm_pause_timeout 2s;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_pause_timeout": is duplicate in .*nginx\.conf:\d+/
