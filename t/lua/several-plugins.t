# Several plugin contexts on one request, as APISIX has them: a global rule and a route, several plugins of a route,
# a service shared by two routes.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::LuaSetup;

no_long_string();
add_block_preprocessor(\&ProxyWasm::LuaSetup::add);
run_tests();

__DATA__

=== TEST 1: a global rule and a route with one plugin: two plugin contexts, two HTTP contexts
--- config
    location /t {
        access_by_lua_block {
            assert(wasm.on_http_request_headers(configured("log", "global")))
            assert(wasm.on_http_request_headers(configured("log", "route")))
        }
        content_by_lua_block { ngx.say("done") }
    }
--- response_body
done
--- grep_error_log eval
qr/run plugin ctx .* in http ctx \d+|free http context \d+/
--- grep_error_log_out
run plugin ctx 1 with conf global in http ctx 2
run plugin ctx 3 with conf route in http ctx 4
free http context 2
free http context 4



=== TEST 2: both change request and response, in the order they are called in
--- config
    location /t {
        access_by_lua_block {
            assert(wasm.on_http_request_headers(configured("rust-headers", "global")))
            assert(wasm.on_http_request_headers(configured("rust-headers", "route")))
        }
        content_by_lua_block { ngx.say(ngx.req.raw_header(), table.concat(ngx.req.get_headers()["x-rust-conf"], ",")) }
        header_filter_by_lua_block {
            assert(wasm.on_http_response_headers(configured("rust-headers", "global")))
            assert(wasm.on_http_response_headers(configured("rust-headers", "route")))
        }
    }
--- response_headers
X-Rust: global, route
--- response_body_like: \nglobal,route$
--- grep_error_log eval
qr/rust ctx .*?(?=,| while)/
--- grep_error_log_out
rust ctx 2 conf global
rust ctx 4 conf route



=== TEST 3: a Rust and a Go plugin: the second sees what the first did
--- config
    location /t {
        access_by_lua_block {
            assert(wasm.on_http_request_headers(configured("rust-headers", "rust")))
            assert(wasm.on_http_request_headers(configured("go-headers", "go")))
        }
        content_by_lua_block { ngx.say(ngx.var.http_x_rust_conf, " ", ngx.var.http_x_go_conf) }
        header_filter_by_lua_block {
            assert(wasm.on_http_response_headers(configured("rust-headers", "rust")))
            assert(wasm.on_http_response_headers(configured("go-headers", "go")))
        }
    }
--- response_headers
X-Rust: rust
X-Go: go
--- response_body
rust go
--- error_log
rust ctx 2 conf rust
go ctx 2 conf go
--- no_error_log
[error]



=== TEST 4: one in the rewrite phase, one in access
--- config
    location /t {
        rewrite_by_lua_block { assert(wasm.on_http_request_headers(configured("rust-headers", "rewrite"))) }
        access_by_lua_block {
            assert(wasm.on_http_request_headers(configured("hostcalls",
                '{"on_request_headers": [["get_header_map_value", "request", "x-rust-conf"]]}')))
        }
        content_by_lua_block { ngx.say("done") }
    }
--- response_body
done
--- error_log
get_header_map_value request x-rust-conf -> OK rewrite



=== TEST 5: two routes of a service are two plugin contexts
--- config
    location /a { content_by_lua_block {
        wasm.on_http_request_headers(configured("log", "service-a"))
    } }
    location /b { content_by_lua_block {
        wasm.on_http_request_headers(configured("log", "service-b"))
    } }
    location /t { content_by_lua_block {
        ngx.location.capture("/a")
        ngx.location.capture("/b")
        ngx.location.capture("/a")
        ngx.say("done")
    } }
--- response_body
done
--- grep_error_log eval
qr/run plugin ctx .* in http ctx \d+/
--- grep_error_log_out
run plugin ctx 1 with conf service-a in http ctx 2
run plugin ctx 3 with conf service-b in http ctx 4
run plugin ctx 1 with conf service-a in http ctx 5



=== TEST 6: one that traps does not stop the other
--- config
    location /t {
        access_by_lua_block {
            ngx.log(ngx.INFO, "first: ", wasm.on_http_request_headers(configured("hostcalls", '{"on_request_headers": [["trap"]]}')))
            ngx.log(ngx.INFO, "second: ", wasm.on_http_request_headers(configured("rust-headers", "blah")))
        }
        content_by_lua_block { ngx.say(ngx.var.http_x_rust_conf) }
    }
--- response_body
blah
--- error_log
first: nilfailed to run proxy_on_http_request_headers
second: true



=== TEST 7: Lua and proxy_wasm on one request: each has contexts of its own
--- http_config
    wasm_plugin native $TEST_NGINX_PLUGINS/log.wasm;
--- config
    location /t {
        proxy_wasm native "directive";
        access_by_lua_block { assert(wasm.on_http_request_headers(configured("log", "lua"))) }
        content_by_lua_block { ngx.say("done") }
    }
--- response_body
done
--- error_log
run plugin ctx 1 with conf directive in http ctx 2
run plugin ctx 1 with conf lua in http ctx 2
