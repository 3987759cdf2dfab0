# examples/grafana-dashboard.json: what it shows is what wasm_metrics serves, in the form that Grafana imports.

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

# What has to be there for Grafana to import and draw it; not all that it may have.
is join(' ', grep { !defined $dashboard->{$_} } qw(uid title schemaVersion time templating panels)), '', 'the dashboard is whole';
for my $p (@panels) {
    like $p->{type}, qr/^(?:stat|timeseries)$/, "$p->{title}: a kind of panel that Grafana has";
    is join(' ', grep { !defined $p->{$_} } qw(id title datasource gridPos fieldConfig options targets)), '', "$p->{title}: is whole";
    like $p->{fieldConfig}{defaults}{unit}, qr/^(?:bytes|percentunit|reqps|s|short)$/, "$p->{title}: a unit that Grafana has";
    my %refs = map { $_->{refId} => 1 } @{ $p->{targets} };
    is scalar keys %refs, scalar @{ $p->{targets} }, "$p->{title}: queries have names of their own";
    for my $query (@{ $p->{targets} }) {
        my %kept = map { $_ => 1 } map { split /, / } $query->{expr} =~ /by \(([\w, ]+)\)/g;
        is join(' ', grep { !$kept{$_} } $query->{legendFormat} =~ /\{\{(\w+)\}\}/g), '', "$p->{title}: its legend names labels it has";
        is $query->{expr} =~ tr/([{//, $query->{expr} =~ tr/)]}//, "$p->{title}: brackets are closed";
    }
}

my %variable = map { $_ => 1 } qw(__range __rate_interval), map { $_->{name} } @{ $dashboard->{templating}{list} };
my @asked = map { /\$\{?(\w+)/g } @expressions, map { $_->{datasource}{uid} // () } @panels, map { @{ $_->{targets} } } @panels;
is join(' ', grep { !$variable{$_} } @asked), '', 'every variable it asks for is there';

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
