# vm= of wasm_plugin: plugins of one file that share an instance in each worker, each with a root id
# and a name of its own, and shared data and queues by the VM's id.

use lib '.';
use t::ProxyWasm;
use JSON::PP qw(decode_json);

# Counts the requests of an instance, and answers with the count. A path of /t… makes it fail.
my $counter = <<'WAT';
(module
  (import "env" "proxy_send_local_response"
    (func $send (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "0")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (i32.const 1)))
    (drop (call $send (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1)
      (i32.const 0) (i32.const 0) (i32.const -1)))
    (i32.const 1))
  (func (export "proxy_on_log") (param i32)
    (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 51)) (then unreachable))))
WAT

sub counters {
    my ($options) = @_;
    return start_nginx(
        http_config => "wasm_plugin a \$TEST_NGINX_HTML_DIR/counter.wat $options;
            wasm_plugin b \$TEST_NGINX_HTML_DIR/counter.wat $options;",
        config     => 'location /a { proxy_wasm a; } location /b { proxy_wasm b; } location = /status { wasm_status; }',
        user_files => [['counter.wat', $counter]],
    );
}

sub count { my ($s, @paths) = @_; return join ' ', map { $s->get($_)->{body} } @paths }

my $s = counters('');
is count($s, qw(/a /b /a)), '1 1 2', 'each plugin has an instance';
$s->stop;

$s = counters('vm=both');
is count($s, qw(/a /b)), '1 2', 'plugins of one VM share theirs';
is_deeply [map { $_->{name} } @{ decode_json($s->get('/status')->{body})->{plugins} }], ['both'], 'which has the VM\'s name';
is count($s, qw(/a /b /a)), '3 1 2', 'if it fails, it fails for both, and both get the next one';
ok $s->wait_for_log(qr/failed to call function: proxy_on_log of plugin "both"/), 'which is told';
$s->stop(allow => [qr/\[error\]/]);

$s = counters('vm=both isolation=request');
is count($s, qw(/a /b /a)), '1 1 1', 'isolation=request: each request has an instance for itself';
$s->stop;

$s = counters('vm=both image=on');
is count($s, qw(/a /b /a /b /a)), '1 2 3 1 2', 'image=on: the next instance is restored';
is decode_json($s->get('/status')->{body})->{plugins}[0]{all_workers}{restores}, 1, 'with the contexts of both';
$s->stop(allow => [qr/\[error\]/]);

my $asks = '["get_property", "plugin_name"], ["get_property", "plugin_root_id"], ["get_property", "plugin_vm_id"]';
$s = start_nginx(
    http_config => '
        wasm_plugin a $TEST_NGINX_PLUGINS/hostcalls.wasm vm=both root_id=first  vm_config=text;
        wasm_plugin b $TEST_NGINX_PLUGINS/hostcalls.wasm vm=both root_id=second vm_config=text failure=open;
        wasm_plugin c $TEST_NGINX_PLUGINS/hostcalls.wasm;',
    config => qq(
        location /a { proxy_wasm a '{"trace": true,
            "on_vm_start": [["get_buffer_bytes", "vm_configuration"]],
            "on_configure": [["register_shared_queue", "q"]],
            "on_queue_ready": [["dequeue_shared_queue", "\${queue_id}"], ["log", "info", "taken"]],
            "on_request_headers": [$asks, ["set_shared_data", "key", "value"], ["send_local_response", 200, "\${report}"]]}'; }
        location /b { proxy_wasm b '{"trace": true,
            "on_request_headers": [$asks, ["get_shared_data", "key"],
                {"op": "resolve_shared_queue", "args": ["", "q"], "as": "queue"}, ["enqueue_shared_queue", "\${queue}", "item"],
                ["send_local_response", 200, "\${report}"]]}'; }
        location /c { proxy_wasm c '{
            "on_request_headers": [["get_shared_data", "key"], ["resolve_shared_queue", "both", "q"],
                ["send_local_response", 200, "\${report}"]]}'; }
        location /trap { proxy_wasm b '{"on_request_headers": [["trap"]]}'; return 200 open; }),
);
like $s->get('/a')->{body}, qr/plugin_name -> OK a\n.*plugin_root_id -> OK first\n.*plugin_vm_id -> OK both\n/, 'a plugin knows itself';
like $s->get('/b')->{body},
    qr/plugin_name -> OK b\n.*plugin_root_id -> OK second\n.*plugin_vm_id -> OK both\n.*get_shared_data key -> OK value\n/,
    'the other has its own name and root id, and the same shared data';
ok $s->wait_for_log(qr/dequeue_shared_queue \d+ -> OK item/), 'and the same queues';
my $other = $s->get('/c')->{body};
like $other, qr/get_shared_data key -> NOT_FOUND/, 'a plugin that is not in the VM has other data';
like $other, qr/resolve_shared_queue both q -> OK/, 'and finds the queue by the id of the VM';
my @started = $s->error_log =~ /on_vm_start (\d+)/g;
is "@started", '1 2', 'proxy_on_vm_start is called for each plugin of the VM';
like $s->error_log, qr/get_buffer_bytes vm_configuration -> OK text/, 'with the configuration of the VM';
is $s->get('/trap')->{body}, 'open', 'what a failure does to a request is each plugin\'s own';
$s->stop(allow => [qr/\[error\]/]);

done_testing;
