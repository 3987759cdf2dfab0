# A plugin that does with its files what it should not: the gateway goes on.

use lib '.';
use t::ProxyWasm;
use POSIX ();
use ProxyWasm::Zoo qw(BRIEF);

my $brief = 'callback_timeout=' . BRIEF;
my $s     = start_nginx(
    workers     => 1,
    http_config => <<"E",
    wasm_plugin rust  \$TEST_NGINX_PLUGINS/rust-files.wasm phase=rewrite dir=html/data:/data:rw $brief;
    wasm_plugin go    \$TEST_NGINX_PLUGINS/go-files.wasm   phase=rewrite dir=html/data:/data:rw $brief;
    wasm_plugin calls \$TEST_NGINX_HTML_DIR/calls.wat      phase=rewrite dir=html/data:/data    $brief;
    wasm_plugin own   \$TEST_NGINX_PLUGINS/rust-files.wasm phase=rewrite dir=html/data:/data    isolation=request image=on;
E
    config => <<'E',
    location = /rust  { proxy_wasm rust;  return 500; }
    location = /go    { proxy_wasm go;    return 500; }
    location = /own   { proxy_wasm own;   return 500; }
    location = /calls { proxy_wasm calls; return 500; }
    location = /plain { return 200 plain; }
E
    user_files => [['data/a.txt', 'hello'], ['data/held.txt', 'held'], map({ ["data/many/$_", ''] } 1 .. 2000), ['calls.wat', <<'W']],
;; Lists a directory again and again, by the host's functions alone.
(module
  (import "wasi_snapshot_preview1" "fd_readdir" (func $list (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 32)
  (data (i32.const 0) "many")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (if (call $open (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 4) (i32.const 2) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 64))
      (then unreachable))
    (loop $again
      (br_if $again (i32.eqz (call $list (i32.load (i32.const 64)) (i32.const 65536) (i32.const 1000000) (i64.const 0) (i32.const 128)))))
    unreachable))
W
);
my $data     = $s->html_dir . '/data';
my ($worker) = $s->worker_pids;
chmod 0777, $data or die $!;
POSIX::mkfifo("$data/fifo", 0666) or die $!;

sub ask { my ($path, @commands) = @_; return $s->get($path, 'X-Files' => join ';', @commands) }

# How many descriptors of the worker are of that file.
sub open_of { my ($file) = @_; return scalar grep { (readlink // '') eq "$data/$file" } glob "/proc/$worker/fd/*" }

for my $path ('/rust', '/go', '/calls') {
    subtest "$path does not stop" => sub {
        $s->mark_log;
        is ask($path, 'forever /data/a.txt')->{status}, 503, 'it is interrupted';
        ok $s->wait_for_log(qr/ran past its timeout/), 'the log says why';
        is $s->get('/plain')->{body}, 'plain', 'the worker serves';
    };
}

subtest 'nobody waits for the other end of a FIFO' => sub {
    for my $path ('/rust', '/go') {
        is ask($path, 'read /data/fifo', 'write /data/fifo x')->{body}, "read /data/fifo: error 58\nwrite /data/fifo x: error 58\n", $path;
    }
};

subtest 'descriptors' => sub {
    for my $round (1 .. 20) {
        like ask('/own', 'many /data/a.txt')->{body}, qr/: 64 files, then error 33$/, "request $round has its share";
    }
    is open_of('a.txt'), 0, 'none of them stays open';
};

subtest 'a plugin that fails' => sub {
    is ask('/rust', 'hold /data/held.txt')->{body}, "hold /data/held.txt: done\n", 'it holds a file';
    is open_of('held.txt'), 1, 'which is open';
    is ask('/rust', 'forever /data/a.txt')->{status}, 503, 'it is interrupted';
    is open_of('held.txt'), 0, 'then nothing of it is open';
};

is_deeply [$s->worker_pids], [$worker], 'it has been one worker all the time';
$s->stop(allow => [qr/ran past its timeout|not tried/]);
done_testing;
