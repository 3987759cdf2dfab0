package ProxyWasm::Scripted;

# For suites about host functions and callbacks. Every block has the scripted guest
# (t/plugins/hostcalls) as the plugin `hostcalls`, in the rewrite phase, so that `return` may stand
# beside it. It also has an upstream at $TEST_NGINX_UPSTREAM_PORT, which answers with the header
# that it received, as it was on the wire.
#
#     use ProxyWasm::Scripted;
#
#     --- config
#         location /t {
#             proxy_wasm hostcalls '{"on_request_headers": [["get_log_level"]]}';
#             proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
#         }
#     --- upstream        more locations of the upstream's
#
# The guest for older versions of the ABI is `hostcalls-0-2-0` and `hostcalls-0-1-0`. The same
# http_config can be passed to a server: start_nginx(http_config => scripted()).

use strict;
use warnings;

use Exporter 'import';
our @EXPORT = qw(scripted);

sub scripted {
    my (%o) = @_;
    my $conf = join '', map { "wasm_plugin $_ $ENV{TEST_NGINX_PLUGINS}/$_.wasm phase=rewrite;\n" }
        qw(hostcalls hostcalls-0-2-0 hostcalls-0-1-0);
    return $conf if !$o{upstream};
    my $locations = $o{locations} // '';
    return $conf . <<"CONF";
    server {
        listen $ENV{TEST_NGINX_UPSTREAM_PORT};
        proxy_wasm off;
        $locations
        location / { content_by_lua_block { ngx.print(ngx.req.raw_header()) } }
    }
CONF
}

t::ProxyWasm::add_block_preprocessor(sub {
    my ($block) = @_;
    return if !defined $block->config || defined $block->no_module;
    my $upstream = $block->config =~ /\$TEST_NGINX_UPSTREAM_PORT/ || defined $block->upstream;
    $block->set_value(http_config =>
        scripted(upstream => $upstream, locations => scalar $block->upstream) . ($block->http_config // ''));
});

1;
