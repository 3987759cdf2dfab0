# APISIX's own suite of its plugin forward-auth (t/wasm/forward-auth.t there), case by case, on ours: on both paths, and with either
# client on Lua's. What else there is to that plugin is tested beside it.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::LuaSetup;

my $auth = free_port();

my %confs = (
    # The two routes of APISIX's suite.
    hello => qq({"uri": "http://127.0.0.1:$auth/auth", "request_headers": ["Authorization"],
        "client_headers": ["X-User-ID"], "upstream_headers": ["X-User-ID"]}),
    empty => qq({"uri": "http://127.0.0.1:$auth/auth", "request_headers": ["Authorization"]}),
    never => qq({"uri": "http://127.0.0.1:$auth/never", "timeout": 100}),
    down  => '{"uri": "http://127.0.0.1:1/auth"}',
);

# The service, and the upstream, which answers with the fields it got.
my $servers = <<"CONF";
    server {
        listen 127.0.0.1:$auth;
        location = /auth {
            content_by_lua_block {
                local headers = ngx.req.get_headers()
                local told = {}
                for _, name in ipairs({"proto", "method", "host", "uri", "for"}) do
                    told[#told + 1] = headers["x-forwarded-" .. name]
                end
                ngx.log(ngx.WARN, "told: ", table.concat(told, " "))

                local who = headers["authorization"]
                if who == "222" or who == "333" then
                    ngx.header["X-User-ID"] = "i-am-an-user"
                end
                ngx.exit(({["333"] = 401, ["444"] = 403})[who] or 200)
            }
        }
        location = /never {
            lua_check_client_abort on;
            content_by_lua_block { ngx.sleep(3600) }
        }
    }
    server {
        listen unix:\$TEST_NGINX_SERVER_ROOT/upstream.sock;
        location / {
            content_by_lua_block {
                local fields = {}
                for name, value in pairs(ngx.req.get_headers()) do fields[#fields + 1] = name .. ": " .. value end
                table.sort(fields)
                ngx.print(table.concat(fields, "\\n"))
            }
        }
    }
CONF

sub locations {
    my ($attach) = @_;
    return join '', map { <<"CONF" } sort keys %confs;
    location /$_ {
        @{[$attach->($confs{$_})]}
        proxy_pass http://unix:\$TEST_NGINX_SERVER_ROOT/upstream.sock;
    }
CONF
}

sub lua {
    my ($http_config) = @_;
    return start_nginx(
        http_config => join('', $http_config, $ProxyWasm::LuaSetup::WASM_VM, $ProxyWasm::LuaSetup::INIT_WORKER, $servers),
        config      => locations(sub { <<"CONF" }));
        access_by_lua_block {
            local found, ctx = pcall(configured, "forward-auth", [=[$_[0]]=])
            if not found or not wasm.on_http_request_headers(ctx) then ngx.exit(503) end
        }
CONF
}

my %paths = (
    'native' => sub {
        start_nginx(
            http_config => "wasm_plugin forward-auth \$TEST_NGINX_PLUGINS/forward-auth.wasm;\n$servers",
            config      => locations(sub { "proxy_wasm forward-auth '$_[0]';" }));
    },
    'Lua, with our client'    => sub { lua('') },
    'Lua, through resty.http' => sub { lua(ProxyWasm::LuaSetup::resty_http()) },
);

# What is asked of APISIX's plugin, by the numbers of its tests.
sub of_apisix {
    my ($s) = @_;
    like $s->get('/hello', Authorization => 111)->{body}, qr/^authorization: 111$/m, '2: request_headers';
    like $s->get('/hello', Authorization => 222)->{body}, qr/^x-user-id: i-am-an-user$/m, '3: upstream_headers';

    my $refused = $s->get('/hello', Authorization => 333);
    is $refused->{status}, 403, '4: who may not pass gets 403';
    is $refused->{headers}{'x-user-id'}, 'i-am-an-user', '4: with client_headers';

    $s->mark_log;
    is $s->get('/hello', Authorization => 444, 'X-Forwarded-Host' => 'apisix.apache.org')->{status}, 403, '5: another';
    ok $s->wait_for_log(qr{told: http GET localhost /hello 127\.0\.0\.1}), '5: what the client says of itself is ignored';

    unlike $s->get('/empty', Authorization => 222)->{body}, qr/x-user-id/, '6: no upstream_headers, none sent';
    $refused = $s->get('/empty', Authorization => 333);
    is $refused->{status}, 403, '7: refused';
    is $refused->{headers}{'x-user-id'}, undef, '7: no client_headers, none sent';
}

sub without_service {
    my ($s) = @_;
    is $s->get('/never')->{status}, 403, 'a service that does not answer';
    ok $s->wait_for_log(qr{http call failed: timeout, uri: http://127\.0\.0\.1:$auth/never}), 'is told';
    is $s->get('/down')->{status}, 403, 'a service that is down';
    ok $s->wait_for_log(qr{http call failed: connection refused, uri: http://127\.0\.0\.1:1/auth}), 'is told';
}

for my $path (sort keys %paths) {
    subtest $path => sub {
        my $s = $paths{$path}->();
        of_apisix($s);
        without_service($s);
        $s->stop;
    };
}

done_testing;
