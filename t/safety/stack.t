# A plugin without end to its calls: its own, and those that go through the host's need for its allocator.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo qw(open_zoo bad_in);

# The host asks this allocator for room, and this allocator asks the host for something that needs room.
my $recursion = <<'WAT';
(module
  (import "env" "proxy_get_property" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "host") (data (i32.const 16) "inner refused") (data (i32.const 32) "outer answered")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32)
    (if (call $get (i32.const 0) (i32.const 4) (i32.const 64) (i32.const 68))
      (then (drop (call $log (i32.const 2) (i32.const 16) (i32.const 13)))))
    (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (if (i32.eqz (call $get (i32.const 0) (i32.const 4) (i32.const 64) (i32.const 68)))
      (then (drop (call $log (i32.const 2) (i32.const 32) (i32.const 14)))))
    (i32.const 0)))
WAT

# Frames that are large from the start: one call may step over a guard page.
my $locals = join ' ', ('i64') x 20_000;
my $sets   = join ' ', map { "(local.set $_ (i64.const $_))" } 0 .. 19_999;
my $large  = <<"WAT";
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func \$eat (export "eat") (param i64) (result i64) (local $locals)
    $sets
    (i64.add (call \$eat (i64.add (local.get 0) (i64.const 1))) (local.get 19999)))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (i32.wrap_i64 (call \$eat (i64.const 0)))))
WAT

my @callbacks = qw(on_request_headers on_response_headers on_response_body on_log);
my $zoo = open_zoo(
    plugins => {
        (map { ("deep-$_" => { script => bad_in($_, '["trap", "stack"]') }) } @callbacks),
        start => { script => '{"on_configure": [["trap", "stack"]]}' },
        recursion => { file => 'recursion.wat' },
        large     => { file => 'large.wat' },
    },
    user_files => [['recursion.wat', $recursion], ['large.wat', $large]],
);
$zoo->is_unharmed('with all of them loaded');

for my $callback (@callbacks) {
    subtest "a stack without end in $callback" => sub {
        is $zoo->get("/deep-$callback", 'X-Bad' => 1)->{status}, $callback eq 'on_log' ? 200 : 503, 'ends the request';
        ok $zoo->server->wait_for_log(qr/proxy_$callback of plugin "deep-$callback" .*call stack exhausted/), 'is a trap';
        $zoo->is_unharmed('afterwards');
        is $zoo->get("/deep-$callback")->{headers}{'x-zoo'}, 'alive', 'and the next request has a plugin that works';
    };
}

subtest 'frames of a hundred kilobytes' => sub {
    is $zoo->get('/large')->{status}, 503, 'end in a trap, too';
    is $zoo->lines(qr/\[error\].*plugin "large" .*call stack exhausted/), 1, 'of the same kind';
    $zoo->is_unharmed('afterwards');
};

subtest 'an allocator that needs itself' => sub {
    is $zoo->get('/recursion')->{status}, 200, 'does no harm';
    is $zoo->lines(qr/inner refused/), 1, 'it is given nothing';
    is $zoo->lines(qr/outer answered/), 1, 'and what it allocated is used';
    $zoo->is_unharmed('afterwards');
};

is $zoo->get('/start')->{status}, 503, 'a stack without end in on_configure fails its requests';
$zoo->is_unharmed('in the end');
$zoo->close;
done_testing;
