# A plugin that traps, in each of its callbacks and in each way there is: the request ends by the policy, the next one is served.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo qw(open_zoo bad_in);

# By callback: what a client gets of a request that the plugin traps in.
my @of_a_request = (
    [on_context_create    => 503],
    [on_request_headers   => 503],
    [on_request_body      => 503],
    [on_response_headers  => 503],
    [on_response_body     => 503],
    [on_response_trailers => 503],
    [on_done              => 200],
    [on_log               => 200],
    [on_delete            => 200],
);

my %plugins;
$plugins{"trap-$_->[0]"}{script} = bad_in($_->[0], '["trap"]') for @of_a_request;
$plugins{"way-$_"}{script} = bad_in('on_request_headers', qq(["trap", "$_"])) for qw(unreachable memory stack);

# The fault whose number is in x-bad.
my $arithmetic = <<'WAT';
(module
  (type $nothing (func))
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (table 2 2 funcref)
  (elem (i32.const 1) $other)
  (data (i32.const 0) "x-bad")
  (func $other (param i64))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func $judge (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (local $fault i32)
    (if (i32.eqz (call $get (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 64) (i32.const 68)))
      (then (local.set $fault (i32.load8_u (i32.const 1024)))))
    (if (i32.eq (local.get $fault) (i32.const 49)) (then (drop (i32.div_s (i32.const 1) (i32.const 0)))))
    (if (i32.eq (local.get $fault) (i32.const 50)) (then (drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))))
    (if (i32.eq (local.get $fault) (i32.const 51)) (then (drop (i32.trunc_f32_s (f32.const nan)))))
    (if (i32.eq (local.get $fault) (i32.const 52)) (then (call_indirect (type $nothing) (i32.const 0))))
    (if (i32.eq (local.get $fault) (i32.const 53)) (then (call_indirect (type $nothing) (i32.const 1))))
    (if (i32.eq (local.get $fault) (i32.const 54)) (then (call_indirect (type $nothing) (i32.const 7))))
    (if (i32.eq (local.get $fault) (i32.const 55))
      (then (memory.fill (i32.const 65530) (i32.const 0) (i32.const 0xffffffff))))
    (if (i32.eq (local.get $fault) (i32.const 56)) (then (drop (i64.load offset=0xffffffff (i32.const 0xffffffff)))))
    (i32.const 0)))
WAT
$plugins{"fault-$_"}{file} = 'arithmetic.wat' for 1 .. 8;

my $zoo = open_zoo(plugins => \%plugins, user_files => [['arithmetic.wat', $arithmetic]]);
$zoo->is_unharmed('with all of them loaded');

for (@of_a_request) {
    my ($callback, $status) = @$_;
    subtest "a trap in $callback" => sub {
        is $zoo->post("/trap-$callback", 'body', 'X-Bad' => 1)->{status}, $status, "ends the request with $status";
        my $told = qr/failed to call function: proxy_$callback of plugin "trap-$callback"/;
        like $zoo->server->wait_for_log($told), qr/\[error\].* in context \d+: .*unreachable.*backtrace: 0: /,
            'is told with its cause and a backtrace';
        $zoo->is_unharmed('afterwards');
        is $zoo->lines($told), 1, 'in one error line';
        my $next = $zoo->post("/trap-$callback", 'body');
        is_deeply [@$next{qw(status body)}, $next->{headers}{'x-zoo'}],
            [200, "trap-$callback\n", 'alive'],
            'and the next request has a plugin that works';
    };
}

my %cause = (
    unreachable => qr/unreachable/, memory => qr/out of bounds memory access/, stack => qr/call stack exhausted/,
);
for my $way (sort keys %cause) {
    subtest "a trap by $way" => sub {
        is $zoo->get("/way-$way", 'X-Bad' => 1)->{status}, 503, 'ends the request';
        is $zoo->lines(qr/plugin "way-$way" in context \d+: .*$cause{$way}/), 1, 'and its cause is told';
        $zoo->is_unharmed('afterwards');
        is $zoo->get("/way-$way")->{headers}{'x-zoo'}, 'alive', 'the next request has a plugin that works';
    };
}

# What each number in x-bad makes it do.
my @faults = (
    'integer divide by zero', 'integer overflow', 'invalid conversion to integer', 'uninitialized element',
    'indirect call type mismatch', 'undefined element: out of bounds table access', 'out of bounds memory access',
    'out of bounds memory access',
);
for my $number (1 .. @faults) {
    my $cause = $faults[$number - 1];
    subtest "a trap by $cause ($number)" => sub {
        is $zoo->get("/fault-$number", 'X-Bad' => $number)->{status}, 503, 'ends the request';
        is $zoo->lines(qr/plugin "fault-$number" in context \d+: .*\Q$cause\E.*\bjudge\b/), 1,
            'and its cause is told, and where it was';
        is $zoo->get("/fault-$number")->{status}, 200, 'the next one is answered';
        $zoo->is_unharmed('afterwards');
    };
}

$zoo->close;
done_testing;
