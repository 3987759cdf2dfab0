# wasm_metrics, and metrics() of the Lua library: what Prometheus' own parser makes of the page.

use lib '.';
use t::ProxyWasm;
use File::Temp ();

# Debian's package is for Debian's Python.
my ($python) = grep { system("$_ -c 'import prometheus_client.parser' 2>/dev/null") == 0 } qw(/usr/bin/python3 python3);
Test::More::plan(skip_all => 'no prometheus_client for Python') if !$python;

my $s = start_nginx(
    lua         => 1,
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;',
    config      => <<'E',
    location /t {
        proxy_wasm hostcalls '{
            "on_configure": [
                {"op": "define_metric", "args": ["counter", "reporter=.=a b;.;le=.=x;.;code=.=200;.;requests"], "as": "requests"},
                {"op": "define_metric", "args": ["gauge", "my.level-now"], "as": "level"},
                {"op": "define_metric", "args": ["histogram", "9lives ms"], "as": "lives"},
                {"op": "define_metric", "args": ["counter", {"hex": "ff0a220001"}], "as": "odd"},
                {"op": "define_metric", "args": ["gauge", "9lives_ms_sum"], "as": "clash"}
            ],
            "on_request_headers": [
                ["increment_metric", "${requests}", 2],
                ["increment_metric", "${level}", -5],
                ["record_metric", "${lives}", 9],
                ["record_metric", "${lives}", 4000000],
                ["send_local_response", 200, "ok"]
            ]
        }';
    }
    location /trap { proxy_wasm hostcalls '{"on_request_headers": [["trap"]]}'; }
    location = /metrics { wasm_metrics; }
    location = /lua { content_by_lua_block { ngx.print(require("resty.proxy-wasm").metrics()) } }
E
);

my $parser = <<'P';
import sys
from prometheus_client.parser import text_string_to_metric_families
seen = set()
for family in text_string_to_metric_families(open(sys.argv[1], encoding="utf-8", newline="\n").read()):
    assert family.documentation and family.type != "unknown", family
    print(family.type, family.name)
    for sample in family.samples:
        labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
        series = f"{sample.name}{{{labels}}}"
        assert series not in seen, series
        seen.add(series)
        print(f"{series} {sample.value:g}")
P

# Each family as "TYPE NAME" and each sample as "NAME{LABEL=VALUE,…} NUMBER", if Prometheus' parser takes the page.
sub parsed {
    my ($text) = @_;
    my $file = File::Temp->new;
    print $file $text;
    close $file;
    open my $output, '-|', $python, '-c', $parser, $file->filename or die "$python: $!";
    chomp(my @lines = <$output>);
    ok close $output, 'is a valid page' or diag $text;
    return { map { $_ => 1 } @lines };
}

sub has {
    my ($page, $line) = @_;
    ok $page->{$line}, $line or diag join "\n", sort keys %$page;
}

$s->get('/t') for 1 .. 3;
my $res = $s->get('/metrics');
is $res->{status}, 200, 'status';
is $res->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8', 'content type';
is $s->request('HEAD', '/metrics')->{body}, '', 'HEAD';
is $s->post('/metrics', 'x')->{status}, 405, 'nothing else';

my $page = parsed($res->{body});
has($page, $_) for (
    'counter requests',
    'requests_total{code=200,exported_le=x,plugin=hostcalls,reporter=a b} 6',
    'gauge my_level_now',
    'my_level_now{plugin=hostcalls} -15',
    'histogram _9lives_ms',
    '_9lives_ms_bucket{le=5,plugin=hostcalls} 0',
    '_9lives_ms_bucket{le=10,plugin=hostcalls} 3',
    '_9lives_ms_bucket{le=+Inf,plugin=hostcalls} 6',
    '_9lives_ms_count{plugin=hostcalls} 6',
    'proxy_wasm_requests_total{plugin=hostcalls} 3',
    'proxy_wasm_starts_total{plugin=hostcalls} 1',
    'proxy_wasm_failures_total{plugin=hostcalls} 0',
);
ok +(grep { /^proxy_wasm_memory_bytes\{plugin=hostcalls,worker=0\} [1-9]/ } keys %$page), 'memory';
has($page, 'proxy_wasm_instances{plugin=hostcalls,worker=0} 1');
ok +(grep { /^proxy_wasm_guest_seconds_total\{plugin=hostcalls\} [0-9.e-]+$/ } keys %$page), 'time';
ok +(grep { /^proxy_wasm_loads_total\{from=(?:compiler|cache),plugin=hostcalls\} 1$/ } keys %$page), 'loads';

is $s->get('/trap')->{status}, 503, 'a trap';
$s->get('/t');
my $after = parsed($s->get('/metrics')->{body});
has($after, 'proxy_wasm_failures_total{plugin=hostcalls} 1');
has($after, 'proxy_wasm_restarts_total{plugin=hostcalls} 1');

my $lua = parsed($s->get('/lua')->{body});
has($lua, 'my_level_now{plugin=hostcalls} -20');

$s->stop(allow => [qr/failed to call function/, qr/unreachable/]);
done_testing;
