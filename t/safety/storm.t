# Thousands of requests to plugins that trap: the worker holds as much memory and as many descriptors after as before, and serves the
# others all the while. TEST_NGINX_STORM_REQUESTS=100000 for the long run.
#
# A plugin that fails again and again is not tried for a while. So most requests to the plugins of directives are failed at once, which
# is one storm; for each request of the other, Lua loads a plugin that nobody has seen fail yet.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo qw(open_zoo bad_in);

use constant REQUESTS => $ENV{TEST_NGINX_STORM_REQUESTS} || 4000;
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
    lua       => 1,
    plugins   => {
        (map { ("small-$_"    => { file => 'trap.wat', options => $_ % 2 ? '' : 'failure=open' }) } 1 .. SMALL),
        (map { ("scripted-$_" => { script => bad_in('on_request_headers', '["trap"]') }) } 1 .. SCRIPTED),
    },
    user_files  => [['trap.wat', $trap]],
    http_config => <<'E',
    init_worker_by_lua_block {
        wasm, requests = require("resty.proxy-wasm"), 0
        -- Compiled code is kept for as long as somebody has it.
        kept = assert(wasm.load("kept", "$TEST_NGINX_HTML_DIR/trap.wat"))
    }
E
    config => <<'E',
    keepalive_requests 1000000;
    location = /fresh {
        access_by_lua_block {
            local plugin = assert(wasm.load("fresh", "$TEST_NGINX_HTML_DIR/trap.wat"))
            local ctx = assert(wasm.on_configure(plugin, "conf"))
            local ok, err = wasm.on_http_request_headers(ctx)
            -- To Lua these are small: it does not know what hangs on them.
            requests = requests + 1
            if requests % 20 == 0 then collectgarbage() end
            ngx.header["X-Error"] = err
            ngx.exit(ok and 200 or 503)
        }
    }
E
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
        my $fresh = $connection->request('GET', '/fresh');
        $got{"fresh: $fresh->{status} $fresh->{headers}{'x-error'}"}++;
        next if $i % 10;
        my $healthy = $connection->request('GET', '/healthy');
        $got{"healthy: $healthy->{status} $healthy->{headers}{'x-rust'}"}++;
    }
}

# Of the plugins whose names begin so.
sub traps {
    my ($name) = @_;
    return scalar $zoo->lines(qr/failed to call function: proxy_on_request_headers of plugin "$name/);
}

storm(REQUESTS / 2);
my ($memory, $files, $traps) = (resident(), descriptors(), traps('small'));
storm(REQUESTS / 2);
# On a fast machine the plugins were not tried again yet.
my $deadline = time + 10;
storm(scalar @names) while traps('small') - $traps <= SMALL / 4 && time < $deadline;

my $failed = 'fresh: 503 failed to run proxy_on_http_request_headers';
is_deeply [sort keys %got], [200, 503, $failed, 'healthy: 200 well'],
    'every request is answered by the policy or by Lua, and the healthy ones by their plugin'
    or diag explain \%got;
is traps('fresh'), $got{$failed}, "each of $got{$failed} fresh plugins has trapped";
cmp_ok traps('small') - $traps, '>', SMALL / 4, 'and the others again, when they were tried again';
cmp_ok resident(), '<', $memory * 1.05, "the worker's memory has not grown ($memory kB)";
is descriptors(), $files, 'nor have its descriptors';
$zoo->is_unharmed('after the storm');

$zoo->close;
done_testing;
