# Attributes of Envoy's that a request has beyond those of properties_well_known.t: certificates, maps, upstreams, the node.

use lib '.';
use t::ProxyWasm;
use File::Temp ();
use ProxyWasm::Certificates ();
use ProxyWasm::Scripted;

my $dir = File::Temp->newdir;
chmod 0755, $dir;
ProxyWasm::Certificates->new("$dir")->issue('server', 'DNS:server.test,URI:spiffe://a/server')
    ->issue('client', 'IP:10.0.0.1,URI:spiffe://a/client,URI:spiffe://a/other,DNS:client.test');
my ($tls, $up, $dead) = (free_port(), free_port(), free_port());

sub get { return join ', ', map { my $segments = join ', ', map { qq("$_") } split /\//; qq(["get_property", $segments]) } @_ }
sub in { my ($callback, @paths) = @_; return "{\"on_$callback\": [" . get(@paths) . ']}' }
sub number { return join '', map { sprintf '\\x%02x', $_ } unpack 'C8', pack 'q<', $_[0] }

my @certificates = map { my $of = $_; map { "$of/$_" } qw(subject_local_certificate subject_peer_certificate dns_san_local_certificate
    dns_san_peer_certificate uri_san_local_certificate uri_san_peer_certificate sha256_peer_certificate_digest tls_version) } qw(connection upstream);
my @maps = qw(request/headers response/headers response/trailers request/headers/x-twice response/headers/x-up);
my @upstream = qw(upstream/address upstream/request_attempt_count upstream/local_address upstream/transport_failure_reason
    upstream/num_endpoints response/flags response/code_details response/grpc_status xds/cluster_name xds/route_name cluster_name
    xds/virtual_host_name xds/listener_direction xds/route_metadata metadata ngx/uri x_request_id connection_id);
my @node = qw(node/id node/cluster node/locality/zone node/metadata/LABEL xds/node/id node);

my $s = start_nginx(
    http_config => scripted() . <<"CONF",
    wasm_node id=edge-1 zone=a metadata.LABEL=x;
    upstream two { server 127.0.0.1:$dead; server 127.0.0.1:$up backup; }
    server {
        listen 127.0.0.1:$tls ssl;
        ssl_certificate $dir/server.crt; ssl_certificate_key $dir/server.key;
        ssl_client_certificate $dir/ca.crt; ssl_verify_client optional_no_ca;
        location / { return 200 "tls"; }
        location /client { proxy_wasm hostcalls '${\ in(request_headers => grep { /^conn/ } @certificates)}'; return 200 "tls"; }
    }
    server { listen 127.0.0.1:$up; location / { add_header X-Up a; add_header X-Up b; return 200 "up"; } }
CONF
    config => <<"CONF",
    location /calls { proxy_ssl_certificate $dir/client.crt; proxy_ssl_certificate_key $dir/client.key; proxy_pass https://127.0.0.1:$tls/client; }
    location /to-tls { proxy_ssl_certificate $dir/client.crt; proxy_ssl_certificate_key $dir/client.key; proxy_pass https://127.0.0.1:$tls/;
        proxy_wasm hostcalls '${\ in(response_headers => grep { /^up/ } @certificates)}'; }
    location /maps { proxy_pass http://two/; proxy_wasm hostcalls '${\ in(response_headers => @maps)}'; }
    location /upstream { proxy_pass http://two/; proxy_wasm hostcalls '${\ in(response_headers => @upstream)}'; }
    location /route { proxy_pass http://two/; proxy_wasm hostcalls '${\ in(request_headers => qw(xds/cluster_name cluster_name))}'; }
    location /route-grpc { grpc_pass two; proxy_wasm hostcalls '${\ in(request_headers => qw(cluster_name))}'; }
    location /route-host { proxy_pass http://127.0.0.1:$up/; proxy_wasm hostcalls '${\ in(request_headers => qw(cluster_name))}'; }
    location /dead { proxy_pass http://127.0.0.1:$dead/; proxy_wasm hostcalls '${\ in(log => @upstream)}'; }
    location /local { proxy_wasm hostcalls '{"on_request_headers": [["send_local_response", 403, "no", [], "who are you"]],
        "on_log": [${\ get('response/code_details')}]}'; }
    location /node { proxy_wasm hostcalls '{"on_configure": [${\ get(@node)}], "on_request_headers": [${\ get('node/id')}]}'; return 200 ok; }
CONF
);

# What a request's properties are, by their paths.
sub properties {
    my ($path, %o) = @_;
    my $at = length $s->error_log;
    $s->get($path, @{ $o{headers} // [] });
    my $log;
    $s->_wait(sub { ($log = substr $s->error_log, $at) =~ /get_property $o{last} -> / }) if $o{last};
    my %found;
    $found{ $1 =~ tr{ }{/}r } = $2 while $log =~ /get_property (.*?) -> (.*?)(?: while [\w ]+)?(?:, client: .*)?$/mg;
    return \%found;
}

my $client = properties('/calls', last => 'connection tls_version');
my $digest = qr/^OK [0-9a-f]{64}$/;
is $client->{'connection/subject_local_certificate'}, 'OK CN=server', 'the certificate of this end: its subject';
is $client->{'connection/dns_san_local_certificate'}, 'OK server.test', 'its DNS name';
is $client->{'connection/uri_san_local_certificate'}, 'OK spiffe://a/server', 'its URI';
is $client->{'connection/subject_peer_certificate'}, 'OK CN=client', 'the certificate of the client: its subject';
is $client->{'connection/dns_san_peer_certificate'}, 'OK client.test', 'its DNS name';
is $client->{'connection/uri_san_peer_certificate'}, 'OK spiffe://a/client', 'the first of its URIs';
like $client->{'connection/sha256_peer_certificate_digest'}, $digest, 'its digest';

my $server = properties('/to-tls', last => 'upstream tls_version');
is $server->{'upstream/subject_local_certificate'}, 'OK CN=client', 'of an upstream, too';
is $server->{'upstream/subject_peer_certificate'}, 'OK CN=server', 'the other end';
is $server->{'upstream/uri_san_peer_certificate'}, 'OK spiffe://a/server', 'its URI';
like $server->{'upstream/tls_version'}, qr/^OK TLSv1\.\d$/, 'and the version of TLS';
like $server->{'upstream/sha256_peer_certificate_digest'}, $digest, 'the digest';

my $maps = properties('/maps', last => 'response headers x-up', headers => ['X-Twice' => 1, 'X-Twice' => 2]);
is $maps->{'request/headers/x-twice'}, 'OK 1,2', 'fields of one name are joined';
is $maps->{'response/headers/x-up'}, 'OK a,b', 'those of a response, too';
like $maps->{'request/headers'}, qr/x-twice\\x001\\x00x-twice\\x002\\x00.*:path\\x00/, 'a whole map';
like $maps->{'response/headers'}, qr/:status\\x00200\\x00$/, 'that of the response';
is $maps->{'response/trailers'}, 'OK \x00\x00\x00\x00', 'one that is empty';

my $of_upstream = properties('/upstream', last => 'connection_id');
my %expected = (
    'upstream/address' => "OK 127.0.0.1:$up", 'upstream/num_endpoints' => 'OK ' . number(2), 'upstream/transport_failure_reason' => 'OK ""',
    'response/flags' => 'OK ' . number(0), 'response/code_details' => 'OK via_upstream', 'response/grpc_status' => 'OK ' . number(2),
    'xds/cluster_name' => 'OK two', cluster_name => 'OK two', 'xds/route_name' => 'OK /upstream', 'xds/listener_direction' => 'OK ' . number(0),
    'xds/route_metadata' => 'OK ""', metadata => 'OK ""', 'ngx/uri' => 'OK /upstream',
);
is $of_upstream->{$_}, $expected{$_}, $_ for sort keys %expected;
like $of_upstream->{'upstream/local_address'}, qr/^OK 127\.0\.0\.1:\d+$/, 'upstream/local_address';
like $of_upstream->{x_request_id}, qr/^OK [0-9a-f]{32}$/, 'x_request_id';

my $route = properties('/route', last => 'cluster_name');
is $route->{$_}, 'OK two', "$_ before the request is passed on" for qw(xds/cluster_name cluster_name);
is properties('/route-grpc', last => 'cluster_name')->{cluster_name}, 'OK two', 'also to a server of gRPC';
is properties('/route-host', last => 'cluster_name')->{cluster_name}, 'NOT_FOUND', 'and not yet, if the location names no upstream block';

my $failed = properties('/dead', last => 'connection_id');
is $failed->{'response/flags'}, 'OK  \x00\x00\x00\x00\x00\x00\x00', 'no connection: its flag';
is $failed->{'response/code_details'}, 'OK upstream_reset_before_response_started{connection_failure}', 'its details';
is $failed->{'upstream/transport_failure_reason'}, 'OK connection failure', 'its reason';
is $failed->{'response/grpc_status'}, 'OK ' . number(14), 'and its status in gRPC';
is properties('/local', last => 'response code_details')->{'response/code_details'}, 'OK who are you', 'the details of a local response';

my $log = $s->error_log;
like $log, qr/get_property node \Q$_\E/, "node $_" for 'id -> OK edge-1', 'cluster -> OK ""', 'locality zone -> OK a', 'metadata LABEL -> OK x';
like $log, qr/get_property xds node id -> OK edge-1/, 'and behind xds';
like $log, qr/get_property node -> OK \\n\\x06edge-1/, 'and the whole';
is properties('/node', last => 'node id')->{'node/id'}, 'OK edge-1', 'in a request, too';

$s->stop;
done_testing;
