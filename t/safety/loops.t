# A plugin that does not come back from a callback: it is interrupted, and the gateway goes on.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo qw(open_zoo bad_in BRIEF);
use Time::HiRes 'time';

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
for (@of_a_request) {
    my ($callback) = @$_;
    $plugins{"loop-$callback"} = { script => bad_in($callback, '["loop"]'), options => 'callback_timeout=' . BRIEF };
}
$plugins{"start-$_"} = { script => qq({"$_": [["loop"]]}), options => 'start_timeout=' . BRIEF } for qw(on_configure on_vm_start);
$plugins{tick} = {
    script  => '{"on_configure": [["set_tick_period_milliseconds", 1]], "on_tick": [["loop"]]}',
    options => 'callback_timeout=' . BRIEF,
};

# Loops that call the host, or let wasmtime work, so that it is not the guest which takes the time.
my %busy = (
    fill   => '(memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))',
    grow   => '(drop (memory.grow (i32.const 0)))',
    copy   => '(memory.copy (i32.const 0) (i32.const 8) (i32.const 8))',
    table  => '(table.fill (i32.const 0) (ref.null func) (i32.const 4))',
    log    => '(drop (call $log (i32.const 0) (i32.const 0) (i32.const 60000)))',
    write  => '(drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))',
    sleep  => '(drop (call $poll (i32.const 0) (i32.const 512) (i32.const 1) (i32.const 8)))',
    random => '(drop (call $random (i32.const 0) (i32.const 65536)))',
    # The time passes before the host calls the guest's allocator, and none after it.
    compress => '(drop (call $foreign (i32.const 1024) (i32.const 8) (i32.const 65536) (i32.const 1000000) (i32.const 768) (i32.const 0)))',
);
my @files = map { ["$_.wat", <<"WAT"] } sort keys %busy;
(module
  (import "env" "proxy_log" (func \$log (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func \$write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func \$poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func \$random (param i32 i32) (result i32)))
  (import "env" "proxy_call_foreign_function" (func \$foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 17)
  (table 4 funcref)
  (data (i32.const 1024) "compress")
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 2048))
  (data (i32.const 0) "\\10\\00\\00\\00\\00\\01\\00\\00")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (loop \$again $busy{$_} (br \$again))
    (i32.const 0)))
WAT
push @files, map { ["start-$_->[0].wat", <<"WAT"] } ['section', '(start $loop)'], [_start => '(export "_start" (func $loop))'],
(module
  (memory (export "memory") 1)
  (func \$loop (loop \$again (br \$again)))
  $_->[1]
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))
WAT
    [_initialize => '(export "_initialize" (func $loop))'];
$plugins{"busy-$_"}  = { file => "$_.wat",       options => 'callback_timeout=' . BRIEF } for keys %busy;
$plugins{"start-$_"} = { file => "start-$_.wat", options => 'start_timeout=' . BRIEF } for qw(section _start _initialize);

my $zoo = open_zoo(plugins => \%plugins, user_files => \@files, log_level => 'error');
$zoo->is_unharmed('with all of them loaded');

sub took_long {
    my ($begin) = @_;
    return sprintf('%.3f s', time - $begin) if time - $begin > 5 * $ProxyWasm::Settings::Patience;
    return 'no time';
}

for (@of_a_request) {
    my ($callback, $status) = @$_;
    subtest "a loop in $callback" => sub {
        my $begin = time;
        is $zoo->post("/loop-$callback", 'body', 'X-Bad' => 1)->{status}, $status, "ends the request with $status";
        my $told = qr/\[error\].*: proxy_$callback of plugin "loop-$callback" in context \d+: it ran past its timeout/;
        ok $zoo->server->wait_for_log($told), 'is told';
        is took_long($begin), 'no time', 'takes no time';
        $zoo->is_unharmed('afterwards');
        is $zoo->lines($told), 1, 'in one error line';
        is $zoo->post("/loop-$callback", 'body')->{headers}{'x-zoo'}, 'alive', 'and the next request has a plugin that works';
    };
}

for my $where (qw(on_configure on_vm_start section _start _initialize)) {
    subtest "a loop in $where" => sub {
        ok $zoo->lines(qr/\[error\].*plugin "start-$where" in context \d: it ran past its timeout/), 'is told when the worker starts';
        my $begin = time;
        is $zoo->get("/start-$where")->{status}, 503, 'and fails each request';
        is took_long($begin), 'no time', 'soon';
        $zoo->is_unharmed('afterwards');
    };
}

for my $call (sort keys %busy) {
    subtest "a loop that does: $call" => sub {
        my $begin = time;
        is $zoo->get("/busy-$call")->{status}, 503, 'ends the request';
        is took_long($begin), 'no time', 'soon';
        $zoo->is_unharmed('afterwards');
    };
}

subtest 'a loop in on_tick' => sub {
    ok $zoo->server->wait_for_log(qr/proxy_on_tick of plugin "tick" in context 1: it ran past its timeout/), 'is told';
    $zoo->is_unharmed('afterwards');
};

$zoo->close;
done_testing;
