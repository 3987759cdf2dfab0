# A plugin that makes calls without end: past the limit it is given none, and what it does about that is its own affair.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';

# Makes calls until one is refused, and answers 200 if they were 10,000. Nothing answers them: they wait for a name.
my $calls = <<'WAT';
(module
  (import "env" "proxy_http_call" (func $http (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_call" (func $grpc (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $answer (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "nowhere.test")
  ;; A map of :authority, :path and :method.
  (data (i32.const 128) "\03\00\00\00\0a\00\00\00\01\00\00\00\05\00\00\00\01\00\00\00\07\00\00\00\03\00\00\00"
    ":authority\00a\00:path\00/\00:method\00GET\00")
  (func (export "proxy_abi_version_0_2_1"))
  (func $call (result i32)
    (call $http (i32.const 64) (i32.const 12) (i32.const 128) (i32.const 61) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const 60000) (i32.const 8)))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (local $calls i32)
    (block $refused
      (loop $again
        (br_if $refused (i32.ne (call $call) (i32.const 0)))
        (local.set $calls (i32.add (local.get $calls) (i32.const 1)))
        (br_if $again (i32.le_u (local.get $calls) (i32.const 10000)))))
    ;; INTERNAL_FAILURE, for every call from then on
    (if (i32.ne (call $call) (i32.const 10)) (then unreachable))
    (if (i32.ne (i32.const 10) (call $grpc (i32.const 64) (i32.const 12) (i32.const 64) (i32.const 7) (i32.const 64) (i32.const 7)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 60000) (i32.const 8))) (then unreachable))
    (if (i32.ne (local.get $calls) (i32.const 10000)) (then unreachable))
    (drop (call $answer (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 7) (i32.const 0) (i32.const 0)
      (i32.const -1)))
    (i32.const 0)))
WAT

# Nobody answers there.
my $resolver = free_port();

my $zoo = open_zoo(
    plugins     => { calls => { file => 'calls.wat', options => 'callback_timeout=10s' } },
    user_files  => [['calls.wat', $calls]],
    http_config => "    resolver 127.0.0.1:$resolver;\n",
);
for my $time (qw(first second)) {
    my $got = $zoo->get('/calls');
    is "$got->{status} $got->{body}", '200 nowhere', "a request can make 10,000, the $time one as well";
}
ok $zoo->lines(qr/\[error\].*a plugin has 10000 calls under way, and may not have more/), 'which is told';
ok $zoo->lines(qr/\[error\].*a plugin has 10000 calls under way of requests that are over; further ones are cancelled/),
    'and so is that no more outlive their request';
$zoo->is_unharmed('afterwards');

$zoo->close;
done_testing;
