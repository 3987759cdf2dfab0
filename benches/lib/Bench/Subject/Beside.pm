package Bench::Subject::Beside;

# What a request pays that no Wasm plugin sees, because Lua calls a plugin for other requests: a proxied route without plugins, in
# a worker where another route has one. t/apisix/gateway.lua drives both as APISIX does. In the rows that this is compared with, the
# module is absent, and the other route's plugin is a table of Lua functions that do nothing.

use strict;
use warnings;
use Bench::Callgrind qw(REQUESTS WARM_UP count under_callgrind);
use Bench::Client;
use Bench::Row;
use Bench::Server qw(guest);
use File::Path qw(make_path);
use JSON::PP ();
use List::Util qw(sum);
use ProxyWasm::Module qw(repository);

# How many functions Lua loads beforehand, which nobody calls. LuaJIT counts in 64 slots, by their addresses, how often loops and
# functions run, so whatever was allocated before decides which of them it compiles first, and how the traces are cut: the same
# requests differ by up to 1,700 instructions from one of these layouts to another.
use constant LAYOUTS => 0, 3, 17, 40, 77, 123, 200, 301;

# Each of REQUESTS. Lua's collector makes one round dearer than the next by 2,000 instructions a request: the mean counts here.
use constant ROUNDS => 8;

# In place of resty.proxy-wasm.
use constant NO_PLUGIN => <<'E';
    package.preload["resty.proxy-wasm"] = function()
        local function nothing() return true end
        local function handle() return {} end
        return {
            load = handle, on_configure = handle,
            on_http_request_headers = nothing, on_http_response_headers = nothing,
        }
    end
E

sub title { 'Beside a plugin' }

sub rows {
    return (
        _row('nothing', 'a proxied route without plugins, called as APISIX calls it, without the module', undef),
        _row('plugin', 'the same beside a route that calls the plugin of `requests.lua`', 'nothing', plugin => 1),
    );
}

sub _row {
    my ($key, $title, $over, %o) = @_;
    my @layouts = LAYOUTS;
    return Bench::Row->new(
        key     => "beside.$key",
        title   => $title,
        over    => $over && "beside.$over",
        measure => sub { sum(map { _measure("beside.$key", $_, %o) } @layouts) / @layouts },
    );
}

sub _measure {
    my ($key, $layout, %o) = @_;
    return under_callgrind(_server($layout, %o), sub {
        my ($server) = @_;
        Bench::Client->new($server->port, path => '/other')->ask(WARM_UP);
        my $client = Bench::Client->new($server->port);
        $client->ask(WARM_UP);
        my @counts = map { count($server, $key, sub { $client->ask(REQUESTS) }) } 1 .. ROUNDS;
        return sum(@counts) / ROUNDS / REQUESTS;
    });
}

sub _server {
    my ($layout, %o) = @_;
    my $lua     = repository();
    my $plugins = _file('config.json', { wasm => { plugins => [{ name => 'p', priority => 1, file => guest('headers') }] } });
    my $routes  = _file('apisix.json', { routes => [
        { id => 1, uri => '/t', plugins => {} }, { id => 2, uri => '/other', plugins => { p => { conf => 'yes' } } },
    ] });
    my ($vm, $library) = ($o{plugin} ? ('wasm_vm wasmtime;', '') : ('', NO_PLUGIN));
    return {
        no_module   => !$o{plugin},
        http_config => <<"E",
lua_package_path "$lua/lib/?.lua;$lua/t/apisix/?.lua;;";
$vm
upstream plain { server 127.0.0.1:\$TEST_NGINX_SERVER_PORT; keepalive 4; }
init_by_lua_block {
    unused = {}
    for i = 1, $layout do unused[i] = loadstring("return " .. i) end
$library
    gateway = require("gateway")
}
init_worker_by_lua_block {
    gateway.load_plugins("$plugins")
    gateway.load_resources("$routes")
}
E
        config => <<'E',
location /upstream { return 200 ok; }
location / {
    set $wasm_process_req_body "";
    set $wasm_process_resp_body "";
    access_by_lua_block { gateway.access() }
    header_filter_by_lua_block { gateway.header_filter() }
    body_filter_by_lua_block { gateway.body_filter() }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_pass http://plain/upstream;
}
E
    };
}

# One of APISIX's two files, as JSON.
sub _file {
    my ($name, $content) = @_;
    my $path = Bench::Server::directory() . "/$name";
    make_path(Bench::Server::directory());
    open my $out, '>', $path or die "$path: $!\n";
    print {$out} JSON::PP->new->canonical->encode($content);
    close $out or die "$path: $!\n";
    return $path;
}

1;
