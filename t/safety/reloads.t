# Reloads under load, half of them with other plugins: no request fails, and neither master nor worker grows.
# TEST_NGINX_RELOADS=100 for the long run.

use lib '.';
use t::ProxyWasm;

use constant RELOADS => $ENV{TEST_NGINX_RELOADS} || 10;

sub configuration {
    my ($version) = @_;
    my $extra = $version % 2 ? '    wasm_plugin extra $TEST_NGINX_PLUGINS/log-headers.wasm phase=rewrite;' : '';
    my $other = $version % 2 ? 'proxy_wasm extra info;' : '';
    return (
        http_config => <<"E",
    wasm_shared_data 64k;
    wasm_plugin healthy \$TEST_NGINX_PLUGINS/rust-headers.wasm phase=rewrite;
    wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
$extra
E
        config => <<"E",
    location = /healthy {
        proxy_wasm healthy v$version;
        proxy_wasm hostcalls '{"on_configure": [["set_tick_period_milliseconds", 20]], "on_tick": [["get_shared_data", "a"]]}';
        $other
        return 200 "healthy\\n";
    }
E
    );
}

sub facts {
    my ($pid) = @_;
    open my $status, '<', "/proc/$pid/status" or die "no process $pid: $!\n";
    my ($kilobytes) = join('', <$status>) =~ /^VmRSS:\s+(\d+) kB/m;
    opendir my $dir, "/proc/$pid/fd" or die "no process $pid: $!\n";
    return { memory => $kilobytes, files => scalar grep { /^\d/ } readdir $dir };
}

my $s    = start_nginx(configuration(0), log_level => 'notice', workers => 2);
my $load = $s->start_load('/healthy', clients => 2);
my ($master, $worker);
my $version = 0;
my %retired;

# Waits for the workers of older configurations, which leave when their last request has ended.
sub settle {
    $s->wait_for_exit($_) or fail("worker $_ stays") for keys %retired;
    %retired = ();
    # It closes its sockets to a worker after that one is gone.
    $s->wait_until_asleep or fail('the master does not come to rest');
}

for my $round (1 .. RELOADS) {
    $retired{$_} = 1 for $s->worker_pids;
    my $done = $round % 2 ? $s->reload(configuration(++$version)) : $s->reload;
    ok $done, "reload $round";
    my $got = $s->get('/healthy');
    is_deeply [@$got{qw(status body)}, $got->{headers}{'x-rust'}], [200, "healthy\n", "v$version"], 'serves what is configured now';
    # The first ones show what both configurations take.
    next if $round != 4;
    settle();
    ($master, $worker) = (facts($s->pid), facts(($s->worker_pids)[0]));
}
# Measured with the configuration of the fourth reload: each plugin's compiled code is a descriptor.
$retired{$_} = 1 for $s->worker_pids;
ok $s->reload(configuration(2)), 'the last reload';
my $got = $load->stop;
is_deeply [keys %$got], [200], 'every request under load was answered' or diag explain $got;
note "$got->{200} requests";

settle();
my ($now, $then) = (facts($s->pid), $master);
cmp_ok $now->{memory}, '<', $then->{memory} * 1.1, "the master has not grown ($then->{memory} kB)";
is $now->{files}, $then->{files}, 'nor its descriptors';
cmp_ok facts(($s->worker_pids)[0])->{memory}, '<', $worker->{memory} * 1.25, "nor the workers ($worker->{memory} kB)";
$s->stop;
done_testing;
