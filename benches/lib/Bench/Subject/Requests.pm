package Bench::Subject::Requests;

# The cost of a request: with nginx alone, with Lua alone, and with a plugin on either path.

use strict;
use warnings;
use Bench::Callgrind qw(per_request);
use Bench::Row;
use Bench::Server qw(guest plugin);

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
        _row('lua-empty', 'Lua, empty access and header_filter handlers as well', undef, no_module => 1, config => _lua(
            '', '')),
        _row('lua-same', 'Lua, the work of `native` in these handlers', 'lua-empty', no_module => 1, config => _lua(
            'local agent = ngx.req.get_headers()["user-agent"]', 'ngx.header["x-plugin"] = "yes"')),
        _through_lua('lua',      'the plugin of `native`, called from these handlers', $headers),
        _through_lua('rust-lua', 'the plugin of `rust`, called from these handlers',   plugin('log-headers')),
        _through_lua('go-lua',   'the plugin of `go`, called from these handlers',     plugin('go-headers')),
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

# A location that Lua answers, with handlers in the access and header_filter phases if they are given.
sub _lua {
    my ($access, $header_filter) = @_;
    my $handlers = defined $access
        ? "access_by_lua_block { $access }\nheader_filter_by_lua_block { $header_filter }\n" : '';
    return "location /t {\n${handlers}content_by_lua_block { ngx.print('ok') }\n}";
}

sub _native {
    my ($key, $title, $plugin) = @_;
    return _row($key, $title, 'nginx',
        http_config => "wasm_plugin p $plugin phase=rewrite;",
        config      => 'location /t { proxy_wasm p yes; return 200 ok; }',
    );
}

sub _through_lua {
    my ($key, $title, $plugin) = @_;
    return _row($key, $title, 'lua-empty',
        http_config => <<"E",
wasm_vm wasmtime;
init_worker_by_lua_block {
    wasm = require("resty.proxy-wasm")
    plugin = assert(wasm.load("p", "$plugin"))
    context = assert(wasm.on_configure(plugin, "yes"))
}
E
        config => _lua(
            'assert(wasm.on_http_request_headers(context))', 'assert(wasm.on_http_response_headers(context))'),
    );
}

1;
