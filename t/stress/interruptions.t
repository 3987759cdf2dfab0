# Callbacks that run past their timeout, one after the other: each is interrupted wherever it is, in the guest's code, in wasmtime's, in the
# host's, or in the allocator that the host has called. What comes next gets an instance of which nothing is poisoned, and nothing of the
# interrupted one is left.
#
# TEST_NGINX_INTERRUPTIONS is their number: 100000 for the long run.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo qw(open_zoo BRIEF);

my $interruptions = $ENV{TEST_NGINX_INTERRUPTIONS} || 300;
my $timeout       = $ProxyWasm::Settings::Patience > 1 ? BRIEF : '5ms';

# What a guest does again and again.
my %work = (
    counts    => '(global.set $turns (i64.add (global.get $turns) (i64.const 1)))',
    stores    => '(i32.store (local.get $at) (i32.const -1)) (local.set $at (i32.add (i32.const 65536) (i32.and (i32.add (local.get $at) (i32.const 4)) (i32.const 0xfffc))))',
    divides   => '(local.set $x (f64.sqrt (f64.div (f64.const 1) (f64.add (local.get $x) (f64.const 1)))))',
    adds_wide => '(v128.store (i32.const 65536) (i32x4.add (v128.load (i32.const 65536)) (i32x4.splat (i32.const 1))))',
    recurses  => '(drop (call $recurse (i32.const 30)))',
    indirect  => '(drop (call_indirect (type $of_number) (i32.const 3) (i32.const 1)))',
    fills     => '(memory.fill (i32.const 65536) (i32.const 7) (i32.const 65536))',
    copies    => '(memory.copy (i32.const 65536) (i32.const 65537) (i32.const 65535))',
    grows     => '(drop (memory.grow (i32.const 0)))',
    table     => '(table.set (i32.const 0) (ref.func $recurse)) (table.fill (i32.const 2) (ref.null func) (i32.const 2))',
    logs      => '(drop (call $log (i32.const 0) (i32.const 65536) (i32.const 100)))',
    clock     => '(drop (call $time (i32.const 16)))',
    allocates => '(drop (call $get (i32.const 0) (i32.const 32) (i32.const 5) (i32.const 16) (i32.const 20)))',
    adds      => '(drop (call $replace (i32.const 0) (i32.const 40) (i32.const 3) (i32.const 65536) (i32.const 8)))',
    pairs     => '(drop (call $pairs (i32.const 0) (i32.const 16) (i32.const 20)))',
);

# Its memory from 65536 on has a pattern, which every other request looks at.
my @files = map { ["$_.wat", <<"WAT"] } sort keys %work;
(module
  (type \$of_number (func (param i32) (result i32)))
  (import "env" "proxy_log" (func \$log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_current_time_nanoseconds" (func \$time (param i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func \$get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func \$replace (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_pairs" (func \$pairs (param i32 i32 i32) (result i32)))
  (memory (export "memory") 3)
  (table 4 funcref)
  (elem (i32.const 1) func \$recurse)
  (data (i32.const 32) ":path   x-a")
  (global \$turns (mut i64) (i64.const 0))
  (global \$bad (mut i32) (i32.const 0))
  (global \$parent (mut i32) (i32.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param \$size i32) (result i32) (i32.const 1024))
  (func \$recurse (param \$n i32) (result i32)
    (if (result i32) (i32.lt_s (local.get \$n) (i32.const 2))
      (then (i32.const 1))
      (else (i32.add (call \$recurse (i32.sub (local.get \$n) (i32.const 1))) (call \$recurse (i32.sub (local.get \$n) (i32.const 2)))))))
  (func (export "_initialize") (local \$at i32)
    (local.set \$at (i32.const 65536))
    (loop \$next
      (i32.store (local.get \$at) (i32.mul (local.get \$at) (i32.const 31)))
      (br_if \$next (i32.lt_u (local.tee \$at (i32.add (local.get \$at) (i32.const 4))) (i32.const 131072)))))
  (func (export "proxy_on_configure") (param \$id i32) (param \$size i32) (result i32)
    (if (i32.eq (local.get \$size) (i32.const 3)) (then (global.set \$bad (local.get \$id))))
    (i32.const 1))
  (func (export "proxy_on_context_create") (param \$id i32) (param \$parent i32) (global.set \$parent (local.get \$parent)))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local \$at i32) (local \$x f64)
    (local.set \$at (i32.const 65536))
    (if (i32.eq (global.get \$parent) (global.get \$bad))
      (then (loop \$again $work{$_} (br \$again))))
    (loop \$next
      (if (i32.ne (i32.load (local.get \$at)) (i32.mul (local.get \$at) (i32.const 31))) (then unreachable))
      (br_if \$next (i32.lt_u (local.tee \$at (i32.add (local.get \$at) (i32.const 4))) (i32.const 131072))))
    (if (i64.ne (global.get \$turns) (i64.const 0)) (then unreachable))
    (if (i32.ne (call_indirect (type \$of_number) (i32.const 3) (i32.const 1)) (i32.const 3)) (then unreachable))
    (i32.const 0)))
