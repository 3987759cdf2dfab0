# What host functions cost: four times the input takes at most eight times as long, and the largest that the ABI allows ends within the
# callback's deadline. Costs are processor time of the worker, of which the least of several runs counts; inputs are small enough for the
# processor's caches.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';

# The allocator keeps what is freed: pages that it takes from the kernel anew cost more than the work itself.
BEGIN { $ENV{GLIBC_TUNABLES} = join ':', map { "glibc.malloc.$_=268435456" } qw(trim_threshold mmap_threshold top_pad) }

# What grows with the square of the input takes sixteen times as long; what does not fit a cache that others use, too, more than four times.
use constant { RUNS => 30, RATIO => 8 };

# A deadline that a host function of that cost may exceed by as much, and no more.
use constant { DEADLINE => 0.2, LATE => 2 };

my %type = (
    proxy_log => 3, fd_write => 4, random_get => 2, poll_oneoff => 4,
    proxy_get_header_map_pairs => 3, proxy_set_header_map_pairs => 3, proxy_get_header_map_value => 5,
    proxy_get_header_map_size => 2, proxy_add_header_map_value => 5, proxy_replace_header_map_value => 5,
    proxy_remove_header_map_value => 3, proxy_get_property => 4, proxy_set_property => 4, proxy_get_buffer_bytes => 5,
    proxy_set_buffer_bytes => 5, proxy_http_call => 10, proxy_grpc_call => 12, proxy_grpc_stream => 9,
    proxy_send_local_response => 8, proxy_set_shared_data => 5, proxy_get_shared_data => 5,
    proxy_register_shared_queue => 3, proxy_resolve_shared_queue => 5, proxy_enqueue_shared_queue => 3,
    proxy_dequeue_shared_queue => 3, proxy_define_metric => 4, proxy_call_foreign_function => 6,
);

# Where things are in the guest's memory, and how much of it there is: some pages, or all that there can be.
my ($SLOT, $TEXT, $MAP) = (64, 1 << 12, 1 << 22);
my ($PAGES, $ALL) = (600, 65535);

sub module_of {
    my (%o) = @_;
    my $body    = $o{do};
    my $imports = join "\n", map {
        my $from = /^proxy_/ ? 'env' : 'wasi_snapshot_preview1';
        qq{(import "$from" "$_" (func \$$_ (param @{[join ' ', ('i32') x $type{$_}]}) (result i32)))}
    } grep { $body =~ /\$$_\b/ } sort keys %type;
    $imports =~ s/(proxy_define_metric[^\n]*)/$1/;
    my $pages = $o{pages} // $PAGES;
    return <<"WAT";
(module
  $imports
  (memory (export "memory") $pages)
  (data (i32.const 0) "x-name") (data (i32.const 8) "etag") (data (i32.const 16) "127.0.0.1:1") (data (i32.const 32) "connection")
  (data (i32.const 48) "cost_value")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const ${\ (24 << 20) }))
  ;; A map of \$n fields with a name of \$size bytes at \$name, each with a value that differs; answers its size.
  (func \$map (param \$n i32) (param \$name i32) (param \$size i32) (result i32)
    (local \$i i32) (local \$at i32)
    (i32.store (i32.const $MAP) (local.get \$n))
    (local.set \$at (i32.add (i32.const ${\ ($MAP + 4) }) (i32.mul (local.get \$n) (i32.const 8))))
    (block \$end (loop \$next
      (br_if \$end (i32.ge_u (local.get \$i) (local.get \$n)))
      (i32.store (i32.add (i32.const ${\ ($MAP + 4) }) (i32.mul (local.get \$i) (i32.const 8))) (local.get \$size))
      (i32.store offset=4 (i32.add (i32.const ${\ ($MAP + 4) }) (i32.mul (local.get \$i) (i32.const 8))) (i32.const 4))
      (memory.copy (local.get \$at) (local.get \$name) (local.get \$size))
      (local.set \$at (i32.add (i32.add (local.get \$at) (local.get \$size)) (i32.const 1)))
      (call \$number (local.get \$at) (local.get \$i))
      (local.set \$at (i32.add (local.get \$at) (i32.const 5)))
      (local.set \$i (i32.add (local.get \$i) (i32.const 1)))
      (br \$next)))
    (i32.sub (local.get \$at) (i32.const $MAP)))
  ;; Four letters of a number.
  (func \$number (param \$at i32) (param \$n i32) (local \$i i32)
    (loop \$next
      (i32.store8 (i32.add (local.get \$at) (local.get \$i))
        (i32.add (i32.const 97) (i32.and (local.get \$n) (i32.const 15))))
      (local.set \$n (i32.shr_u (local.get \$n) (i32.const 4)))
      (local.set \$i (i32.add (local.get \$i) (i32.const 1)))
      (br_if \$next (i32.lt_u (local.get \$i) (i32.const 4)))))
  (func (export "$o{in}") (param i32 i32 i32) (result i32)
    (local \$i i32) (local \$size i32)
    $body
    (i32.const 0)))
