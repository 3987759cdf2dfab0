# wasm_failure closed|open: what becomes of a request whose plugin failed.

use lib '.';
use t::ProxyWasm 'no_plan';

run_tests();

__DATA__

=== TEST 1: closed, if nothing is said
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["panic", "oops"]]}';
        return 200 "served\n";
    }
--- request
GET /t
--- error_code: 503
--- error_log
oops



=== TEST 2: open: it goes on without the plugin
--- http_config
    wasm_failure open;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["panic", "oops"]]}';
        return 200 "served\n";
    }
--- request
GET /t
--- response_body
served
--- error_log
oops



=== TEST 3: failure of a plugin stands above it
--- http_config
    wasm_failure open;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite failure=closed;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["panic", "oops"]]}';
        return 200 "served\n";
    }
--- request
GET /t
--- error_code: 503
--- error_log
oops



=== TEST 4: open, in each callback of a request
--- http_config
    wasm_failure open;
    wasm_plugin headers $TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_plugin body $TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_plugin response $TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_plugin chunk $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t.txt {
        proxy_wasm headers '{"on_request_headers": [["panic", "oops 1"]]}';
        proxy_wasm body '{"on_request_body": [["panic", "oops 2"]]}';
        proxy_wasm response '{"on_response_headers": [["panic", "oops 3"]]}';
        proxy_wasm chunk '{"on_response_body": [["panic", "oops 4"]]}';
    }
--- user_files
>>> t.txt
served
--- raw_request eval
"GET /t.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
--- response_body
served
--- error_log
oops 1
oops 2
oops 3
oops 4



=== TEST 5: closed, in each callback of a response
--- http_config
    wasm_plugin response $TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_plugin chunk $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t.txt {
        proxy_wasm response '{"on_response_headers": [["panic", "oops 3"]]}';
    }
    location /u.txt {
        proxy_wasm chunk '{"on_response_body": [["panic", "oops 4"]]}';
    }
--- user_files
>>> t.txt
served
>>> u.txt
served
--- request eval
["GET /t.txt", "GET /u.txt"]
--- error_code eval
[503, 503]
--- response_body_unlike eval
["served", "served"]
--- error_log eval
qr/oops \d/



=== TEST 6: any other policy is refused
--- http_config
    wasm_failure maybe;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_failure": "maybe" is no failure policy; write closed or open in .*nginx\.conf:\d+/



=== TEST 7: and a second one
--- http_config
    wasm_failure open; wasm_failure open;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_failure": sets "failure" twice in .*nginx\.conf:\d+/
