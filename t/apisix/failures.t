# What clients see of plugins that fail or refuse, request after request, as APISIX has it: a 503 while it lasts.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Apisix;

sub route {
    my ($plugin, $conf) = @_;
    return <<"YAML";
routes:
  - id: 1
    uri: /t
    plugins:
      $plugin:
        conf: '$conf'
  - id: 2
    uri: /next
    plugins:
      log:
        conf: blah
YAML
}

my @cases = (
    {   name => 'an empty configuration',
        route => ['log', ''],
        error => qr/log: failed to fetch wasm plugin ctx: bad conf/,
    },
    {   name => 'a configuration that the plugin refuses',
        route => ['fault-injection', '{"http_status": 1}'],
        error => qr/fault-injection: failed to fetch wasm plugin ctx: failed to run proxy_on_configure/,
    },
    {   name => 'a trap in request headers',
        route => ['hostcalls', '{"on_request_headers": [["trap"]]}'],
        error => qr/hostcalls: failed to run wasm plugin: failed to run proxy_on_http_request_headers/,
    },
    {   name => 'a trap in the request body',
        route => ['hostcalls', '{"on_request_headers": [["set_property", "wasm_process_req_body", "1"]], "on_request_body": [["trap"]]}'],
        error => qr/hostcalls: failed to run wasm plugin: failed to run proxy_on_http_request_body/,
    },
    {   name => 'a panic of the SDK',
        route => ['rust-headers', 'blah'], headers => ['X-Panic' => 1],
        error => qr/rust-headers: failed to run wasm plugin: failed to run proxy_on_http_request_headers/,
        allow => [qr/panicked at|the request asked for it/],
    },
    {   name => 'a result that is no action',
        route => ['hostcalls', '{"on_request_headers": [["return", 42]]}'],
        error => qr/hostcalls: failed to run wasm plugin: failed to run proxy_on_http_request_headers/,
    },
);

for my $case (@cases) {
    subtest $case->{name} => sub {
        my $s = start_nginx(gateway(apisix_yaml => route(@{ $case->{route} })));
        my @worker = $s->worker_pids;
        for (1 .. 2) {
            is $s->request(GET => '/t', headers => $case->{headers}, body => $case->{body})->{status}, 503, 'answer';
        }
        ok $s->wait_for_log($case->{error}), 'why';
        is $s->get('/next')->{status}, 200, 'other routes are served';
        is $s->request(PUT => '/apisix', body => resources(route('fault-injection', '{"http_status": 418}')))->{status}, 200, 'the route is mended';
        is $s->get('/t')->{status}, 418, 'and its plugin runs';
        is_deeply [$s->worker_pids], \@worker, 'by the same worker';
        $s->stop(allow => $case->{allow});
    };
}

done_testing;
