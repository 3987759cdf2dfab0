# Beside the module in C that APISIX's runtimes have linked in: wasm_vm is this module's, and Lua reaches this module's functions.
# In make test these suites run once more on a runtime that has a stand-in for it (t/stand-in), which writes an [alert] line, and
# so fails every block, whenever any of it is reached. What needs it is skipped on other nginxes.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Apisix;
use ProxyWasm::Module qw(target_dir);
use ProxyWasm::Skip qw(nginx_info);

my $runtime = nginx_info()->{configure} =~ /stand-in/;

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or die "$path: $!\n";
    local $/;
    return scalar <$in>;
}

subtest 'no name of this module is one of the other' => sub {
    my $module  = $ENV{TEST_NGINX_MODULE} // target_dir() . '/release/libngx_http_proxy_wasm_module.so';
    my $symbols = `nm -D --defined-only '$module'`;
    is $?, 0, 'nm';
    my @ours = map { / (\w+)$/ ? $1 : () } split /\n/, $symbols;
    is_deeply [grep { /^ngx_http_wasm/ } @ours], [], 'what it exports has names of its own';
    my %exported = map { $_ => 1 } @ours;
    my @bound = slurp('lib/resty/proxy-wasm.lua') =~ /^\w[\w ]*[ *](ngx_http_\w+)\(/mg;
    cmp_ok scalar @bound, '>', 10, 'and the Lua file binds';
    is_deeply [grep { !$exported{$_} } @bound], [], 'to nothing else';
};

# OpenResty's nginx has members of its own in the midst of ngx_http_upstream_t: a module built with plain headers reads garbage there. The
# connection to the server is before them, in the same place in every nginx.
subtest 'no field of ngx_http_upstream_t is read but the connection' => sub {
    my @sources = split /\n/, `find src ngx-bindings/src -name '*.rs'`;
    ok scalar @sources, 'sources';
    my @named = grep { slurp($_) =~ m{\bngx_http_upstream_t\b|(?:\)|\br)\.upstream\b(?!\.is_null)} } @sources;
    is_deeply \@named, ['ngx-bindings/src/certificate.rs'], 'one file names it, or follows the pointer to it in a request';
    my ($read) = slurp($named[0]) =~ /struct Upstream \{(.*?)\}/s;
    is_deeply [$read =~ /(\w+):/g], [qw(handlers connection)], 'and reads no more than that';
};

SKIP: {
    Test::More::skip 'this nginx has no module in C linked in', 1 if !$runtime;

    subtest 'the stand-in is loud' => sub {
        my $s = start_nginx(
            no_module   => 1,
            lua         => 1,
            http_config => 'wasm_vm wasmtime;',
            config      => <<'CONF',
    location /t {
        content_by_lua_block {
            local ffi = require("ffi")
            ffi.cdef("void *ngx_http_wasm_load_plugin(const char *name, size_t name_len, const char *code, size_t size);")
            ffi.C.ngx_http_wasm_load_plugin("", 0, "", 0)
            ngx.say("done")
        }
    }
CONF
        );
        is $s->get('/t')->{body}, "done\n", 'without this module it is there';
        my @alerts = (qr/stand-in: the module in C was given "wasm_vm"/, qr/stand-in: ngx_http_wasm_load_plugin\(\) .* was called/);
        ok $s->wait_for_log($alerts[1]), 'and says when it is called';
        $s->stop(allow => \@alerts);
    };
}

subtest 'beside it' => sub {
    my $s = start_nginx(workers => 2, gateway(
        http_config => 'wasm_plugin native $TEST_NGINX_PLUGINS/rust-headers.wasm;',
        config      => <<'CONF',
    location = /status { wasm_status; }
    location = /native { proxy_wasm native directive; proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT; }
CONF
        apisix_yaml => <<'YAML',
routes:
  - id: 1
    uri: /t
    plugins:
      rust-headers:
        conf: route
YAML
    ));
    for my $round ('at first', 'after a reload') {
        is $s->get('/t')->{headers}{'x-rust'}, 'route', "$round: a plugin of a route";
        is $s->get('/native')->{headers}{'x-rust'}, 'directive', "$round: a plugin of a directive";
        # A worker that the route's request did not come to may still be loading it.
        my $listed = qr/"name": "rust-headers"/;
        like $s->get_until(sub { $_[0]{body} =~ $listed }, '/status')->{body}, $listed, "$round: the status page lists it";
        ok $s->reload, 'a reload' if $round eq 'at first';
    }
    unlike $s->error_log, qr/stand-in/, 'the stand-in sleeps';
    $s->stop;
};

subtest 'what is told of the upstream is right' => sub {
    my $s = start_nginx(gateway(
        script => '{"on_response_headers": [["get_property", "upstream", "address"], ["get_property", "upstream_status"],'
            . ' ["add_header_map_value", "response", "x-report", "${report}"]]}',
    ));
    is $s->get('/t')->{status}, 200, 'a request';
    ok $s->wait_for_log("upstream address -> OK 127.0.0.1:$ENV{TEST_NGINX_UPSTREAM_PORT}"), 'address';
    ok $s->wait_for_log('upstream_status -> OK 200'), 'status';
    $s->stop;
};

done_testing;
