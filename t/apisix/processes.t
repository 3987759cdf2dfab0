# What loaded plugins cost a process: APISIX loads every plugin in each worker, and in a privileged agent that serves nothing, whether
# a route uses it or not. The agent is OpenResty's; of the nginxes of make test, NGINX=apisix has one (t/stand-in).

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Apisix;
use ProxyWasm::Skip qw(nginx_info);
use Time::HiRes qw(sleep time);

my $has_agent = nginx_info()->{configure} =~ /stand-in/;
my @helpers = ('cache manager process', $has_agent ? 'privileged agent process' : ());

my $PLUGINS = 20;
my @files = map { "$_.wasm" } qw(hostcalls log fault-injection rust-headers go-headers);

my $conf = "wasm:\n  plugins:\n" . join '', map {
    "    - name: plugin-$_\n      priority: $_\n      file: $files[$_ % @files]\n"
} 1 .. $PLUGINS;

# {title of the process: {kB of address space, kB that are its own, threads}}, when all have their titles.
sub processes {
    my ($s) = @_;
    my (%processes, $deadline);
    do {
        sleep 0.01 if $deadline;
        $deadline //= time + 20;
        # One that has just begun still has its master's title.
        %processes = map { slurp("/proc/$_/cmdline") =~ /nginx: ([\w ]+ process) ?(?:\0|$)/ ? ($1 => $_) : () }
            split ' ', slurp('/proc/' . $s->pid . '/task/' . $s->pid . '/children');
    } while (time < $deadline && grep { !$processes{$_} } 'worker process', @helpers);
    return { map { $_ => costs($processes{$_}) } keys %processes };
}

sub costs {
    my ($pid) = @_;
    my ($size, $threads) = slurp("/proc/$pid/status") =~ /^VmSize:\s+(\d+) kB.*^Threads:\s+(\d+)/ms;
    my $own = 0;
    $own += $_ for slurp("/proc/$pid/smaps_rollup") =~ /^Private_(?:Clean|Dirty):\s+(\d+) kB/mg;
    return { size => $size, own => $own, threads => $threads };
}

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or die "$path: $!\n";
    local $/;
    return scalar <$in>;
}

sub server {
    my ($config_yaml, $plugins) = @_;
    my $s = start_nginx(gateway(
        config_yaml => $config_yaml,
        apisix_yaml => "routes:\n  - id: 1\n    uri: /t\n    plugins:\n      plugin-1:\n        conf: blah\n  - id: 2\n    uri: /none\n",
        http_config => "proxy_cache_path cache keys_zone=cache:1m;\n",
        init        => $has_agent ? 'assert(require("ngx.process").enable_privileged_agent())' : '',
    ));
    # It may have to compile them first.
    is $s->request(GET => '/none', timeout => 60)->{status}, 200, 'a route without plugins is served';
    ok $s->wait_for_log('loaded wasm plugin', count => $plugins, timeout => 60), "plugins are loaded, in the worker" if $plugins;
    return $s;
}

my $without = server("wasm:\n  plugins: []\n", 0);
my $none = processes($without);
$without->stop;

# Whoever compiles a plugin keeps some of the memory that took: the others only map it.
server($conf, $PLUGINS)->stop;
my $s = server($conf, $PLUGINS);
my $all = processes($s);
for my $name ('worker process', @helpers) {
    my ($now, $base) = map { $_->{$name} } $all, $none;
    note "$name: $now->{size} kB of address space (without plugins $base->{size}), $now->{own} kB of its own ($base->{own})";
    cmp_ok $now->{size} - $base->{size}, '<', 64 * 1024, "$name: 20 plugins take less than 64 MB of address space";
    cmp_ok $now->{size}, '<', 8 * 1024 * 1024, "$name: of less than 8 GB in all";
    cmp_ok $now->{own} - $base->{own}, '<', 10 * 1024, "$name: and less than 10 MB of its own";
    is $now->{threads}, 1, "$name: with no thread";
}
unlike $s->error_log, qr/create plugin context/, 'and nothing runs';

is $s->get('/t')->{status}, 200, 'A request to a plugin';
like $s->error_log, qr/create plugin context 1/, 'starts it';
is scalar(() = $s->error_log =~ /create plugin context/g), 1, 'and no other';
$s->stop;

done_testing;
