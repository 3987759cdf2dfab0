# A plugin that floods the log: it costs its own time, and its lines stay lines.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';

my $flood = <<'WAT';
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 16)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (memory.fill (i32.const 0) (i32.const 65) (i32.const 1000000))
    (loop $again (drop (call $log (i32.const 3) (i32.const 0) (i32.const 1000000))) (br $again))
    (i32.const 0)))
WAT
my $zoo = open_zoo(
    plugins => {
        flood  => { file => 'flood.wat', options => 'callback_timeout=5ms' },
        long   => { script => '{"on_request_headers": [["log", "warn", {"repeat": ["long", 1000000]}]]}' },
        stdout => { script => '{"on_request_headers": [["stdout", {"repeat": ["x", 300000]}], ["stderr", {"repeat": ["line\n", 2000]}]]}' },
        bytes  => { script => '{"on_request_headers": [["log", "warn", {"hex": "25732573256e00ff1b5b33316d"}]]}' },
        levels => { script => '{"on_request_headers": [["raw", "proxy_log", 6, 0, 0], ["raw", "proxy_log", 4294967295, 0, 0]]}' },
    },
    user_files => [['flood.wat', $flood]],
);

subtest 'lines without end' => sub {
    is $zoo->get('/flood')->{status}, 503, 'end with the callback';
    ok $zoo->lines(qr/AAAA/), 'having been written';
    is $zoo->lines(qr/^.{4096}/), 0, 'none longer than nginx writes';
    $zoo->is_unharmed('afterwards');
    $zoo->server->mark_log;
};

subtest 'a line of four megabytes' => sub {
    is $zoo->get('/long')->{status}, 200, 'does no harm';
    is $zoo->lines(qr/\[warn\].*longlonglong/), 1, 'and is one line, cut';
    $zoo->is_unharmed('afterwards');
};

subtest 'output' => sub {
    is $zoo->get('/stdout')->{status}, 200, 'of any length does no harm';
    $zoo->is_unharmed('afterwards');
};

subtest 'bytes' => sub {
    is $zoo->get('/bytes')->{status}, 200, 'that look like a format do no harm';
    is $zoo->lines(qr/\[warn\].*%s%s%n/), 1, 'and are written as they are';
    $zoo->is_unharmed('afterwards');
};

is $zoo->get('/levels')->{status}, 200, 'levels that are none do no harm';
$zoo->is_unharmed('in the end');
$zoo->close;
done_testing;
