# proxy_set_upstream_override_host where the block's balancer wants to be told of the response's header (sticky learn … header): the
# chosen server is none of the balancer's.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Skip qw(nginx_info);

plan skip_all => 'nginx has no such balancer' if nginx_info()->{version} < 1_029_006;

my ($one, $two, $dead) = map { free_port() } 1 .. 3;
my $learn = 'sticky learn create=$upstream_cookie_session lookup=$cookie_session zone=';
my $s     = start_nginx(
    http_config => <<"CONF",
    wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls-0-2-100.wasm;
    upstream learns { zone l 64k; server 127.0.0.1:$one; server 127.0.0.1:$two; $learn\learned:64k header; }
    upstream fails  { zone f 64k; server 127.0.0.1:$dead; server 127.0.0.1:$two; $learn\failed:64k header; }
    server { listen 127.0.0.1:$one; add_header Set-Cookie session=one; location / { return 200 one; } }
    server { listen 127.0.0.1:$two; add_header Set-Cookie session=two; location / { return 200 two; } }
CONF
    config => join '', map { <<"CONF" } qw(learns fails),
    location = /$_ {
        proxy_wasm hostcalls '{"on_request_headers": [{"op": "get_header_map_value", "args": ["request", "x-host"], "as": "host"},
            ["set_upstream_override_host", "\${host}"]]}';
        proxy_pass http://$_/;
    }
CONF
);
my ($worker) = $s->worker_pids;
for my $case ([$one => 'one'], [$two => 'two']) {
    my ($port, $name) = @$case;
    is join(' ', map { $s->get('/learns', 'X-Host' => "127.0.0.1:$port")->{body} } 1 .. 3), "$name $name $name", "the chosen server answers: $name";
}
is $s->get('/learns', 'X-Host' => 'none', Cookie => 'session=none')->{status}, 200, 'the balancer still works';
is $s->get('/fails', 'X-Host' => "127.0.0.1:$dead")->{body}, 'two', 'also where the chosen server fails, and it is told of another';
is $s->get('/fails', 'X-Host' => 'none', Cookie => 'session=two')->{body}, 'two', 'which it has learned';
is_deeply [$s->worker_pids], [$worker], 'the worker lives';
$s->stop(allow => [qr/connect\(\) failed|temporarily disabled/]);

done_testing;
