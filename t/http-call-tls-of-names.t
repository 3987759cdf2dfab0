# TLS that the operator sets for a name that plugins call: wasm_upstream.

use lib '.';
use t::ProxyWasm;
use File::Temp ();
use ProxyWasm::Certificates ();
use ProxyWasm::LuaSetup;

my $certs = File::Temp->newdir;
chmod 0755, $certs;
ProxyWasm::Certificates->new("$certs")
    ->issue('good', 'DNS:good.test')
    ->issue('expired', 'DNS:expired.test', expired => 1);
my ($port, $grpc_port) = (free_port(), free_port());

sub script {
    my ($name, $scheme) = @_;
    my @scheme = $scheme ? (qq([":scheme", "$scheme"])) : ();
    my $headers = join ', ', @scheme, '[":method", "GET"]', '[":authority", "a.test"]', '[":path", "/p"]';
    return <<"SCRIPT";
{"on_request_headers": [["http_call", "$name", [$headers]], ["return", "pause"]],
 "on_http_call_response": [
    ["get_buffer_bytes", "call_response_body"],
    ["send_local_response", 200, "\${last}"]]}
SCRIPT
}

sub location {
    my ($path, @called) = @_;
    return "location $path { proxy_wasm hostcalls '@{[script(@called)]}'; }\n";
}

my $servers = join '', map { <<"CONF" } qw(good expired);
    server {
        listen 127.0.0.1:$port ssl;
        listen 127.0.0.1:$grpc_port ssl http2;
        server_name $_.test;
        ssl_certificate $certs/$_.crt;
        ssl_certificate_key $certs/$_.key;
        default_type application/grpc;
        add_header grpc-status 7 always;
        add_header grpc-message "by \$ssl_server_name for \$http_host" always;
        return 200 "by \$ssl_server_name for \$http_host";
    }
CONF

my $names = <<"CONF";
    wasm_upstream outbound|443||good.svc 127.0.0.1:$port tls=on sni=good.test;
    wasm_upstream by_authority 127.0.0.1:$port tls=on authority=good.test:8443;
    wasm_upstream expired 127.0.0.1:$port tls=on sni=expired.test;
    wasm_upstream unchecked 127.0.0.1:$port tls=on sni=expired.test verify=off;
    wasm_upstream asked 127.0.0.1:$port sni=good.test;
    wasm_upstream checked 127.0.0.1:$port tls=on sni=expired.test verify=on;
    wasm_upstream greeter 127.0.0.1:$grpc_port tls=on sni=good.test;
    wasm_upstream stranger 127.0.0.1:$grpc_port tls=on sni=expired.test;
    wasm_upstream any_greeter 127.0.0.1:$grpc_port tls=on sni=expired.test verify=off;
CONF

sub grpc_location {
    my ($path, $name) = @_;
    return <<"CONF";
    location $path {
        proxy_wasm hostcalls '{
            "on_request_headers": [["grpc_call", "$name", "test.Greeter", "Hello", [], "hello"], ["return", "pause"]],
            "on_grpc_close": [["get_status"], ["send_local_response", 200, "\${last}"]]
        }';
    }
CONF
}

my %options = (
    http_config => "wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls.wasm;\n$names$servers",
    config      => join('', map { location("/$_", $_) } qw(by_authority expired unchecked asked checked))
        . location('/good', 'outbound|443||good.svc')
        . location('/asked-https', 'asked', 'https')
        . join('', map { grpc_location("/$_", $_) } qw(greeter stranger any_greeter)),
);

subtest 'TLS is spoken though the plugin asks for none' => sub {
    my $s = start_nginx(%options, http_config => "wasm_ssl_trusted_certificate $certs/ca.crt;\n$options{http_config}");
    is $s->get('/good')->{body}, 'by good.test for a.test', 'with the name of sni=';
    is $s->get('/good')->{body}, 'by good.test for a.test', 'on a kept connection';
    is $s->get('/by_authority')->{body}, 'by good.test for good.test:8443', 'with that of authority=';
    is $s->get('/asked-https')->{body}, 'by good.test for a.test', 'or where the plugin asks for it';
    like $s->get('/asked')->{body}, qr/400 The plain HTTP request was sent to HTTPS port/, 'and only there';

    is $s->get('/unchecked')->{body}, 'by expired.test for a.test', 'verify=off: an expired certificate';
    like $s->get('/expired')->{body}, qr/certificate has expired/, 'whose connection no call takes that wants it checked';
    ok $s->wait_for_log(qr{http call failed: certificate verify failed: certificate has expired, uri: https://expired/p}),
        'which is told';
    is $s->get('/unchecked')->{body}, 'by expired.test for a.test', 'but one that does not';

    is $s->get('/greeter')->{body}, "7 by good.test for 127.0.0.1:$grpc_port", 'gRPC';
    is $s->get('/any_greeter')->{body}, "7 by expired.test for 127.0.0.1:$grpc_port", 'gRPC with verify=off';
    like $s->get('/stranger')->{body}, qr/^14 .*certificate has expired/, 'whose connection is not shared, either';
    $s->stop;
};

subtest 'verify=on counts where wasm_ssl_verify is off' => sub {
    my $s = start_nginx(%options,
        http_config => "wasm_ssl_verify off;\nwasm_ssl_trusted_certificate $certs/ca.crt;\n$options{http_config}");
    is $s->get('/expired')->{body}, 'by expired.test for a.test', 'certificates are not checked';
    like $s->get('/checked')->{body}, qr/certificate has expired/, 'but this one is';
    $s->stop;
};

subtest 'on the Lua path, too' => sub {
    my $s = start_nginx(
        http_config => join('', "lua_ssl_trusted_certificate $certs/ca.crt;\n", ProxyWasm::LuaSetup::resty_http(),
            $ProxyWasm::LuaSetup::WASM_VM, $ProxyWasm::LuaSetup::INIT_WORKER, $names, $servers),
        config => join '', map { <<"CONF" } ['/good', 'outbound|443||good.svc'], ['/expired', 'expired'], ['/unchecked', 'unchecked']);
    location $_->[0] {
        access_by_lua_block { assert(wasm.on_http_request_headers(configured('hostcalls', [=[@{[script($_->[1])]}]=]))) }
    }
CONF
    is $s->get('/good')->{body}, 'by good.test for a.test', 'TLS is spoken';
    is $s->get('/expired')->{body}, '', 'an expired certificate';
    ok $s->wait_for_log(qr/http call failed: 10: certificate has expired/), 'is told';
    is $s->get('/unchecked')->{body}, 'by expired.test for a.test', 'verify=off';
    $s->stop;
};

done_testing;