WAT

my $zoo = open_zoo(
    log_level   => 'error',
    plugins     => {},
    user_files  => \@files,
    http_config => join("\n", map { "wasm_plugin $_ \$TEST_NGINX_HTML_DIR/$_.wat phase=rewrite callback_timeout=$timeout;" } sort keys %work),
    config      => "keepalive_requests 1000000;\n" . join "\n",
    map { "location = /bad-$_ { proxy_wasm $_ bad; return 200; } location = /good-$_ { proxy_wasm $_ good; return 200 \"good\"; }" } sort keys %work,
);

sub resident {
    open my $status, '<', '/proc/' . $zoo->worker . '/status' or die "no worker: $!\n";
    my ($kilobytes) = join('', <$status>) =~ /^VmRSS:\s+(\d+) kB/m;
    return $kilobytes;
}

sub entries {
    my ($what) = @_;
    open my $maps, '<', '/proc/' . $zoo->worker . '/maps' or die "no worker: $!\n";
    return scalar(() = <$maps>) if $what eq 'maps';
    opendir my $dir, '/proc/' . $zoo->worker . '/fd' or die "no worker: $!\n";
    return scalar grep { /^\d/ } readdir $dir;
}

my $connection = $zoo->server->connect;
my %got;

sub interrupt {
    my ($number) = @_;
    my @names = sort keys %work;
    for my $i (1 .. $number) {
        my $name = $names[$i % @names];
        $got{"bad $name"}{ $connection->request('GET', "/bad-$name")->{status} }++;
        my $good = $connection->request('GET', "/good-$name");
        $got{"good $name"}{ $good->{status} == 200 ? $good->{body} : $good->{status} }++;
    }
}

interrupt($interruptions / 2);
my @before = (resident(), entries('maps'), entries('fd'));
interrupt($interruptions / 2);
my @after = (resident(), entries('maps'), entries('fd'));

is_deeply [map { sort keys %{ $got{"bad $_"} } } sort keys %work], [(503) x keys %work], 'each is interrupted' or diag explain \%got;
is_deeply [map { sort keys %{ $got{"good $_"} } } sort keys %work], [('good') x keys %work], 'and what follows has an instance that is as it was at its start'
    or diag explain \%got;
is $zoo->lines(qr/proxy_on_request_headers of plugin "\w+" in context \d+: it ran past its timeout/), 2 * int($interruptions / 2), 'each is told, and no other';
cmp_ok $after[0], '<', $before[0] * 1.05 + 4096, "the worker's memory has not grown ($before[0] kB)";
cmp_ok $after[1], '<=', $before[1] + 4, "nor the number of its mappings ($before[1])";
is $after[2], $before[2], 'nor that of its descriptors';
$zoo->is_unharmed('in the end');
$zoo->close;
done_testing;
