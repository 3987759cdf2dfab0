# A plugin context without a location (wasm_start): it runs in every worker, and goes on after its
# instance has failed, though no request comes.

use lib '.';
use t::ProxyWasm;

my $port = free_port();
my $s = start_nginx(
    workers     => 2,
    http_config => <<"CONF",
    wasm_plugin service \$TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_plugin other   \$TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_start service '{
        "on_configure": [["log", "info", "started"], ["register_shared_queue", "work"], ["set_tick_period_milliseconds", 20]],
        "on_tick": [
            ["set_tick_period_milliseconds", 0],
            ["http_call", "127.0.0.1:\$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/asked"], [":authority", "a"]]]],
        "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["log", "info", "told \${last}"]],
        "on_queue_ready": [
            {"op": "dequeue_shared_queue", "args": ["\${queue_id}"], "as": "item"},
            {"if": ["eq", "\${item}", "trap"], "then": [["trap"]], "else": [["log", "info", "took \${item}"]]}]
    }';
CONF
    config => <<'CONF',
    location = /asked { return 200 everything; }
    location = /item { proxy_wasm other '{"on_request_headers": [
        {"op": "resolve_shared_queue", "args": ["service", "work"], "as": "queue", "quiet": true},
        ["enqueue_shared_queue", "${queue}", "item"], ["send_local_response", 200, "ok"]]}'; }
    location = /trap { proxy_wasm other '{"on_request_headers": [
        {"op": "resolve_shared_queue", "args": ["service", "work"], "as": "queue", "quiet": true},
        ["enqueue_shared_queue", "${queue}", "trap"], ["send_local_response", 200, "ok"]]}'; }
CONF
);

sub count { my ($pattern) = @_; return scalar(() = $s->error_log =~ /$pattern/g) }

ok $s->wait_for_log(qr/ $_#$_: .*told everything/), 'ticks and calls, in each worker' for $s->worker_pids;
is count(qr/log info started -> OK/), 2, 'which has started it once';
$s->get('/item');
ok $s->wait_for_log(qr/took item/), 'queues';
$s->mark_log;
$s->get('/trap');
ok $s->wait_for_log(qr/failed to call function: proxy_on_queue_ready of plugin "service"/), 'it fails';
ok $s->wait_for_log(qr/log info started -> OK/), 'and is started again, without a request';
ok $s->wait_for_log(qr/told everything/), 'and goes on';
$s->get('/item');
ok $s->wait_for_log(qr/took item/), 'as before';
$s->stop(allow => [qr/\[error\].*(?:trap|unreachable|panicked|note)/]);

# It traps in its configuration until a value is there. The back-off lets it be tried again.
$s = start_nginx(
    http_config => <<'CONF',
    wasm_plugin service $TEST_NGINX_PLUGINS/hostcalls.wasm vm=v;
    wasm_plugin other   $TEST_NGINX_PLUGINS/hostcalls.wasm vm=v;
    wasm_start service '{"on_configure": [
        ["get_shared_data", "ready"], {"if": ["eq", "${status}", "OK"], "then": [["log", "info", "up"]], "else": [["trap"]]}]}';
CONF
    config => q(location = /ready { proxy_wasm other '{"on_request_headers": [
        ["set_shared_data", "ready", "yes"], ["send_local_response", 200, "ok"]]}'; }),
);
ok $s->wait_for_log(qr/plugin "service" did not start for "wasm_start" in /), 'a start that fails is told';
is $s->get('/ready')->{body}, 'ok', 'a request of another plugin of the VM';
ok $s->wait_for_log(qr/log info up -> OK/), 'and tried again by the back-off';
$s->stop(allow => [qr/\[error\]|\[warn\]/]);

done_testing;
