package Bench::Subject::Apisix;

# The cost that Apache APISIX's way of calling a plugin adds: it finds the plugin context by type
# and id of the route's configuration, the plugin sets a property to ask for the body, the wrapper
# reads that flag, and the body callback runs.

use strict;
use warnings;
use Bench::Callgrind qw(per_request);
use Bench::Row;
use Bench::Server qw(guest);

sub title { 'On APISIX' }

sub rows {
    my ($class, $rows) = @_;
    my $calls = Bench::Row->new(
        key     => 'apisix.calls',
        title   => 'APISIX\'s wrapper, around functions that do nothing',
        measure => sub { _measure('apisix.calls', <<'E') },
    local function nothing() return true end
    wasm = {
        on_http_request_headers = nothing, on_http_request_body = nothing, on_http_response_headers = nothing,
        on_configure = function() return {} end,
    }
    -- The plugin that is not there asks for the body all the same.
    asks_for_body = true
E
    );
    my $plugin = Bench::Row->new(
        key     => 'apisix.plugin',
        title   => 'the plugin of `requests.lua`, which also asks for the body',
        over    => 'apisix.calls',
        measure => sub { _measure('apisix.plugin', <<"E") },
    wasm = require("resty.proxy-wasm")
    plugin = assert(wasm.load("p", "@{[guest('apisix')]}"))
E
    );
    my $beyond = Bench::Row->new(
        key     => 'apisix.beyond',
        title   => 'of it, beyond what `requests.lua` costs',
        measure => sub {
            $plugin->counts($calls) - $rows->{'requests.lua'}->counts($rows->{'requests.lua-empty'});
        },
    );
    return ($calls, $plugin, $beyond);
}

sub _measure {
    my ($key, $init) = @_;
    return per_request(
        $key,
        http_config => "wasm_vm wasmtime;\ninit_worker_by_lua_block {\n$init" . <<'E',
    local conf = { conf = "yes", contexts = {} }
    local route = { conf_type = "route", conf_id = "1" }

    local function context()
        local key = route.conf_type .. "#" .. route.conf_id
        local known = conf.contexts[key]
        if not known then
            known = assert(wasm.on_configure(plugin, conf.conf))
            conf.contexts[key] = known
        end
        return known
    end

    function access()
        local context = context()
        assert(wasm.on_http_request_headers(context))
        if ngx.var.wasm_process_req_body ~= "" or asks_for_body then
            ngx.var.wasm_process_req_body = ""
            ngx.req.read_body()
            assert(wasm.on_http_request_body(context, ngx.req.get_body_data(), true))
        end
    end

    function header_filter()
        assert(wasm.on_http_response_headers(context()))
        if ngx.var.wasm_process_resp_body ~= "" then
            error("the plugin does not ask for it")
        end
    end
}
E
        config => <<'E',
location /t {
    set $wasm_process_req_body "";
    set $wasm_process_resp_body "";
    access_by_lua_block { access() }
    header_filter_by_lua_block { header_filter() }
    content_by_lua_block { ngx.print("ok") }
}
E
    );
}

1;
