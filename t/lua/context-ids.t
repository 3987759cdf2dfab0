# Which ids contexts have on the Lua path, and when they go: per plugin one count from 1 for plugin and HTTP contexts;
# a new plugin context takes the id of a freed one, an HTTP context that of a freed one of its plugin context.

use lib '.';
use t::ProxyWasm 'no_plan';

no_long_string();
add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(http_config => <<'E' . ($block->http_config // ''));
    wasm_vm wasmtime;
    init_worker_by_lua_block {
        wasm = require("resty.proxy-wasm")
        plugin = assert(wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm"))
        function collect() collectgarbage() collectgarbage() end
    }
E
    $block->set_value(request => 'GET /t') if !defined $block->request;
    $block->set_value(response_body => "done\n") if !defined $block->response_body;
    $block->set_value(grep_error_log => qr/(?:create|free) \w+ context \d+|(?:un)?loaded wasm plugin/);
});
run_tests();

__DATA__

=== TEST 1: plugin 1, http 2
--- config
    location /t {
        content_by_lua_block {
            ctx = assert(wasm.on_configure(plugin, "one"))
            assert(wasm.on_http_request_headers(ctx))
            ngx.say("done")
        }
    }
--- grep_error_log_out
loaded wasm plugin
create plugin context 1
create http context 2
free http context 2
--- shutdown_error_log
free plugin context 1
unloaded wasm plugin



=== TEST 2: plugin 1, http 2, plugin 3, http 4
--- config
    location /t {
        content_by_lua_block {
            one = assert(wasm.on_configure(plugin, "one"))
            assert(wasm.on_http_request_headers(one))
            two = assert(wasm.on_configure(plugin, "two"))
            assert(wasm.on_http_request_headers(two))
            ngx.say("done")
        }
    }
--- grep_error_log_out
loaded wasm plugin
create plugin context 1
create http context 2
create plugin context 3
create http context 4
free http context 2
free http context 4



=== TEST 3: plugin 1, http 2, freed, plugin 1, http 3
--- config
    location /t {
        content_by_lua_block {
            ngx.location.capture("/first")
            collect()
            ngx.location.capture("/second")
            ngx.say("done")
        }
    }
    location /first {
        content_by_lua_block {
            local ctx = assert(wasm.on_configure(plugin, "one"))
            ngx.log(ngx.INFO, tostring(ctx))
        }
    }
    location /second {
        content_by_lua_block {
            assert(wasm.on_http_request_headers(assert(wasm.on_configure(plugin, "two"))))
        }
    }
--- grep_error_log_out
loaded wasm plugin
create plugin context 1
free plugin context 1
create plugin context 1
create http context 2
free http context 2



=== TEST 4: freed plugin contexts give their ids, the oldest first
--- config
    location /t {
        content_by_lua_block {
            local kept = {}
            for i = 1, 3 do kept[i] = assert(wasm.on_configure(plugin, "conf")) end
            kept[2] = nil collect()
            kept[1] = nil collect()
            for i = 4, 6 do kept[i] = assert(wasm.on_configure(plugin, "conf")) end
            all = kept
            ngx.say("done")
        }
    }
--- grep_error_log_out
loaded wasm plugin
create plugin context 1
create plugin context 2
create plugin context 3
free plugin context 2
free plugin context 1
create plugin context 2
create plugin context 1
create plugin context 4



=== TEST 5: each plugin counts for itself
--- config
    location /t {
        content_by_lua_block {
            local other = assert(wasm.load("other", "$TEST_NGINX_PLUGINS/log.wasm"))
            for _, plugin in ipairs({plugin, other}) do
                assert(wasm.on_http_request_headers(assert(wasm.on_configure(plugin, "one"))))
            end
            ngx.say("done")
        }
    }
--- grep_error_log_out
loaded wasm plugin
loaded wasm plugin
create plugin context 1
create http context 2
create plugin context 1
create http context 2
free http context 2
free http context 2



=== TEST 6: the same configuration twice is two plugin contexts
--- config
    location /t {
        content_by_lua_block {
            all = { assert(wasm.on_configure(plugin, "one")), assert(wasm.on_configure(plugin, "one")) }
            ngx.say("done")
        }
    }
--- grep_error_log_out
loaded wasm plugin
create plugin context 1
create plugin context 2



=== TEST 7: a plugin context that is let go waits for its request, and its plugin for it
--- config
    location /t {
        content_by_lua_block {
            do
                local ctx = assert(wasm.on_configure(plugin, "one"))
                assert(wasm.on_http_request_headers(ctx))
            end
            plugin = nil
            collect()
            ngx.say("done")
        }
    }
--- grep_error_log_out
loaded wasm plugin
create plugin context 1
create http context 2
free http context 2
free plugin context 1
unloaded wasm plugin



=== TEST 8: contexts at one time have different ids
--- config
    location /t {
        content_by_lua_block {
            ctx = assert(wasm.on_configure(plugin, "one"))
            assert(wasm.on_http_request_headers(ctx))
            ngx.location.capture_multi({{"/in"}, {"/in"}})
            ngx.say("done")
        }
    }
    location /in { content_by_lua_block { assert(wasm.on_http_request_headers(ctx)) } }
--- grep_error_log_out eval
qr/^loaded wasm plugin
create plugin context 1
create http context 2
create http context 3
create http context 4
(?:free http context [234]\n){3}$/
