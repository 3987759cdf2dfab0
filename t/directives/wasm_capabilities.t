# wasm_capabilities FUNCTION…; in http, capabilities=LIST of a plugin: the host functions it may use (all). Those of WASI
# that a toolchain needs to start must be among them: Rust's are the first four below.

use lib '.';
use t::ProxyWasm 'no_plan';

my $rust = 'random_get environ_sizes_get environ_get proc_exit proxy_log proxy_get_buffer_bytes';

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(request => 'GET /t') if !defined $block->request;
    # RUST: the least that a plugin of Rust needs; as a list with commas within capabilities=.
    my $conf = $block->http_config;
    my $list = join ',', split / /, $rust;
    $conf =~ s/=RUST/=$list/g;
    $conf =~ s/RUST/$rust/g;
    $block->set_value(http_config => $conf);
});

run_tests();

__DATA__

=== TEST 1: a host function that is not listed does nothing, and is told once
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite
        capabilities=RUST,proxy_get_header_map_value;
--- config
    location /t {
        proxy_wasm p '{
            "on_request_headers": [["get_header_map_value", "request", "host"]],
            "on_response_headers": [["add_header_map_value", "response", "x-a", "b"], ["add_header_map_value", "response", "x-a", "b"]]
        }';
        return 200;
    }
--- response_headers
!X-A
--- error_log
get_header_map_value request host -> OK localhost
add_header_map_value response x-a b -> INTERNAL_FAILURE
--- grep_error_log eval: qr/plugin "p" called \w+, which is not among its capabilities/
--- grep_error_log_out
plugin "p" called proxy_add_header_map_value, which is not among its capabilities



=== TEST 2: for all plugins
--- http_config
    wasm_capabilities RUST;
    wasm_plugin few $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t { proxy_wasm few '{"on_request_headers": [["get_property", "host"]]}'; return 200; }
--- error_log
get_property host -> INTERNAL_FAILURE



=== TEST 3: a plugin that may more
--- http_config
    wasm_capabilities RUST;
    wasm_plugin more $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite capabilities=RUST,proxy_get_property;
--- config
    location /t { proxy_wasm more '{"on_request_headers": [["get_property", "host"]]}'; return 200; }
--- error_log
get_property host -> OK localhost



=== TEST 4: of WASI, too
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite capabilities=RUST;
--- config
    location /t { proxy_wasm p '{"on_request_headers": [["raw", "clock_time_get", 0, 0, "slot"]]}'; return 200; }
--- error_log
raw clock_time_get 0 0 slot -> NOTCAPABLE



=== TEST 5: an attempt to call out goes nowhere
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite capabilities=RUST;
--- config
    location /t {
        proxy_wasm p '{"on_request_headers": [["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":path", "/"], [":authority", "a"]]]]}';
        return 200;
    }
--- error_log
-> INTERNAL_FAILURE
--- no_error_log
register http call callout



=== TEST 6: a name that is misspelt stops nginx, with the one that may be meant
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm capabilities=RUST,proxy_get_propety;
--- config
    location /t { proxy_wasm p; }
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\] .*"wasm_plugin": "p" at \S+hostcalls\.wasm has the capability "proxy_get_propety", which is not a function of this host: is it proxy_get_property or proxy_set_property\? in \S+nginx\.conf:\d+/



=== TEST 7: so does one that is like none, in the list for all
--- http_config
    wasm_capabilities RUST everything;
    wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t { proxy_wasm p; }
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\] .*"wasm_plugin": "p" at \S+ has the capability "everything", which is not a function of this host in /
