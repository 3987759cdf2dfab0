# wasm_body_buffer_size SIZE: how much of a body may wait in memory for a plugin, or be
# what it made of it. More is in t/bodies.

use lib '.';
use t::ProxyWasm 'no_plan';

run_tests();

__DATA__

=== TEST 1: of a response that a plugin holds
--- http_config
    wasm_body_buffer_size 10;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location ~ txt {
        proxy_wasm hostcalls '{"on_response_body": [["return", "pause"]]}';
        wasm_pause_timeout 30ms;
    }
--- user_files
>>> ten.txt
123456789
>>> eleven.txt
1234567890
--- request eval
["GET /ten.txt", "GET /eleven.txt"]
--- error_code eval
[504, 500]
--- error_log eval
qr/held the response past wasm_pause_timeout|plugin "hostcalls" holds 11 bytes of a response, more than wasm_body_buffer_size \(10\)/



=== TEST 2: body_buffer_size of a plugin stands above it
--- http_config
    wasm_body_buffer_size 10;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm body_buffer_size=11;
--- config
    location ~ txt {
        proxy_wasm hostcalls '{"on_response_body": [["return", "pause"]]}';
        wasm_pause_timeout 30ms;
    }
--- user_files
>>> eleven.txt
1234567890
--- request
GET /eleven.txt
--- error_code: 504
--- error_log
held the response past wasm_pause_timeout



=== TEST 3: what is no size is refused
--- http_config
    wasm_body_buffer_size 1x;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_body_buffer_size": "1x" is not a size; .* in .*nginx\.conf:\d+/



=== TEST 4: and a second one
--- http_config
    wasm_body_buffer_size 1; wasm_body_buffer_size 1;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_body_buffer_size": sets "body_buffer_size" twice in .*nginx\.conf:\d+/
