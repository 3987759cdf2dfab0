# What loaded plugins cost a process: APISIX loads every plugin in each worker, and in a privileged agent that serves nothing (which
# only OpenResty's nginx has), whether a route uses it or not.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Apisix;

my $PLUGINS = 20;
my @files = map { "$_.wasm" } qw(hostcalls log fault-injection rust-headers go-headers);

my $conf = "wasm:\n  plugins:\n" . join '', map {
    "    - name: plugin-$_\n      priority: $_\n      file: $files[$_ % @files]\n"
} 1 .. $PLUGINS;

# {name of the process: [pid, kB of address space, kB that are its own, threads]}
sub processes {
    my ($s) = @_;
    my %processes;
    for my $pid (split ' ', slurp('/proc/' . $s->pid . '/task/' . $s->pid . '/children')) {
        my ($name) = slurp("/proc/$pid/cmdline") =~ /nginx: ([\w ]+?) ?(?:\0|$)/;
        my ($size, $threads) = slurp("/proc/$pid/status") =~ /^VmSize:\s+(\d+) kB.*^Threads:\s+(\d+)/ms;
        my $own = 0;
        $own += $_ for slurp("/proc/$pid/smaps_rollup") =~ /^Private_(?:Clean|Dirty):\s+(\d+) kB/mg;
        $processes{$name} = { pid => $pid, size => $size, own => $own, threads => $threads };
    }
    return \%processes;
}

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or die "$path: $!\n";
    local $/;
    return scalar <$in>;
}

sub server {
    my ($config_yaml) = @_;
    my $s = start_nginx(gateway(
        config_yaml => $config_yaml,
        apisix_yaml => "routes:\n  - id: 1\n    uri: /t\n    plugins:\n      plugin-1:\n        conf: blah\n  - id: 2\n    uri: /none\n",
        http_config => "proxy_cache_path cache keys_zone=cache:1m;\n",
    ));
    # It may have to compile them first.
    is $s->request(GET => '/none', timeout => 60)->{status}, 200, 'a route without plugins is served';
    return $s;
}

my $without = server("wasm:\n  plugins: []\n");
my $none = processes($without);
$without->stop;

# Whoever compiles a plugin keeps some of the memory that took: the others only map it.
server($conf)->stop;
my $s = server($conf);
is scalar(() = $s->error_log =~ /loaded wasm plugin/g), $PLUGINS, 'the worker has loaded all plugins';
my $all = processes($s);
my ($now, $base) = map { $_->{'worker process'} } $all, $none;
note "$now->{size} kB of address space (without plugins $base->{size}), $now->{own} kB of its own ($base->{own})";
cmp_ok $now->{size}, '<', 8 * 1024 * 1024, 'in less than 8 GB of address space';
cmp_ok $now->{own} - $base->{own}, '<', 10 * 1024, 'and 10 MB of its own';
is $now->{threads}, 1, 'with no thread';
is $all->{'cache manager process'}{threads}, 1, 'nor has the cache manager one';
unlike $s->error_log, qr/create plugin context/, 'and nothing runs';

is $s->get('/t')->{status}, 200, 'A request to a plugin';
like $s->error_log, qr/create plugin context 1/, 'starts it';
is scalar(() = $s->error_log =~ /create plugin context/g), 1, 'and no other';
$s->stop;

done_testing;
