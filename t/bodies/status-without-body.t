# A plugin gives a response a status that has no body, when the body has come already: none of it is sent, or it would be taken
# for the next response.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Upstream qw(upstream);

my $proxied = 'proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT';

sub status {
    my ($status, $change) = @_;
    $change //= '["echo", "unchanged"]';
    return qq{proxy_wasm hostcalls '{"on_response_body": [["replace_header_map_value", "response", ":status", "$status"], $change]}';};
}

my $change = '["set_buffer_bytes", "response_body", "changed"]';
my $s = start_nginx(
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;' . upstream(),
    config      => <<"E",
    location /204 { @{[status(204)]} $proxied/headers; }
    location /204/changed { @{[status(204, $change)]} $proxied/headers; }
    location /204/pieces { @{[status(204)]} proxy_buffering off; proxy_http_version 1.1; $proxied/pieces; }
    location /304 { @{[status(304)]} $proxied/headers; }
    location /plain { return 200 plain; }
E
);

for my $path (qw(/204 /204/changed /204/pieces /304)) {
    my $connection = $s->connect;
    my ($expected) = $path =~ m{^/(\d+)};
    my $response = $connection->request('GET', $path);
    is $response->{status}, $expected, "$path: the status";
    is $connection->request('GET', '/plain')->{body}, 'plain', "$path: the next response on the connection";
}

$s->stop;
done_testing;
