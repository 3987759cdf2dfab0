package Bench::Subject::Requests;

# The cost of a request: with nginx alone, with Lua alone, and with a plugin on either path.

use strict;
use warnings;
use Bench::Callgrind qw(per_request);
use Bench::Row;
use Bench::Server qw(guest plugin);

# Fewer fields than other requests have.
use constant FEW => { fields => ['Host' => 'localhost', 'User-Agent' => 'bench', 'Accept' => '*/*'] };

sub title { 'Requests' }

sub rows {
    my $headers = guest('headers');
    return (
        _row('nginx', 'nginx, `return 200`', undef, no_module => 1, config => _return()),
        _row(
            'unused', 'the module is there, the location has no plugins', 'nginx',
            http_config => "wasm_plugin p $headers phase=rewrite;",
            config      => _return() . "\nlocation /other { proxy_wasm p; }",
        ),
        _native('native',         'a plugin reads a request header and adds a response header', $headers),
        _native('native-request', 'a plugin has only `on_request_headers`, and reads a header', guest('request-headers')),
        _native('rust',           'Rust SDK, formats a line for each header, below the log\'s level', plugin('log-headers')),
        _native('go',             'Go SDK, adds a header to the request and one to the response', plugin('go-headers')),
        _row('lua-content', 'Lua, `content_by_lua`', undef, no_module => 1, config => _lua()),
        _in_lua('lua-empty', 'Lua, empty access and header_filter handlers as well'),
        _in_lua('lua-same', 'Lua, the work of `native` in these handlers', 'lua-empty', same => 1),
        _in_lua('lua', 'the plugin of `native`, called from these handlers', 'lua-empty', plugin => $headers),
        _in_lua('rust-lua', 'the plugin of `rust`, called from these handlers', 'lua-empty', plugin => plugin('log-headers')),
        _in_lua('go-lua', 'the plugin of `go`, called from these handlers', 'lua-empty', plugin => plugin('go-headers')),
        _in_lua('few-empty', '`lua-empty`, for a request of the three fields that curl sends', undef, request => FEW),
        _in_lua('few-same', '`lua-same`, for such a request', 'few-empty', request => FEW, same => 1),
        _in_lua('few-lua', '`lua`, for such a request', 'few-empty', request => FEW, plugin => $headers),
    );
}

sub _row {
    my ($key, $title, $over, %server) = @_;
    return Bench::Row->new(
        key     => "requests.$key",
        title   => $title,
        over    => $over && "requests.$over",
        measure => sub { per_request("requests.$key", %server) },
    );
}

sub _return { 'location /t { return 200 ok; }' }

# A location that Lua answers, with handlers in the access and header_filter phases if $handlers.
sub _lua {
    my ($handlers) = @_;
    my $calls = $handlers
        ? "access_by_lua_block { handlers.access() }\nheader_filter_by_lua_block { handlers.header_filter() }\n" : '';
    return "location /t {\n${calls}content_by_lua_block { ngx.print('ok') }\n}";
}

# Handlers as those of APISIX's plugins are: functions of a required module, with what they use in local variables. They do
# nothing, or the `same` as the plugin of `native`, or call a `plugin`.
sub _in_lua {
    my ($key, $title, $over, %o) = @_;
    my ($locals, $access, $header_filter) = ('', '', '');
    if ($o{same}) {
        $locals        = 'local get_headers, ngx = ngx.req.get_headers, ngx';
        $access        = 'local agent = get_headers()["user-agent"]';
        $header_filter = 'ngx.header["x-plugin"] = "yes"';
    } elsif ($o{plugin}) {
        $locals        = <<"E";
local assert, wasm = assert, require("resty.proxy-wasm")
        local plugin = assert(wasm.load("p", "$o{plugin}"))
        local context = assert(wasm.on_configure(plugin, "yes"))
E
        $access        = 'assert(wasm.on_http_request_headers(context))';
        $header_filter = 'assert(wasm.on_http_response_headers(context))';
    }
    my $module = <<"E";
init_worker_by_lua_block {
    package.preload["handlers"] = function()
        $locals
        local _M = {}
        function _M.access() $access end
        function _M.header_filter() $header_filter end
        return _M
    end
    handlers = require("handlers")
}
E
    return _row($key, $title, $over,
        no_module   => !$o{plugin},
        request     => $o{request},
        http_config => ($o{plugin} ? "wasm_vm wasmtime;\n" : '') . $module,
        config      => _lua('handlers'),
    );
}

sub _native {
    my ($key, $title, $plugin) = @_;
    return _row($key, $title, 'nginx',
        http_config => "wasm_plugin p $plugin phase=rewrite;",
        config      => 'location /t { proxy_wasm p yes; return 200 ok; }',
    );
}

1;