WAT
}

# A call, written NAME(ARGUMENT, …); an argument is a number, or an expression in parentheses.
sub call {
    my ($text) = @_;
    my ($name, $arguments) = $text =~ /^(\w+)\((.*)\)$/s or die $text;
    my @arguments = map { /^\(/ ? $_ : "(i32.const $_)" } split /,\s*/, $arguments;
    return "(drop (call \$$name @arguments))";
}

# The same again and again.
sub again {
    my ($times, @steps) = @_;
    return "(local.set \$i (i32.const 0)) (loop \$again @steps"
        . " (local.set \$i (i32.add (local.get \$i) (i32.const 1))) (br_if \$again (i32.lt_u (local.get \$i) (i32.const $times))))";
}

sub fill { my ($n, $byte) = @_; return "(memory.fill (i32.const $TEXT) (i32.const @{[ord $byte]}) (i32.const $n))" }

my ($REQUEST, $RESPONSE, $TRAILERS) = (0, 2, 3);
my $i = '(local.get $i)';

# A map, made and set.
sub map_of { my ($n, $name) = @_; return "(local.set \$size (call \$map (i32.const $n) (i32.const " . ($name eq 'etag' ? '8) (i32.const 4)))' : '0) (i32.const 6)))') }
sub fields { my ($map, $n) = @_; return map_of($n, 'x-name'), call("proxy_set_header_map_pairs($map, $MAP, (local.get \$size))") }

# By what is counted: an input of moderate size, what is done with one of size N, and, if that is not the response's header, where.
my %cost = (
    'proxy_log, bytes'     => [16_000, sub { my $n = shift; fill($n, 'a'), again(300, call("proxy_log(4, $TEXT, $n)")) }],
    'proxy_log, lines'     => [60,     sub { my $n = shift; fill($n * 2, "\n"), again($n, "(i32.store8 offset=$TEXT (i32.mul $i (i32.const 2)) (i32.const 97))"),
                                             again(40, call("proxy_log(4, $TEXT, " . 2 * $n . ')')) }],
    'fd_write, bytes'      => [16_000, sub { my $n = shift; fill($n, 'a'), "(i32.store (i32.const $SLOT) (i32.const $TEXT)) (i32.store offset=4 (i32.const $SLOT) (i32.const $n))",
                                             again(60, call("fd_write(1, $SLOT, 1, 80)")) }],
    'random_get, bytes'    => [50_000, sub { my $n = shift; again(40, call("random_get($TEXT, $n)")) }],
    'poll_oneoff, events'  => [250, sub { my $n = shift; again(200, call("poll_oneoff($TEXT, $MAP, $n, $SLOT)")) }],
    'proxy_set_header_map_pairs, request'     => [4000, sub { fields($REQUEST, shift) }, 'proxy_on_request_headers'],
    'proxy_set_header_map_pairs, validators'  => [4000, sub { my $n = shift; fields($RESPONSE, $n), map_of($n, 'etag'), call("proxy_set_header_map_pairs($RESPONSE, $MAP, (local.get \$size))") }],
    'proxy_set_header_map_pairs, trailers'    => [4000, sub { fields($TRAILERS, shift) }],
    'proxy_get_header_map_pairs, fields'      => [2000, sub { fields($REQUEST, shift), again(20, call("proxy_get_header_map_pairs($REQUEST, $SLOT, 80)")) }, 'proxy_on_request_headers'],
    'proxy_get_header_map_size, fields'       => [2000, sub { fields($REQUEST, shift), again(40, call("proxy_get_header_map_size($REQUEST, $SLOT)")) }, 'proxy_on_request_headers'],
    'proxy_get_header_map_value, fields'      => [2000, sub { fields($RESPONSE, shift), again(200, call("proxy_get_header_map_value($RESPONSE, 8, 4, $SLOT, 80)")) }],
    # As many bytes as processors' caches hold: more of them cost more each.
    'proxy_add_header_map_value, bytes'       => [8_000, sub { my $n = shift; fill($n, 'a'), again(100, call("proxy_add_header_map_value($RESPONSE, 0, 6, $TEXT, $n)")) }],
    'proxy_replace_header_map_value, fields'  => [2000, sub { fields($REQUEST, shift), again(50, call("proxy_replace_header_map_value($REQUEST, 8, 4, 0, 6)")) }, 'proxy_on_request_headers'],
    'proxy_remove_header_map_value, fields'   => [3000, sub { fields($REQUEST, shift), call("proxy_remove_header_map_value($REQUEST, 0, 6)") }, 'proxy_on_request_headers'],
    'proxy_get_property, bytes'    => [250, sub { my $n = shift; fill($n, 'a'), again(5000, call("proxy_get_property($TEXT, $n, $SLOT, 80)")) }],
    'proxy_set_property, bytes'    => [30_000, sub { my $n = shift; again(100, call("proxy_set_property(48, 10, $TEXT, $n)")) }],
    'proxy_set_property, properties' => [3000, sub { my $n = shift; again($n, "(call \$number (i32.const 0) $i)", call('proxy_set_property(0, 6, 0, 6)'), call("proxy_get_property(0, 6, $SLOT, 80)")) }],
    'proxy_set_buffer_bytes, bytes' => [50_000, sub { my $n = shift; call("proxy_set_buffer_bytes(0, 0, -1, $TEXT, $n)"), again(500, call("proxy_set_buffer_bytes(0, 1, 1, $TEXT, 2)")) }, 'proxy_on_request_body'],
    'proxy_get_buffer_bytes, bytes' => [50_000, sub { my $n = shift; call("proxy_set_buffer_bytes(0, 0, -1, $TEXT, $n)"), again(500, call("proxy_get_buffer_bytes(0, 0, -1, $SLOT, 80)")) }, 'proxy_on_request_body'],
    'proxy_http_call, fields'      => [1500, sub { map_of(shift, 'x-name'), again(3, call("proxy_http_call(16, 11, $MAP, (local.get \$size), 0, 0, 0, 0, 1, $SLOT)")) }],
    'proxy_http_call, trailers'    => [1500, sub { map_of(shift, 'x-name'), again(3, call("proxy_http_call(16, 11, 0, 0, 0, 0, $MAP, (local.get \$size), 1, $SLOT)")) }],
    'proxy_http_call, bytes'       => [30_000, sub { my $n = shift; again(50, call("proxy_http_call(16, 11, 0, 0, $TEXT, $n, 0, 0, 1, $SLOT)")) }],
    'proxy_grpc_call, metadata'    => [1500, sub { map_of(shift, 'x-name'), again(3, call("proxy_grpc_call(16, 11, 0, 1, 0, 1, $MAP, (local.get \$size), 0, 0, 1, $SLOT)")) }],
    'proxy_grpc_call, bytes'       => [30_000, sub { my $n = shift; again(50, call("proxy_grpc_call(16, 11, 0, 1, 0, 1, 0, 0, $TEXT, $n, 1, $SLOT)")) }],
    'proxy_send_local_response, bytes'  => [500_000, sub { my $n = shift; call("proxy_send_local_response(200, 0, 0, $TEXT, $n, 0, 0, -1)") }],
    'proxy_send_local_response, fields' => [3000, sub { map_of(shift, 'x-name'), call("proxy_send_local_response(200, 0, 0, 0, 6, $MAP, (local.get \$size), -1)") }],
    'proxy_send_local_response, details' => [500_000, sub { my $n = shift; call("proxy_send_local_response(200, $TEXT, $n, 0, 6, 0, 0, -1)") }],
    'proxy_set_shared_data, bytes' => [16_000, sub { my $n = shift; again(300, call("proxy_set_shared_data(0, 6, $TEXT, $n, 0)")) }],
    'proxy_set_shared_data, keys'  => [10_000, sub { my $n = shift; again($n, "(call \$number (i32.const 0) $i)", call('proxy_set_shared_data(0, 6, 0, 6, 0)')) }],
    'proxy_set_shared_data, evicted' => [200_000, sub { my $n = shift; again(20_000, "(call \$number (i32.const 0) $i)", call("proxy_set_shared_data(0, 6, $TEXT, 500, 0)")),
                                             again(3, call("proxy_set_shared_data(8, 4, $TEXT, $n, 0)")) }],
    'proxy_get_shared_data, bytes' => [16_000, sub { my $n = shift; call("proxy_set_shared_data(0, 6, $TEXT, $n, 0)"), again(500, call("proxy_get_shared_data(0, 6, $SLOT, 80, 84)")) }],
    'proxy_register_shared_queue, bytes' => [16_000, sub { my $n = shift; again(100, call("proxy_register_shared_queue($TEXT, $n, $SLOT)")) }],
    'proxy_enqueue_shared_queue, bytes'  => [16_000, sub { my $n = shift; call("proxy_register_shared_queue(0, 6, $SLOT)"),
                                             again(200, call("proxy_enqueue_shared_queue((i32.load (i32.const $SLOT)), $TEXT, $n)"), call("proxy_dequeue_shared_queue((i32.load (i32.const $SLOT)), 80, 84)")) }],
    'proxy_define_metric, bytes'   => [16_000, sub { my $n = shift; again(100, call("proxy_define_metric(0, $TEXT, $n, $SLOT)")) }],
    'proxy_define_metric, metrics' => [3000, sub { my $n = shift; again($n, "(call \$number (i32.const 0) $i)", call("proxy_define_metric(0, 0, 6, $SLOT)")) }],
    'proxy_call_foreign_function, bytes' => [16_000, sub { my $n = shift; again(100, call("proxy_call_foreign_function($TEXT, $n, $TEXT, $n, $SLOT, 80)")) }],
);

# With all that a guest can hand over: from the first page to the last, as a text, as a map of one field, as a map of as many.
my $most = ($ALL << 16) - $TEXT;
my $huge = sprintf '%d', unpack 'l', pack 'L', $most;
my @huge_maps = (
    map_one  => "(i32.store (i32.const $TEXT) (i32.const 1)) (i32.store offset=4 (i32.const $TEXT) (i32.const 1)) (i32.store offset=8 (i32.const $TEXT) (i32.const @{[$huge - 15]}))",
    map_many => "(i32.store (i32.const $TEXT) (i32.const @{[int($most / 16)]}))",
);
my %largest;
for my $text (
    "proxy_log(4, $TEXT, $huge)", "random_get($TEXT, $huge)", "proxy_get_header_map_value(0, $TEXT, $huge, $SLOT, 80)",
    "proxy_add_header_map_value(2, $TEXT, $huge, 0, 6)", "proxy_add_header_map_value(2, 0, 6, $TEXT, $huge)",
    "proxy_replace_header_map_value(2, 0, 6, $TEXT, $huge)", "proxy_remove_header_map_value(2, $TEXT, $huge)",
    "proxy_get_property($TEXT, $huge, $SLOT, 80)", "proxy_set_property($TEXT, $huge, 0, 6)", "proxy_set_property(48, 10, $TEXT, $huge)",
    "proxy_http_call($TEXT, $huge, 0, 0, 0, 0, 0, 0, 1, $SLOT)", "proxy_http_call(16, 11, 0, 0, $TEXT, $huge, 0, 0, 1, $SLOT)",
    "proxy_grpc_call($TEXT, $huge, 0, 1, 0, 1, 0, 0, 0, 0, 1, $SLOT)", "proxy_grpc_call(16, 11, $TEXT, $huge, 0, 1, 0, 0, 0, 0, 1, $SLOT)",
    "proxy_grpc_call(16, 11, 0, 1, 0, 1, 0, 0, $TEXT, $huge, 1, $SLOT)", "proxy_send_local_response(200, $TEXT, $huge, 0, 6, 0, 0, -1)",
    "proxy_send_local_response(200, 0, 0, $TEXT, $huge, 0, 0, -1)", "proxy_set_shared_data($TEXT, $huge, 0, 6, 0)",
    "proxy_set_shared_data(0, 6, $TEXT, $huge, 0)", "proxy_get_shared_data($TEXT, $huge, $SLOT, 80, 84)",
    "proxy_register_shared_queue($TEXT, $huge, $SLOT)", "proxy_resolve_shared_queue($TEXT, $huge, 0, 6, $SLOT)",
    "proxy_enqueue_shared_queue(1, $TEXT, $huge)", "proxy_define_metric(0, $TEXT, $huge, $SLOT)",
    "proxy_call_foreign_function($TEXT, $huge, 0, 6, $SLOT, 80)", "proxy_call_foreign_function(0, 6, $TEXT, $huge, $SLOT, 80)",
    "poll_oneoff($TEXT, $TEXT, @{[int($most / 48)]}, $SLOT)", "fd_write(1, $TEXT, @{[int($most / 8)]}, $SLOT)",
) {
    $largest{$text} = call($text);
}
for my $text (
    "proxy_set_header_map_pairs(2, $TEXT, $huge)", "proxy_http_call(16, 11, $TEXT, $huge, 0, 0, 0, 0, 1, $SLOT)",
    "proxy_http_call(16, 11, 0, 0, 0, 0, $TEXT, $huge, 1, $SLOT)", "proxy_grpc_call(16, 11, 0, 1, 0, 1, $TEXT, $huge, 0, 0, 1, $SLOT)",
    "proxy_grpc_stream(16, 11, 0, 1, 0, 1, $TEXT, $huge, $SLOT)", "proxy_send_local_response(200, 0, 0, 0, 6, $TEXT, $huge, -1)",
) {
    my %maps = @huge_maps;
    $largest{"$text, $_"} = $maps{$_} . call($text) for keys %maps;
}

my (%plugins, @files, %file_of);
sub plugin {
    my ($key, $wat, $options) = @_;
    my $name = sprintf 'p%03d', scalar keys %plugins;
    push @files, ["$name.wat", $wat];
    $plugins{$name} = { file => "$name.wat", options => $options };
    return $file_of{$key} = $name;
}
for my $what (sort keys %cost) {
    my ($n, $do, $in) = @{ $cost{$what} };
    plugin("$what $_", module_of(in => $in // 'proxy_on_response_headers', do => join(' ', $do->($_))), 'callback_timeout=60s') for $n, 4 * $n;
}
for my $what (sort keys %largest) {
    plugin($what, module_of(in => 'proxy_on_response_headers', do => $largest{$what}, pages => $ALL),
        'memory_limit=4g callback_timeout=' . DEADLINE * 1000 . 'ms');
}

my $zoo = open_zoo(plugins => \%plugins, user_files => \@files, log_level => 'error',
    http_config => 'wasm_cache off; wasm_shared_data 32m; wasm_metrics_zone 16m; wasm_shared_queue 8m; large_client_header_buffers 4 64k;',
    config => 'set $cost_value ""; location = /metrics { wasm_metrics; }');

# Seconds of processor time that the worker has had. The kernel counts them when it sleeps.
sub worker_time {
    $zoo->server->wait_until_asleep($zoo->worker) or die "the worker does not come to rest\n";
    open my $stat, '<', '/proc/' . $zoo->worker . '/schedstat' or die "no worker: $!\n";
    my ($nanoseconds) = split ' ', <$stat>;
    return $nanoseconds / 1e9;
}

# What the host answers to it does not matter here, only what that takes.
sub ask {
    my ($path) = @_;
    my $connection = $zoo->server->connect(timeout => 60);
    $connection->send_request('POST', $path, body => 'text', close => 1);
    my $got = eval { $connection->read_response };
    return $got && $got->{status};
}

sub cost_of {
    my ($path) = @_;
    my $before = worker_time();
    ask($path);
    return worker_time() - $before;
}

# The least that inputs of both sizes have cost, after as many runs as it takes to see that they are in proportion.
sub least_costs {
    my ($what, $n) = @_;
    my @least;
    for my $run (1 .. RUNS) {
        my @costs = map { cost_of("/$file_of{\"$what $_\"}") } $n, 4 * $n;
        for (0, 1) { $least[$_] = $costs[$_] if !defined $least[$_] || $costs[$_] < $least[$_] }
        last if $run > 1 && $least[1] <= RATIO * $least[0];
    }
    return @least;
}

for my $what (sort keys %cost) {
    my ($small, $large) = least_costs($what, $cost{$what}[0]);
    cmp_ok $large / $small, '<=', RATIO, "$what: four times as much takes at most eight times as long"
        or diag sprintf '%.2f ms and %.2f ms', 1000 * $small, 1000 * $large;
    note sprintf '%.2f ms and %.2f ms', 1000 * $small, 1000 * $large;
}
is_deeply [$zoo->lines(qr/failed to call function|fails again/)], [], 'no plugin failed';
$zoo->is_unharmed('after large inputs');

for my $what (sort keys %largest) {
    cmp_ok cost_of("/$file_of{$what}"), '<', DEADLINE * LATE, "$what ends within the deadline";
}
$zoo->is_unharmed('after the largest inputs');

$zoo->close;
done_testing;
