# An instance that takes the place of another finds nothing of it in its memory, nor of another
# plugin: it begins with zeros and what its module has there.

use lib '.';
use t::ProxyWasm;

# For each request: if all of its memory is zeros, it fills it and traps.
my $fills = <<'E';
(module
  (memory (export "memory") 16)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (local $at i32)
    (loop $next
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (return (i32.const 0))))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 1048576))))
    (memory.fill (i32.const 0) (i32.const 255) (i32.const 1048576))
    (unreachable)))
E

my $s = start_nginx(
    user_files  => [['fills.wat', $fills]],
    http_config => join('', map { "wasm_plugin $_ html/fills.wat phase=rewrite;\n" } qw(one other)),
    config      => join('', map { "location /$_ { proxy_wasm $_; return 200; }\n" } qw(one other)),
);
my ($worker) = $s->worker_pids;
# After the second failure of each, none would be started for a while.
for my $name (qw(one other one other)) {
    $s->mark_log;
    is $s->get("/$name")->{status}, 503, "$name: found zeros";
    ok $s->wait_for_log(qr/plugin "$name" in context .*`unreachable`/), 'and filled them';
}
is_deeply [$s->worker_pids], [$worker], 'in one worker';
$s->stop(allow => [qr/\[error\]/]);
done_testing;
