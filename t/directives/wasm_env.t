# wasm_env NAME=VALUE…; in http, env= of a plugin: the whole environment a plugin sees.

use lib '.';
use t::ProxyWasm 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(request => 'GET /t') if !defined $block->request;
});

run_tests();

__DATA__

=== TEST 1: the worker's environment is not the plugin's
--- main_config
    env PATH;
    env SECRET=hush;
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t { proxy_wasm p '{"on_request_headers": [["environ"], ["getenv", "PATH"], ["getenv", "SECRET"], ["args"]]}'; return 200; }
--- no_error_log
hush
/bin



=== TEST 2: what is listed is there, and no more
--- http_config
    wasm_env A=1 B=two;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite env=B=own env=C=x=y;
--- config
    location /t { proxy_wasm p '{"on_request_headers": [["getenv", "A"], ["getenv", "B"], ["getenv", "C"], ["environ"]]}'; return 200; }
--- error_log
getenv A -> OK 1
getenv B -> OK own
getenv C -> OK x=y
environ -> SUCCESS A=1\x00B=own\x00C=x=y\x00,



=== TEST 3: a variable has a name and a value
--- http_config
    wasm_env A;
--- config
--- check_config
--- must_die
--- error_log
"A" is not an environment variable; write NAME=VALUE
