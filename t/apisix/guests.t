# Plugins of other makes than the SDKs' of today: how they start, where their memory comes from, what they take WASI for.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Apisix;

no_long_string();

# One plugin, guest.wat, on a route. It logs the word GREETING of its memory, and adds x-guest: CONF to the response: so the host
# allocated in it. `guest` has what differs.
add_block_preprocessor(sub {
    my ($block) = @_;
    my $guest = $block->guest // return;
    $block->set_value(config_yaml => <<'YAML');
wasm:
  plugins:
    - name: guest
      priority: 1
      file: $TEST_NGINX_HTML_DIR/guest.wat
YAML
    $block->set_value(apisix_yaml => <<'YAML');
routes:
  - id: 1
    uri: /t
    plugins:
      guest:
        conf: blah
YAML
    $block->set_value(user_files => <<"WAT");
>>> guest.wat
(module
  (import "env" "proxy_log" (func \$log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func \$get_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func \$add (param i32 i32 i32 i32 i32) (result i32)))
  $guest
  (memory (export "memory") 1)
  (data (i32.const 0) "greeting")
  (data (i32.const 32) "x-guest")
  (global \$free (mut i32) (i32.const 1024))
  (func \$allocate (param i32) (result i32)
    global.get \$free
    (global.set \$free (i32.add (global.get \$free) (local.get 0))))
  (func (export "proxy_abi_version_0_2_0"))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (i32.eqz (call \$get_buffer (i32.const 7) (i32.const 0) (local.get 1) (i32.const 64) (i32.const 68))))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (drop (call \$log (i32.const 2) (i32.const 0) (i32.const 8)))
    (drop (call \$add (i32.const 2) (i32.const 32) (i32.const 7) (i32.load (i32.const 64)) (i32.load (i32.const 68))))
    (i32.const 0)))
WAT
});
run_tests();

__DATA__

=== TEST 1: started by _initialize, allocating by proxy_on_memory_allocate
--- guest
(func (export "_initialize") (i32.store8 (i32.const 0) (i32.const 71)))
(export "proxy_on_memory_allocate" (func $allocate))
--- response_headers
X-Guest: blah
--- error_log
Greeting
--- no_error_log
[error]



=== TEST 2: started by _start, as TinyGo's are
--- guest
(func (export "_start") (i32.store8 (i32.const 0) (i32.const 71)))
(export "proxy_on_memory_allocate" (func $allocate))
--- response_headers
X-Guest: blah
--- error_log
Greeting
--- no_error_log
[error]



=== TEST 3: started by its start section, as AssemblyScript's are
--- guest
(func $begin (i32.store8 (i32.const 0) (i32.const 71)))
(start $begin)
(export "proxy_on_memory_allocate" (func $allocate))
--- response_headers
X-Guest: blah
--- error_log
Greeting
--- no_error_log
[error]



=== TEST 4: allocating by malloc
--- guest
(func (export "_initialize") (i32.store8 (i32.const 0) (i32.const 71)))
(export "malloc" (func $allocate))
--- response_headers
X-Guest: blah
--- error_log
Greeting
--- no_error_log
[error]



=== TEST 5: importing the older wasi_unstable
--- guest
(import "wasi_unstable" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
(import "wasi_unstable" "proc_exit" (func (param i32)))
(data (i32.const 128) "from wasi_unstable\0a")
(func (export "_start")
  (i32.store8 (i32.const 0) (i32.const 71))
  (i32.store (i32.const 160) (i32.const 128))
  (i32.store (i32.const 164) (i32.const 19))
  (drop (call $fd_write (i32.const 1) (i32.const 160) (i32.const 1) (i32.const 168))))
(export "proxy_on_memory_allocate" (func $allocate))
--- response_headers
X-Guest: blah
--- error_log
from wasi_unstable
Greeting
--- no_error_log
[error]



=== TEST 6: importing wasi_snapshot_preview1
--- guest
(import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
(data (i32.const 128) "from preview1\0a")
(func (export "_initialize")
  (i32.store8 (i32.const 0) (i32.const 71))
  (i32.store (i32.const 160) (i32.const 128))
  (i32.store (i32.const 164) (i32.const 14))
  (drop (call $fd_write (i32.const 1) (i32.const 160) (i32.const 1) (i32.const 168))))
(export "malloc" (func $allocate))
--- response_headers
X-Guest: blah
--- error_log
from preview1
Greeting
--- no_error_log
[error]



=== TEST 7: importing every function of ABI 0.1.0, 0.2.0 and 0.2.1
--- guest eval
my %by_parameters = (
    0  => 'done continue_request continue_response clear_route_cache',
    1  => 'set_effective_context get_current_time_nanoseconds set_tick_period_milliseconds get_log_level continue_stream close_stream
        grpc_cancel grpc_close',
    2  => 'get_configuration get_header_map_size get_metric',
    3  => 'log get_buffer_status get_header_map_pairs set_header_map_pairs remove_header_map_value get_status
        register_shared_queue dequeue_shared_queue enqueue_shared_queue',
    4  => 'grpc_send define_metric get_property set_property',
    5  => 'get_buffer_bytes set_buffer_bytes get_header_map_value add_header_map_value replace_header_map_value
        get_shared_data set_shared_data resolve_shared_queue',
    6  => 'call_foreign_function',
    8  => 'send_local_response',
    9  => 'grpc_stream',
    10 => 'http_call',
    12 => 'grpc_call',
);
my @imports = map { my $n = $_; map { qq{"env" "proxy_$_" (func (param @{["i32 " x $n]}) (result i32))} } split ' ', $by_parameters{$n} }
    sort keys %by_parameters;
push @imports, map { qq{"env" "proxy_$_" (func (param i32 i64) (result i32))} } qw(record_metric increment_metric);
push @imports, map { qq{"wasi_snapshot_preview1" $_} } '"fd_write" (func (param i32 i32 i32 i32) (result i32))',
    '"clock_time_get" (func (param i32 i64 i32) (result i32))', '"proc_exit" (func (param i32))',
    map { qq{"$_" (func (param i32 i32) (result i32))} } qw(random_get environ_sizes_get environ_get args_sizes_get args_get);
CORE::join('', map { "(import $_)\n" } @imports) . <<'WAT';
(func (export "_initialize") (i32.store8 (i32.const 0) (i32.const 71)))
(export "proxy_on_memory_allocate" (func $allocate))
WAT
--- response_headers
X-Guest: blah
--- error_log
Greeting
--- no_error_log
[error]
