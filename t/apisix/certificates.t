# TLS of the calls that a plugin of APISIX makes: by resty.http, which APISIX brings, and by this module's own client.

use lib '.';
use t::ProxyWasm;
use File::Temp ();
use ProxyWasm::Apisix;
use ProxyWasm::Certificates ();

my $certs = File::Temp->newdir;
chmod 0755, $certs;
ProxyWasm::Certificates->new("$certs")->issue('good', 'DNS:good.test');
my $port = free_port();

sub route {
    my ($id, $authority) = @_;
    my $script = <<"SCRIPT";
{"on_request_headers": [["http_call", "127.0.0.1:$port", [[":scheme", "https"], [":authority", "$authority"], [":path", "/p"]]]],
 "on_http_call_response": [["add_header_map_value", "request", "x-seen", "\${num_headers}"]]}
SCRIPT
    return { id => $id, uri => "/$id", plugins => { hostcalls => { conf => $script } } };
}

my $http_config = <<"CONF";
    lua_ssl_trusted_certificate $certs/ca.crt;
    wasm_ssl_trusted_certificate $certs/ca.crt;
    server {
        listen 127.0.0.1:$port ssl;
        ssl_certificate $certs/good.crt;
        ssl_certificate_key $certs/good.key;
        return 200 "called";
    }
CONF

my %clients = ('resty.http' => [resty_http => 1], 'the own client' => []);

for my $client (sort keys %clients) {
    subtest $client => sub {
        my $s = start_nginx(gateway(
            @{ $clients{$client} },
            http_config => $http_config,
            apisix_yaml => { routes => [route(good => 'good.test'), route(other => 'other.test')] },
        ));
        like $s->get('/good')->{body}, qr/x-seen: [1-9]/, 'a good certificate';
        like $s->get('/other')->{body}, qr/x-seen: 0/, 'one of another name: the request goes on, without an answer';
        ok $s->wait_for_log(qr{http call failed: certificate host mismatch, uri: https://127\.0\.0\.1:$port/p}), 'is told';
        $s->stop;
    };
}

done_testing;
