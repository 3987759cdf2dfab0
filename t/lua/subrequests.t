# resty.proxy-wasm: plugins of a subrequest, whose end nginx reports to whoever made it even while something is held back.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::LuaSetup;

no_long_string();
add_block_preprocessor(\&ProxyWasm::LuaSetup::add);
run_tests();

__DATA__

=== TEST 1: the end of a subrequest's response cannot be held
--- config
    location /t {
        content_by_lua_block { ngx.say(ngx.location.capture("/sub").body, " and more") }
    }
    location /sub {
        return 200 "captured";
        body_filter_by_lua_block {
            assert(wasm.on_http_response_body(configured("hostcalls", '{"on_response_body": [["return", "pause"]]}')))
        }
    }
--- response_body
captured and more
--- error_log
plugin "hostcalls" cannot hold the end of a subrequest's response
--- no_error_log
[alert]



=== TEST 2: nor is what it held before lost
--- config
    location /t {
        content_by_lua_block { ngx.say(ngx.location.capture("/sub").body) }
    }
    location /sub {
        content_by_lua_block { ngx.print("one ") ngx.flush() ngx.print("two ") ngx.flush() ngx.print("three") }
        body_filter_by_lua_block {
            assert(wasm.on_http_response_body(configured("hostcalls", '{"on_response_body": [["return", "pause"]]}')))
        }
    }
--- response_body
one two three
--- no_error_log
[alert]
