# proxy_wasm NAME [CONF | conf_file=PATH]; attaches a plugin in http, server or location;
# proxy_wasm off; drops what stands above. The order of several is in proxy_wasm_order.t,
# what the directive refuses in t/lifecycle/load_errors.t.

use lib '.';
use t::ProxyWasm 'no_plan';

# The same declaration for all.
add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(http_config =>
        "wasm_plugin rust $ENV{TEST_NGINX_PLUGINS}/rust-headers.wasm;\n" . ($block->http_config // ''))
        if defined $block->config;
});

run_tests();

__DATA__

=== TEST 1: in a location
--- config
    location /t { proxy_wasm rust here; return 200; }
    location /other { return 200; }
--- request eval
["GET /t", "GET /other"]
--- response_headers eval
["X-Rust: here", "!X-Rust"]



=== TEST 2: in a server, for all its locations
--- config
    proxy_wasm rust server;
    location /t { return 200; }
    location /other { return 200; }
--- request eval
["GET /t", "GET /other"]
--- response_headers eval
["X-Rust: server", "X-Rust: server"]



=== TEST 3: in http, for all servers
--- http_config
    proxy_wasm rust http;
    server { listen $TEST_NGINX_UPSTREAM_PORT; location / { return 200 "second\n"; } }
--- config
    location /t { return 200; }
    location /second { proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT; }
--- request eval
["GET /t", "GET /second"]
--- response_headers eval
["X-Rust: http", "X-Rust: http, http"]



=== TEST 4: the levels add up
--- http_config
    proxy_wasm rust http;
--- config
    proxy_wasm rust server;
    location /t { proxy_wasm rust location; return 200; }
--- request
GET /t
--- response_headers
X-Rust: http, server, location



=== TEST 5: a location in a location adds to the outer one
--- config
    location /t {
        proxy_wasm rust outer;
        location /t/in { proxy_wasm rust inner; return 200; }
        return 200;
    }
--- request eval
["GET /t", "GET /t/in"]
--- response_headers eval
["X-Rust: outer", "X-Rust: outer, inner"]



=== TEST 6: of a nested location that says nothing the outer one's plugins run
--- config
    location /t {
        proxy_wasm rust outer;
        location /t/in { return 200; }
    }
--- request
GET /t/in
--- response_headers
X-Rust: outer



=== TEST 7: a location's plugins run once where an if of it matches
--- config
    location /t {
        proxy_wasm rust always;
        if ($arg_more) { return 204; }
        return 200;
    }
--- request eval
["GET /t", "GET /t?more=1"]
--- error_code eval
[200, 204]
--- response_headers eval
["X-Rust: always", "X-Rust: always"]



=== TEST 8: off, in a location
--- http_config
    proxy_wasm rust http;
--- config
    proxy_wasm rust server;
    location /t { proxy_wasm off; return 200; }
    location /other { return 200; }
--- request eval
["GET /t", "GET /other"]
--- response_headers eval
["!X-Rust", "X-Rust: http, server"]



=== TEST 9: off, in a server
--- http_config
    proxy_wasm rust http;
--- config
    proxy_wasm off;
    location /t { return 200; }
--- request
GET /t
--- response_headers
!X-Rust



=== TEST 10: off drops what stands above, and keeps what stands beside it
--- config
    proxy_wasm rust server;
    location /before { proxy_wasm rust mine; proxy_wasm off; return 200; }
    location /after { proxy_wasm off; proxy_wasm rust mine; return 200; }
--- request eval
["GET /before", "GET /after"]
--- response_headers eval
["X-Rust: mine", "X-Rust: mine"]



=== TEST 11: off in a server of a plugin of the server keeps it
--- http_config
    proxy_wasm rust http;
--- config
    proxy_wasm off;
    proxy_wasm rust server;
    location /t { return 200; }
--- request
GET /t
--- response_headers
X-Rust: server



=== TEST 12: without a configuration the plugin gets none
--- config
    location /t { proxy_wasm rust; return 200; }
