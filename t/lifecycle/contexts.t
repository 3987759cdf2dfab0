# Contexts of the native path: one VM per plugin name, one plugin context per proxy_wasm line, one HTTP context per
# request and line that it meets; their ids, and the callbacks that make and end them.

use lib '.';
use t::ProxyWasm 'no_plan';

no_long_string();
add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(http_config =>
        "    wasm_plugin log \$TEST_NGINX_PLUGINS/log.wasm phase=rewrite;\n" . ($block->http_config // ''));
    $block->set_value(request => 'GET /t') if !grep { defined $block->$_ } qw(request raw_request);
});
run_tests();

__DATA__

=== TEST 1: two locations are two plugin contexts, started with the worker in the order they are written
--- config
    location /a { proxy_wasm log a; return 200 "a\n"; }
    location /t { proxy_wasm log t; return 200 "t\n"; }
--- response_body
t
--- grep_error_log eval
qr/(?:create|free) \w+ context \d+|run plugin ctx \d+ with conf \w+ in http ctx \d+|loaded wasm plugin/
--- grep_error_log_out
loaded wasm plugin
create plugin context 1
create plugin context 2
create http context 3
run plugin ctx 2 with conf t in http ctx 3
free http context 3
--- no_error_log
[error]
--- shutdown_error_log
free plugin context 1
free plugin context 2
unloaded wasm plugin



=== TEST 2: a line of the server and one of the location are two HTTP contexts of a request
--- config
    proxy_wasm log server;
    location /t { proxy_wasm log location; return 200 "t\n"; }
--- response_body
t
--- grep_error_log eval
qr/(?:create|free) http context \d+|run plugin ctx \d+ with conf \w+ in http ctx \d+/
--- grep_error_log_out
create http context 3
run plugin ctx 1 with conf server in http ctx 3
create http context 4
run plugin ctx 2 with conf location in http ctx 4
free http context 3
free http context 4



=== TEST 3: lines of http, server and location are three
--- http_config
    proxy_wasm log http;
--- config
    proxy_wasm log server;
    location /t { proxy_wasm log location; return 200 "t\n"; }
--- response_body
t
--- grep_error_log eval
qr/run plugin ctx \d+ with conf \w+ in http ctx \d+/
--- grep_error_log_out
run plugin ctx 1 with conf http in http ctx 4
run plugin ctx 2 with conf server in http ctx 5
run plugin ctx 3 with conf location in http ctx 6



=== TEST 4: the same line twice is two plugin contexts
--- config
    location /t { proxy_wasm log same; proxy_wasm log same; return 200 "t\n"; }
--- response_body
t
--- grep_error_log eval
qr/run plugin ctx \d+ with conf \w+ in http ctx \d+/
--- grep_error_log_out
run plugin ctx 1 with conf same in http ctx 3
run plugin ctx 2 with conf same in http ctx 4



=== TEST 5: a line of the server is one plugin context for all its locations
--- config
    proxy_wasm log server;
    location /a { return 200 "a\n"; }
    location /t { return 200 "t\n"; }
--- response_body
t
--- grep_error_log eval
qr/create plugin context \d+|run plugin ctx \d+ with conf \w+ in http ctx \d+/
--- grep_error_log_out
create plugin context 1
run plugin ctx 1 with conf server in http ctx 2



=== TEST 6: one file under two names is two VMs, each counting for itself
--- http_config
    wasm_plugin other $TEST_NGINX_PLUGINS/log.wasm phase=rewrite;
--- config
    location /t { proxy_wasm log first; proxy_wasm other second; return 200 "t\n"; }
--- response_body
t
--- grep_error_log eval
qr/run plugin ctx \d+ with conf \w+ in http ctx \d+/
--- grep_error_log_out
run plugin ctx 1 with conf first in http ctx 2
run plugin ctx 1 with conf second in http ctx 2



=== TEST 7: a plugin that no line attaches is not started
--- http_config
    wasm_plugin trap $TEST_NGINX_HTML_DIR/trap.wat;
--- config
    location /t { proxy_wasm log attached; return 200 "t\n"; }
--- user_files
>>> trap.wat
(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
    (func (export "_initialize") unreachable))
--- response_body
t
--- no_error_log
[error]



=== TEST 8: from vm_start to delete: each callback once, in the spec's order
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm hostcalls '{"trace": true}';
        return 200 "t\n";
    }
--- response_body
t
--- grep_error_log eval
qr/on_(?:vm_start|configure|context_create|request_headers|response_headers|done|log|delete)\b \d+/
--- grep_error_log_out
on_context_create 1
on_vm_start 1
on_configure 1
on_context_create 2
on_request_headers 2
on_response_headers 2
on_done 2
on_log 2
on_delete 2
--- shutdown_error_log
on_done 1
on_log 1
on_delete 1



=== TEST 9: a request that no callback answers for still ends its context
--- config
    location /t { proxy_wasm log t; return 444; }
--- ignore_response
--- grep_error_log eval
qr/(?:create|free) http context \d+/
--- grep_error_log_out
create http context 2
free http context 2



=== TEST 10: a request line that nginx refuses: the answer alone is the plugins'
--- http_config
    wasm_plugin rust-headers $TEST_NGINX_PLUGINS/rust-headers.wasm;
--- config
    proxy_wasm log server;
    proxy_wasm rust-headers server;
--- raw_request eval
"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"
--- error_code: 400
--- response_headers
X-Rust: server
--- no_error_log
run plugin ctx



=== TEST 11: an internal redirect keeps the context
--- config
    proxy_wasm log server;
    location /t { rewrite ^ /redirected last; }
    location /redirected { try_files /nowhere @named; }
    location @named { return 200 "named\n"; }
--- response_body
named
--- grep_error_log eval
qr/(?:create|free) http context \d+|in http ctx \d+/
--- grep_error_log_out
create http context 2
in http ctx 2
free http context 2



=== TEST 12: a subrequest makes no context of its own
--- config
    proxy_wasm log server;
    location /t {
        content_by_lua_block { ngx.print(ngx.location.capture("/sub").body) }
    }
    location /sub { return 200 "sub\n"; }
--- response_body
sub
--- grep_error_log eval
qr/(?:create|free) http context \d+/
--- grep_error_log_out
create http context 2
free http context 2



=== TEST 13: a page of nginx's own filters is part of the same request
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t.txt {
        proxy_wasm hostcalls '{"trace": true, "on_response_headers": [["get_header_map_value", "response", ":status"]],
            "on_log": [["get_property", "request_id"], ["set_property", "args", "a"]]}';
    }
--- user_files
>>> t.txt
text
--- request
GET /t.txt
--- more_headers
If-Match: "another"
--- error_code: 412
--- grep_error_log eval
qr/on_(?:context_create|request_headers|response_headers|done|log|delete) \d+|:status -> OK \d+|(?:get|set)_property \w+.*? -> \w+/
--- grep_error_log_out
on_context_create 1
on_context_create 2
on_request_headers 2
on_response_headers 2
:status -> OK 412
on_done 2
on_log 2
get_property request_id -> OK
set_property args a -> OK
on_delete 2
