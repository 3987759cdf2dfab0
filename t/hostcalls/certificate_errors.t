# Certificates that OpenSSL cannot read all of, and keys and signatures that are wrong: nginx finds no error of OpenSSL's that is not its own.

use lib '.';
use t::ProxyWasm;
use File::Temp ();
use ProxyWasm::Certificates ();
use ProxyWasm::Message qw(message);
use ProxyWasm::Scripted;

my $dir = File::Temp->newdir;
chmod 0755, $dir;
# The name is longer than the extension.
ProxyWasm::Certificates->new("$dir")->issue('bad', 'DER:30:03:82:05:61');
my $tls = free_port();

my ($public, $private) = map { scalar `openssl pkey -in $dir/bad.key $_ -outform DER` || die "openssl: $!" } '-pubout', '';
my $signatures = join ', ', map { qq(["call_foreign_function", "$_->[0]", $_->[1]]) } [verify_signature => message(1 => 'sha256', 2 => 'no key', 3 => 'a', 4 => 'b')],
    [verify_signature => message(1 => 'sha256', 2 => $public, 3 => 'a' x 256, 4 => 'b')], [verify_signature => message(1 => 'sha256', 5 => 'no key', 3 => 'a', 4 => 'b')],
    [sign => message(1 => 'sha256', 2 => $public, 3 => 'a')], [sign => message(1 => 'sha256', 4 => "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 3 => 'a')];

sub get {
    my ($of, $side) = @_;
    return join ', ', map { qq(["get_property", "$of", "${_}_${side}_certificate"]) } qw(subject dns_san uri_san);
}

my $s = start_nginx(
    http_config => scripted() . <<"CONF",
    server {
        listen 127.0.0.1:$tls ssl;
        ssl_certificate $dir/bad.crt; ssl_certificate_key $dir/bad.key;
        ssl_verify_client optional_no_ca;
        location /signatures { proxy_wasm hostcalls conf_file=html/signatures; return 200 signatures; }
        location / { proxy_wasm hostcalls '{"on_request_headers": [${\ get(connection => 'local')}], "on_log": [${\ get(connection => 'peer')}]}'; return 200 tls; }
    }
CONF
    config => <<"CONF",
    location /t {
        proxy_ssl_certificate $dir/bad.crt; proxy_ssl_certificate_key $dir/bad.key;
        proxy_wasm hostcalls '{"on_response_headers": [${\ get(upstream => 'peer')}], "on_log": [${\ get(upstream => 'local')}]}';
        proxy_pass https://127.0.0.1:$tls/;
    }
    location /signatures { proxy_pass https://127.0.0.1:$tls; }
CONF
    user_files => [[signatures => qq({"on_request_headers": [$signatures]})]],
);
for my $round (1 .. 3) { is $s->get('/t')->{body}, 'tls', "request $round" }
for my $name ('connection dns_san_local', 'connection uri_san_local', 'upstream dns_san_peer', 'upstream uri_san_peer') {
    ok $s->wait_for_log(qr/get_property ${name}_certificate -> NOT_FOUND/, count => 3), "$name: not found";
}
ok $s->wait_for_log(qr/get_property upstream subject_peer_certificate -> OK CN=bad/), 'what can be read is';
is $s->get('/signatures')->{body}, 'signatures', "signatures $_" for 1 .. 3;
ok $s->wait_for_log(qr/call_foreign_function (?:sign|verify_signature) .* -> (?:BAD_ARGUMENT|OK .*Failed to verify)/, count => 15), 'that are wrong';
my @errors = $s->error_log =~ /stale global SSL error \(SSL: (.*?)\)/g;
# nginx itself leaves an error of the handshake.
is_deeply [grep { !/^error:\w+:X509 V3 routines::invalid certificate$/ } @errors], [], 'and nginx finds no error of it';

$s->stop(allow => [qr/stale global SSL error/]);
done_testing;
