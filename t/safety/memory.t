# A plugin that takes memory: past its limit it gets none, and what it does about that is its own affair.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';

# Growing as WebAssembly does, without an allocator of the guest's: `memory.grow` and `table.grow` answer -1.
my $grower = <<'WAT';
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (table $table 1 funcref)
  (data (i32.const 0) "memory.grow refusedtable.grow refused")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (drop (call $log (i32.const 2) (i32.const 0) (i32.const 19)))
    (loop $again (br_if $again (i32.ne (table.grow $table (ref.null func) (i32.const 10000)) (i32.const -1))))
    (drop (call $log (i32.const 2) (i32.const 19) (i32.const 18)))
    (i32.const 0)))
WAT

my $zoo = open_zoo(
    plugins => {
        eater => {
            script => '{"on_request_headers": [
                {"if": ["request_header", "x-bad"], "then": [
                    ["alloc", 4000000], ["alloc", 4000000], ["alloc", 4000000], ["alloc", 4000000], ["alloc", 4000000],
                    ["memory_size"]
                ]}
            ]}',
            options => 'memory_limit=16m',
        },
        panics => {
            script  => '{"on_request_headers": [["echo", {"repeat": ["aaaaaaaaaaaaaaaa", 2000000]}]]}',
            options => 'memory_limit=8m',
        },
        answers => {
            script  => '{"on_request_headers": [["send_local_response", 200, {"repeat": ["0123456789", 1000000]}]]}',
            options => 'memory_limit=64m',
        },
        grower => { file => 'grower.wat', options => 'memory_limit=8m' },
        starts => { script => '{"on_configure": [["alloc", 100000000], ["memory_size"]]}', options => 'memory_limit=8m' },
    },
    user_files => [['grower.wat', $grower]],
    config     => 'location = /status { wasm_status; }',
);

sub resident {
    my ($pid) = @_;
    open my $status, '<', "/proc/$pid/status" or die "no worker $pid: $!\n";
    my ($kilobytes) = join('', <$status>) =~ /^VmRSS:\s+(\d+) kB/m;
    return $kilobytes;
}

$zoo->is_unharmed('with all of them loaded');
my $before = resident($zoo->worker);

subtest 'an allocation past the limit fails in the guest' => sub {
    is $zoo->get('/eater', 'X-Bad' => 1)->{status}, 200, 'which goes on';
    my @results = map { /alloc 4000000 -> (\w+)/ } $zoo->lines(qr/alloc 4000000/);
    is_deeply \@results, [qw(OK OK OK FAILED FAILED)], 'with what it can have';
    my ($pages) = map { /memory_size -> \S+ (\d+)/ } $zoo->lines(qr/memory_size.*client/);
    cmp_ok $pages, '<=', 256, 'within 16 MiB';
    is $zoo->get('/eater', 'X-Bad' => 1)->{status}, 200, 'again and again';
    $zoo->is_unharmed('meanwhile');
};

subtest 'a guest that cannot live without' => sub {
    is $zoo->get('/panics')->{status}, 503, 'fails';
    $zoo->is_unharmed('afterwards');
};

subtest 'memory and tables' => sub {
    is $zoo->get('/grower')->{status}, 200, 'grow as far as they may';
    is $zoo->lines(qr/memory\.grow refused/), 1, 'memory to its limit';
    is $zoo->lines(qr/table\.grow refused/),  1, 'tables to theirs';
    $zoo->is_unharmed('afterwards');
};

subtest 'a plugin that takes it all in on_configure' => sub {
    ok $zoo->lines(qr/\] \S+ alloc 100000000 -> FAILED/), 'is given none';
    is $zoo->get('/starts')->{status}, 200, 'and may go on';
};

subtest 'the status page' => sub {
    like $zoo->get('/status')->{body}, qr/"eater"/, 'knows them';
};

subtest 'a large answer' => sub {
    is length $zoo->get('/answers')->{body}, 10_000_000, 'arrives whole';
    $zoo->get('/answers') for 1 .. 5;
    $zoo->is_unharmed('afterwards');
};

cmp_ok resident($zoo->worker) - $before, '<', 150_000, 'the worker holds no more than the plugins\' limits allow (kB)';

$zoo->close(allow => [qr/memory allocation|panicked|capacity overflow|OOM/i]);
done_testing;
