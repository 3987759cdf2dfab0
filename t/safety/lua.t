# The same on the Lua path: a plugin that Lua drives fails its request with an error that Lua can handle, and the next one works.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo qw(open_zoo BRIEF);

my @callbacks = qw(on_request_headers on_response_headers on_done on_log);
my %fault = (trap => '["trap"]', loop => '["loop"]', exit => '["exit", 2]', stack => '["trap", "stack"]');

my ($load, $locations) = ('', '');
for my $fault (sort keys %fault) {
    for my $callback (@callbacks) {
        my $name   = "$fault-$callback";
        my $script = qq({"$callback": [{"if": ["request_header", "x-bad"], "then": [$fault{$fault}]}]});
        $load .= qq(plugins["$name"] = assert(wasm.load("$name", "\$TEST_NGINX_PLUGINS/hostcalls.wasm"))\n);
        $locations .= <<"E";
    location = /$name {
        access_by_lua_block {
            local ctx, err = context("$name", [==[$script]==])
            ngx.ctx.plugin = assert(ctx, err)
            local ok, err = require("resty.proxy-wasm").on_http_request_headers(ngx.ctx.plugin)
            if not ok then ngx.header["X-Error"] = err return ngx.exit(503) end
        }
        header_filter_by_lua_block {
            if not ngx.ctx.plugin or ngx.status == 503 then return end
            local ok, err = require("resty.proxy-wasm").on_http_response_headers(ngx.ctx.plugin)
            ngx.header["X-Zoo"] = ok and "alive" or err
        }
        content_by_lua_block { ngx.say("$name") }
    }
E
    }
}

my $zoo = open_zoo(
    plugins     => {},
    lua         => 1,
    http_config => <<"E",
    wasm_callback_timeout @{[BRIEF]};
    init_worker_by_lua_block {
        local wasm = require("resty.proxy-wasm")
        local plugins, contexts = {}, {}
        $load
        function context(name, conf)
            if not contexts[name] then contexts[name] = wasm.on_configure(plugins[name], conf) end
            return contexts[name]
        end
    }
E
    config => $locations,
);
$zoo->is_unharmed('with all of them loaded');

for my $fault (sort keys %fault) {
    for my $callback (@callbacks) {
        subtest "$fault in $callback" => sub {
            my $got = $zoo->get("/$fault-$callback", 'X-Bad' => 1);
            if ($callback eq 'on_request_headers') {
                is $got->{status}, 503, 'ends the request, by Lua';
                is $got->{headers}{'x-error'}, 'failed to run proxy_on_http_request_headers', 'which is told';
            }
            elsif ($callback eq 'on_response_headers') {
                is $got->{headers}{'x-zoo'}, 'failed to run proxy_on_http_response_headers', 'is told to Lua';
            }
            else {
                is $got->{status}, 200, 'comes after the answer';
            }
            ok $zoo->server->wait_for_log(qr/\[error\].*proxy_$callback of plugin "$fault-$callback" in context/), 'has its error line';
            $zoo->is_unharmed('afterwards');
            is $zoo->get("/$fault-$callback")->{headers}{'x-zoo'}, 'alive', 'and the next request has a plugin that works';
        };
    }
}
$zoo->close;
done_testing;
