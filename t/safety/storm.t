# Thousands of requests to plugins that trap: the worker holds as much memory and as many descriptors after as before, and serves the
# others all the while. TEST_NGINX_STORM_REQUESTS=100000 for the long run.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo qw(open_zoo bad_in);

use constant REQUESTS => $ENV{TEST_NGINX_STORM_REQUESTS} || 4000;
# A plugin that fails again and again is not tried for a while: many plugins make many traps.
use constant { SMALL => 150, SCRIPTED => 10 };

my $trap = <<'WAT';
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable))
WAT

my @names = ((map { "small-$_" } 1 .. SMALL), (map { "scripted-$_" } 1 .. SCRIPTED));
my $zoo = open_zoo(
    log_level => 'error',
    plugins   => {
        (map { ("small-$_"    => { file => 'trap.wat', options => $_ % 2 ? '' : 'failure=open' }) } 1 .. SMALL),
        (map { ("scripted-$_" => { script => bad_in('on_request_headers', '["trap"]') }) } 1 .. SCRIPTED),
    },
    user_files => [['trap.wat', $trap]],
    config     => 'keepalive_requests 1000000;',
);

sub resident {
    open my $status, '<', '/proc/' . $zoo->worker . '/status' or die "no worker: $!\n";
    my ($kilobytes) = join('', <$status>) =~ /^VmRSS:\s+(\d+) kB/m;
    return $kilobytes;
}

sub descriptors {
    opendir my $dir, '/proc/' . $zoo->worker . '/fd' or die "no worker: $!\n";
    return scalar grep { /^\d/ } readdir $dir;
}

my $connection = $zoo->server->connect;
my %got;

sub storm {
    my ($requests) = @_;
    for my $i (1 .. $requests) {
        my $name = $names[$i % @names];
        $got{ $connection->request('GET', "/$name", headers => ['X-Bad' => 1])->{status} }++;
        my $healthy = $connection->request('GET', '/healthy');
        $got{"healthy: $healthy->{status} $healthy->{headers}{'x-rust'}"}++ if $i % 10 == 0;
    }
}

sub traps { return scalar $zoo->lines(qr/failed to call function/) }

storm(REQUESTS / 2);
my ($memory, $files, $traps) = (resident(), descriptors(), traps());
storm(REQUESTS / 2);
# On a fast machine the plugins were not tried again yet.
my $deadline = time + 10;
storm(scalar @names) while traps() - $traps <= SMALL / 4 && time < $deadline;

is_deeply [sort keys %got], [200, 503, 'healthy: 200 well'], 'every request is answered by the policy, and the healthy ones by their plugin'
    or diag explain \%got;
cmp_ok traps() - $traps, '>', SMALL / 4, 'having trapped meanwhile, ' . traps() . ' times in all';
cmp_ok resident(), '<', $memory * 1.05, "the worker's memory has not grown ($memory kB)";
is descriptors(), $files, 'nor have its descriptors';
$zoo->is_unharmed('after the storm');

$zoo->close;
done_testing;
