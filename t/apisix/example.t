# examples/apisix: its two files do what its README says.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Apisix;

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or die "$path: $!\n";
    local $/;
    return scalar <$in>;
}

my $config = slurp('examples/apisix/config.yaml');
my $apisix = slurp('examples/apisix/apisix.yaml');
my ($snippet) = $config =~ /^  http_configuration_snippet: \|\n((?:    .*\n)+)/m;

# Where the plugins, the cache and the servers are in a test.
$config =~ s{/opt/ngx-proxy-wasm/plugins/}{}g;
$apisix =~ s{127\.0\.0\.1:1980}{127.0.0.1:$ENV{TEST_NGINX_UPSTREAM_PORT}}g;
my $pages = free_port();
$snippet =~ s/127\.0\.0\.1:9093/127.0.0.1:$pages/ or die 'config.yaml has no port for the pages';
$snippet =~ s{wasm_cache +/usr/local/apisix/wasm_cache;}{wasm_cache \$TEST_NGINX_HTML_DIR/modules;} or die 'config.yaml has no cache';

like slurp('examples/apisix/Dockerfile'), qr{/opt/ngx-proxy-wasm/plugins}, 'the image has the plugins where config.yaml wants them';
like $config, qr{load_module /usr/local/openresty/nginx/modules/ngx_http_proxy_wasm_module\.so;}, 'and config.yaml loads the module from where it is installed';

my $s = start_nginx(gateway(
    config_yaml => $config,
    apisix_yaml => $apisix,
    http_config => $snippet,
    upstream    => 'location = /auth { if ($http_authorization = "open sesame") { return 200; } return 401; }',
));

# Each of these files is compiled once, in a cache of the test's own.
my $fault = $s->request(GET => '/fault', timeout => 120);
is $fault->{status}, 401, 'fault-injection answers';
is $fault->{body}, 'HIT', 'with its body';
ok $s->wait_for_log(qr/run plugin ctx 1 with conf every request in http ctx 2/), 'log sees it';

is $s->get('/private')->{status}, 403, 'forward-auth refuses';
is $s->get('/private', Authorization => 'open sesame')->{status}, 200, 'or lets pass';

like $s->request(POST => '/upload', body => 'hello, world')->{body}, qr/hello, world$/, 'request-body lets the body pass';
ok $s->wait_for_log('request get body: hello, wor'), 'and logs it';

my $rewritten = $s->get('/rewritten');
is $rewritten->{body}, 'rewritten', 'response-rewrite replaces the body';
is $rewritten->{headers}{'x-served-by'}, 'wasm', 'and sets a field';

is_deeply [map { $s->get($_)->{status} } '/limited', '/limited/too', '/limited', '/limited/too'], [200, 200, 200, 429],
    'rate-limit counts over the routes of a service';

my $status = ProxyWasm::Connection->new(port => $pages, timeout => 10);
$status->send_request(GET => '/status', close => 1);
is scalar(() = $status->read_response->{body} =~ /"name":/g), 6, 'the status page lists the plugins';

$s->stop;
done_testing;
