# examples/grafana-dashboard.json: what it shows is what wasm_metrics serves.

use lib '.';
use t::ProxyWasm;
use JSON::PP ();

open my $file, '<', 'examples/grafana-dashboard.json' or die $!;
my $dashboard = JSON::PP::decode_json(do { local $/; <$file> });
my @panels = @{ $dashboard->{panels} };

my $s = start_nginx(
    http_config => 'wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm;',
    config      => 'location /t { proxy_wasm rust x; return 204; } location = /metrics { wasm_metrics; }',
);
my $page = $s->get('/metrics')->{body};
$s->stop;
my %metrics = map { $_ => 1 } $page =~ /^# TYPE (\w+)/mg;

my @expressions = ((map { $_->{expr} } map { @{ $_->{targets} } } @panels),
    map { ref $_->{query} ? $_->{query}{query} : () } @{ $dashboard->{templating}{list} });
my %shown = map { $_ => 1 } map { /\b(proxy_wasm_\w+)/g } @expressions;
is join(' ', grep { !$metrics{$_} } sort keys %shown), '', 'every metric it shows is served';
is join(' ', grep { !$shown{$_} } sort grep { /^proxy_wasm_/ } keys %metrics), '', 'every metric of the module is shown';

my %labels = map { $_ => 1 } 'instance', $page =~ /[{,](\w+)="/g;
my @labels = map { /by \(([\w, ]+)\)/g, /\{(\w+)=~/g, /, (\w+)=~/g } @expressions;
is join(' ', grep { !$labels{$_} } map { split /, / } @labels), '', 'every label it asks for is there';

my (%ids, %cells);
$ids{ $_->{id} }++ for @panels;
is scalar keys %ids, scalar @panels, 'panels have ids of their own';
for my $p (map { $_->{gridPos} } @panels) {
    for my $x ($p->{x} .. $p->{x} + $p->{w} - 1) {
        $cells{"$x,$_"}++ for $p->{y} .. $p->{y} + $p->{h} - 1;
    }
}
is_deeply [grep { $cells{$_} > 1 } keys %cells], [], 'no panel lies on another';
is_deeply [grep { /^(\d+)/ && $1 > 23 } keys %cells], [], 'nor beside the grid';

done_testing;