--- request
GET /t
--- raw_response_headers_like: x-rust: ?\r\n
--- error_log eval
qr/rust ctx 2 conf \s*$|rust ctx 2 conf while|rust ctx 2 conf ,/



=== TEST 13: a configuration with quotes, blanks and line breaks comes as it is written
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t {
        proxy_wasm hostcalls '{ "on_response_headers": [
            ["replace_header_map_value", "response", "x-a", "b c; { }"]
        ] }';
        return 200;
    }
--- request
GET /t
--- response_headers
X-A: b c; { }



=== TEST 14: conf_file gives the file's bytes, relative to the prefix
--- user_files eval
[["plugin.conf", "from a file"]]
--- config
    location /t { proxy_wasm rust conf_file=html/plugin.conf; return 200; }
--- request
GET /t
--- response_headers
X-Rust: from a file



=== TEST 15: conf_file with an absolute path
--- user_files eval
[["plugin.conf", "absolute"]]
--- config
    location /t { proxy_wasm rust conf_file=$TEST_NGINX_HTML_DIR/plugin.conf; return 200; }
--- request
GET /t
--- response_headers
X-Rust: absolute



=== TEST 16: an empty conf_file
--- user_files eval
[["plugin.conf", ""]]
--- config
    location /t { proxy_wasm rust conf_file=html/plugin.conf; return 200; }
--- request
GET /t
--- no_error_log
[error]



=== TEST 17: each line is one plugin context, whatever its configuration
--- config
    location /a { proxy_wasm rust same; return 200; }
    location /b { proxy_wasm rust same; return 200; }
--- request
GET /a
--- error_log
create plugin context 1
create plugin context 2
create http context 3
--- no_error_log
create plugin context 3



=== TEST 18: server and location of the same plugin are two contexts of one request
--- config
    proxy_wasm rust one;
    location /t { proxy_wasm rust two; return 200; }
--- request
GET /t
--- response_headers
X-Rust: one, two
--- error_log
create http context 3
create http context 4
free http context 3
free http context 4



=== TEST 19: a line may come before its plugin's declaration
--- http_config
    proxy_wasm later hi;
    wasm_plugin later $TEST_NGINX_PLUGINS/rust-headers.wasm;
--- config
    location /t { return 200; }
--- request
GET /t
--- response_headers
X-Rust: hi



=== TEST 20: not in an if
--- config
    location /t { if ($arg_more) { proxy_wasm rust more; } }
--- check_config
--- must_die
--- error_log
"proxy_wasm" directive is not allowed here



=== TEST 21: too many arguments
--- config
    location /t { proxy_wasm rust some more; }
--- check_config
--- must_die
--- error_log
"proxy_wasm": takes a name and a configuration, and subrequests=on or off behind them



=== TEST 22: a configuration that the plugin refuses is told with the line that it stands in
--- http_config
    wasm_plugin fault $TEST_NGINX_PLUGINS/fault-injection.wasm phase=rewrite;
--- config
    location /good { proxy_wasm fault '{"http_status": 401}'; }
    location /bad  { proxy_wasm fault '{"http_status": 999}'; return 200; }
--- request
GET /bad
--- error_code: 503
--- error_log eval
[
    'fault-injection: bad http_status 999: want 200 to 599',
    'failed to configure plugin context 2, rc: 0',
    qr/\[error\] .*plugin "fault" did not start for "proxy_wasm" in \S+nginx\.conf:\d+$/m,
]



=== TEST 23: subrequests are on or off
--- config
    location /t { proxy_wasm rust some subrequests=yes; }
--- check_config
--- must_die
--- error_log
"proxy_wasm": "yes" is not a value of subrequests; write on or off



=== TEST 24: subrequests stand behind the configuration, or without one
--- config
    location /a { proxy_wasm rust some subrequests=on; }
    location /b { proxy_wasm rust subrequests=off; }
    location /c { proxy_wasm rust subrequests=on more; }
--- check_config
--- must_die
--- error_log eval
qr/"proxy_wasm": takes a name and a configuration, and subrequests=on or off behind them in \S+nginx\.conf:\d+/
