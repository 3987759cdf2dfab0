# wasm_env NAME=VALUE…: all of the environment that plugins see.

use lib '.';
use t::ProxyWasm 'no_plan';

run_tests();

__DATA__

=== TEST 1: nothing, if nothing is said
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["environ"], ["getenv", "PATH"]]}';
        return 200 "served\n";
    }
--- request
GET /t
--- response_body
served
--- error_log eval
["environ -> SUCCESS", "getenv PATH -> FAILED"]



=== TEST 2: what it lists
--- http_config
    wasm_env A=1 B=2;
    wasm_env C=x=y;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["getenv", "A"], ["getenv", "B"], ["getenv", "C"], ["getenv", "D"]]}';
        return 200 "served\n";
    }
--- request
GET /t
--- grep_error_log eval: qr/getenv . -> \w+(?: [\w=]+(?=,))?/
--- grep_error_log_out
getenv A -> OK 1
getenv B -> OK 2
getenv C -> OK x=y
getenv D -> FAILED



=== TEST 3: env of a plugin adds to it, and hides what has the same name
--- http_config
    wasm_env A=1 B=2;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite env=B=3 env=C=4;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["getenv", "A"], ["getenv", "B"], ["getenv", "C"]]}';
        return 200 "served\n";
    }
--- request
GET /t
--- grep_error_log eval: qr/getenv . -> \w+(?: [\w=]+(?=,))?/
--- grep_error_log_out
getenv A -> OK 1
getenv B -> OK 3
getenv C -> OK 4



=== TEST 4: what is no variable is refused
--- http_config
    wasm_env A;
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\].*"wasm_env": "A" is no environment variable; write NAME=VALUE in .*nginx\.conf:\d+/
