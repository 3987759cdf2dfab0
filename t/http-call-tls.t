# TLS of outgoing calls: which servers are trusted, by which directives.

use lib '.';
use t::ProxyWasm;
use File::Temp ();
use ProxyWasm::Certificates ();
use ProxyWasm::LuaSetup;

my $certs = File::Temp->newdir;
chmod 0755, $certs;
ProxyWasm::Certificates->new("$certs")
    ->issue('good', 'DNS:good.test,IP:127.0.0.1')
    ->issue('expired', 'DNS:expired.test', expired => 1);
my $port = free_port();

sub script {
    my ($host, $authority) = @_;
    return <<"SCRIPT";
{"on_request_headers": [
    ["http_call", "$host", [[":method", "GET"], [":scheme", "https"], [":authority", "$authority"], [":path", "/p"]]],
    {"if": ["eq", "\${status}", "OK"], "then": [["return", "pause"]], "else": [["send_local_response", 500, "\${status}"]]}],
 "on_http_call_response": [
    ["get_buffer_bytes", "call_response_body"],
    ["send_local_response", 200, "\${last}"]]}
SCRIPT
}

sub location {
    my ($path, @called) = @_;
    return "location $path { proxy_wasm hostcalls '@{[script(@called)]}'; }\n";
}

sub lua_location {
    my ($path, @called) = @_;
    return "location $path { access_by_lua_block { "
        . "assert(wasm.on_http_request_headers(configured('hostcalls', [=[@{[script(@called)]}]=]))) } }\n";
}

my $servers = join '', map { <<"CONF" } qw(good expired);
    server {
        listen 127.0.0.1:$port ssl;
        server_name $_.test;
        ssl_certificate $certs/$_.crt;
        ssl_certificate_key $certs/$_.key;
        return 200 "$_ by \$ssl_server_name";
    }
CONF

my %options = (
    http_config => "wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls.wasm;\n$servers",
    config      => location('/good', "127.0.0.1:$port", 'good.test')
        . location('/address', "127.0.0.1:$port", '127.0.0.1')
        . location('/long', "127.0.0.1:$port", 'abc.' x 64 . 'org')
        . location('/long-label', "127.0.0.1:$port", 'a' x 64 . '.org')
        . location('/expired', "127.0.0.1:$port", 'expired.test')
        . location('/mismatch', "127.0.0.1:$port", 'other.test')
        . location('/cleartext', "127.0.0.1:\$TEST_NGINX_SERVER_PORT", 'good.test'),
);

subtest 'certificates are checked by a file of trusted ones' => sub {
    my $s = start_nginx(%options, http_config => "wasm_ssl_trusted_certificate $certs/ca.crt;\n$options{http_config}");
    is $s->get('/good')->{body}, 'good by good.test', 'a good certificate';
    is $s->get('/good')->{body}, 'good by good.test', 'on a kept connection';
    is $s->get('/address')->{body}, 'good by ', 'a certificate for an address';
    like $s->get('/mismatch')->{body}, qr/headers: certificate host mismatch/, 'a certificate of another name';
    ok $s->wait_for_log(qr{http call failed: certificate host mismatch, uri: https://127.0.0.1:$port/p}), 'is told';
    like $s->get('/expired')->{body}, qr/headers: certificate verify failed: certificate has expired/, 'an expired certificate';
    ok $s->wait_for_log(qr/http call failed: certificate verify failed: certificate has expired/), 'is told';
    like $s->get('/cleartext')->{body}, qr/headers: TLS handshake failed/, 'a server without TLS';
    ok $s->wait_for_log(qr/http call failed: TLS handshake failed/), 'is told';
    is $s->get("/$_")->{body}, 'BAD_ARGUMENT', "$_: no server can be asked for by such a name" for qw(long long-label);
    # The line is the same for both, and so written once.
    like $s->error_log, qr/http call gets invalid header: :authority/, 'which is told';
    # nginx says it as crit where its OpenSSL, from 3.5 on, has a reason that nginx does not know.
    $s->stop(allow => [qr/\[crit\].* SSL_do_handshake\(\) failed .*record layer failure/]);
};

subtest 'without one, by those of the system' => sub {
    my $s = start_nginx(%options);
    like $s->get('/good')->{body}, qr/headers: certificate verify failed/, 'nobody knows the authority';
    ok $s->wait_for_log(qr/http call failed: certificate verify failed: unable to get local issuer certificate/), 'which is told';
    $s->stop;
};

subtest 'or not at all' => sub {
    my $s = start_nginx(%options, http_config => "wasm_ssl_verify off;\n$options{http_config}");
    is $s->get('/mismatch')->{body}, 'good by other.test', 'any name';
    is $s->get('/expired')->{body}, 'expired by expired.test', 'any time';
    $s->stop;
};

# Lua's own directives, which APISIX writes; the module's do not count there, but for wasm_ssl_verify.
sub start_lua {
    my ($directives) = @_;
    return start_nginx(
        http_config => join('', $directives, ProxyWasm::LuaSetup::resty_http(), $ProxyWasm::LuaSetup::WASM_VM,
            $ProxyWasm::LuaSetup::INIT_WORKER, $servers),
        config => join '', map { lua_location(@$_) } ['/good', "127.0.0.1:$port", 'good.test'],
            ['/expired', "127.0.0.1:$port", 'expired.test'], ['/mismatch', "127.0.0.1:$port", 'other.test'],
    );
}

subtest 'calls through resty.http are checked as Lua says' => sub {
    my $s = start_lua("lua_ssl_trusted_certificate $certs/ca.crt;\n");
    is $s->get('/good')->{body}, 'good by good.test', 'a good certificate';
    is $s->get('/good')->{body}, 'good by good.test', 'on a kept connection';
    is $s->get('/mismatch')->{body}, '', 'a certificate of another name';
    ok $s->wait_for_log(qr{http call failed: certificate host mismatch, uri: https://127.0.0.1:$port/p}), 'is told';
    is $s->get('/expired')->{body}, '', 'an expired certificate';
    ok $s->wait_for_log(qr/http call failed: 10: certificate has expired/), 'is told';
    $s->stop;

    $s = start_lua("wasm_ssl_trusted_certificate $certs/ca.crt;\n");
    is $s->get('/good')->{body}, '', 'without lua_ssl_trusted_certificate nobody is trusted';
    ok $s->wait_for_log(qr/http call failed: (?:20: unable to get local issuer certificate|18: self.signed|certificate)/), 'which is told';
    $s->stop;
};

subtest 'or not at all, either' => sub {
    my $s = start_lua("wasm_ssl_verify off;\n");
    is $s->get('/mismatch')->{body}, 'good by other.test', 'any name';
    is $s->get('/expired')->{body}, 'expired by expired.test', 'any time';
    $s->stop;
};

done_testing;
