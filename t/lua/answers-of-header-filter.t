# A plugin answers, or fails, in Lua's header filter, behind one that changes bodies. The client gets the answer, of the length
# that its header says, and what follows on the connection is the next response.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::LuaSetup;

my %plugins = (
    changes => '{"on_response_body": [["set_buffer_bytes", "response_body", "changed, and much longer"]]}',
    pauses  => '{"on_response_body": [["return", "pause"]]}',
    answers => '{"on_response_headers": [["send_local_response", 418, "tea"]]}',
    traps   => '{"on_response_headers": [["trap"]]}',
);
my %want = (answers => [418, 'tea'], traps => [503, "503 Service Temporarily Unavailable\n"]);

# Each request has plugins of its own: the failure of one is not the next one's back-off.
sub location {
    my ($name, @pair) = @_;
    my $call = sub { my ($function) = @_; join ' ', map { "$function(ngx.ctx[$_])" } 1, 2 };
    return <<"E";
        location /$name/ {
            set \$wasm_process_resp_body 1;
            access_by_lua_block {
                for place, conf in ipairs({[=[$plugins{$pair[0]}]=], [=[$plugins{$pair[1]}]=]}) do
                    local plugin = wasm.load(ngx.var.uri .. place, "\$TEST_NGINX_PLUGINS/hostcalls.wasm")
                    ngx.ctx[place] = wasm.on_configure(plugin, conf)
                end
                @{[$call->('wasm.on_http_request_headers')]}
            }
            header_filter_by_lua_block { @{[$call->('wasm.on_http_response_headers')]} }
            body_filter_by_lua_block { @{[$call->('wasm.on_http_response_body')]} }
            proxy_http_version 1.1;
            location /$name/file { alias \$TEST_NGINX_HTML_DIR/hello.txt; }
            location /$name/proxied { proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/hello.txt; }
        }
E
}

# nginx calls one plugin, Lua the other.
sub behind_native {
    my ($how) = @_;
    return <<"E";
        location /native-$how/ {
            proxy_wasm native '$plugins{changes}';
            access_by_lua_block {
                local plugin = wasm.load(ngx.var.uri, "\$TEST_NGINX_PLUGINS/hostcalls.wasm")
                ngx.ctx.plugin = wasm.on_configure(plugin, [=[$plugins{$how}]=])
                wasm.on_http_request_headers(ngx.ctx.plugin)
            }
            header_filter_by_lua_block { wasm.on_http_response_headers(ngx.ctx.plugin) }
            proxy_http_version 1.1;
            location /native-$how/file { alias \$TEST_NGINX_HTML_DIR/hello.txt; }
            location /native-$how/proxied { proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/hello.txt; }
        }
E
}

my @pairs = map { my $other = $_; map { ([$other, $_], [$_, $other]) } sort keys %want } 'changes', 'pauses';
my $s     = start_nginx(
    http_config => "$ProxyWasm::LuaSetup::WASM_VM $ProxyWasm::LuaSetup::INIT_WORKER"
        . ' wasm_plugin native $TEST_NGINX_PLUGINS/hostcalls.wasm;',
    config => join('', (map { location(join('-', @$_), @$_) } @pairs), map { behind_native($_) } sort keys %want)
        . 'location /plain { return 200 plain; }',
    user_files  => [['hello.txt', 'hello']],
);

for my $pair (@pairs, map { ['native', $_] } sort keys %want) {
    my ($how) = grep { $want{$_} } @$pair;
    for my $source ('proxied', 'file') {
        my $name       = join('-', @$pair) . "/$source";
        my $connection = $s->connect;
        my $response   = $connection->request('GET', "/$name");
        is $response->{status}, $want{$how}[0], "$name: the status";
        is $response->{body}, $want{$how}[1], "$name: the answer";
        is $connection->request('GET', '/plain')->{body}, 'plain', "$name: the next response on the connection";
    }
}
$s->stop(allow => ['[error']);
done_testing;
