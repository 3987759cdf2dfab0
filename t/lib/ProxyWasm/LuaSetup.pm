package ProxyWasm::LuaSetup;

# What the suites of the Lua path have in common: wasm_vm, and in every worker
#
#     wasm                       resty.proxy-wasm
#     configured(NAME, CONF)     a plugin context of the plugin NAME, that of user_files
#                                if NAME ends in .wat; the same each time it is asked for
#
# A block may have its own http_config, with another init_worker_by_lua in place of this one. Its
# request is GET /t unless it says another.
#
#     add_block_preprocessor(\&ProxyWasm::LuaSetup::add);

use strict;
use warnings;
use ProxyWasm::Module qw(repository);

our $WASM_VM = "    wasm_vm wasmtime;\n";

our $INIT_WORKER = <<'E';
    init_worker_by_lua_block {
        wasm = require("resty.proxy-wasm")
        local plugins, contexts = {}, {}

        function configured(name, conf)
            if not plugins[name] then
                local path = name:find("%.wat$") and "$TEST_NGINX_HTML_DIR/" .. name
                             or "$TEST_NGINX_PLUGINS/" .. name .. ".wasm"
                plugins[name] = assert(wasm.load(name, path))
            end
            local key = name .. "#" .. conf
            contexts[key] = contexts[key] or assert(wasm.on_configure(plugins[name], conf))
            return contexts[key]
        end
    }
E

# For http_config: what stands in for lua-resty-http is installed.
sub resty_http {
    my $repository = repository();
    return qq(    lua_package_path "$repository/lib/?.lua;$repository/t/lua/lib/?.lua;;";\n);
}

sub add {
    my ($block) = @_;
    my $own = $block->http_config // '';
    $block->set_value(http_config =>
        join '', $WASM_VM, $own =~ /init_worker_by_lua/ ? () : $INIT_WORKER, $own);
    $block->set_value(request => 'GET /t')
        if !grep { defined $block->$_ } qw(request raw_request pipelined_requests);
}

1;
