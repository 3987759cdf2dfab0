# proxy_register_shared_queue, _resolve_, _enqueue_, _dequeue_ and proxy_on_queue_ready.

use lib '.';
use t::ProxyWasm 'no_plan';

run_tests();

__DATA__

=== TEST 1: items come in order
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            {"op": "register_shared_queue", "args": ["q"], "as": "q"},
            {"op": "register_shared_queue", "args": ["q"], "as": "again"},
            {"if": ["eq", "${q}", "${again}"], "then": [["echo", "same id"]]},
            ["enqueue_shared_queue", "${q}", "one"],
            ["enqueue_shared_queue", "${q}", "two"],
            ["dequeue_shared_queue", "${q}"],
            ["dequeue_shared_queue", "${q}"],
            ["dequeue_shared_queue", "${q}"],
            ["send_local_response", 200, "${report}"]
        ]}';
    }
--- request
GET /t
--- response_body_like: same id[\s\S]*dequeue\S+ \d+ -> OK one\n[\s\S]*dequeue\S+ \d+ -> OK two\n[\s\S]*dequeue\S+ \d+ -> EMPTY



=== TEST 2: a queue is found by the VM id of who registered it, which is the plugin's name
--- http_config
    wasm_plugin one $TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_plugin two $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t {
        proxy_wasm one '{"on_configure": [["register_shared_queue", "q"]]}';
        proxy_wasm two '{"on_request_headers": [
            ["resolve_shared_queue", "", "q"],
            ["resolve_shared_queue", "one", "other"],
            {"op": "resolve_shared_queue", "args": ["one", "q"], "as": "q"},
            ["enqueue_shared_queue", "${q}", "hello"],
            ["enqueue_shared_queue", 77, "nobody"],
            ["dequeue_shared_queue", 0],
            ["send_local_response", 200, "${report}"]
        ]}';
    }
--- request
GET /t
--- response_body_like: "" q -> NOT_FOUND[\s\S]*one other -> NOT_FOUND[\s\S]*hello -> OK[\s\S]*nobody -> NOT_FOUND[\s\S]*dequeue\S+ 0 -> NOT_FOUND



=== TEST 3: who registered it is told of each item, also of those that it adds itself
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_configure": [
                {"op": "register_shared_queue", "args": ["q"], "as": "q"},
                ["enqueue_shared_queue", "${q}", "early"]
            ],
            "on_queue_ready": [["dequeue_shared_queue", "${queue_id}"]],
            "on_request_headers": [
                ["enqueue_shared_queue", "${q}", "first"],
                ["enqueue_shared_queue", "${q}", "second"],
                ["send_local_response", 200, "ok"]
        ]}';
    }
--- request
GET /t
--- response_body: ok
--- wait: 0.1
--- grep_error_log eval: qr/dequeue_shared_queue \d+ -> \w+ \w*/
--- grep_error_log_out eval
qr/-> OK early\n.*-> OK first\n.*-> OK second\n$/s



=== TEST 4: a full zone refuses with INTERNAL_FAILURE, an item that could never fit with BAD_ARGUMENT, and neither loses any
--- http_config
    wasm_shared_queue 128k;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            {"op": "register_shared_queue", "args": ["q"], "as": "q", "quiet": true},
            {"op": "enqueue_shared_queue", "args": ["${q}", {"repeat": ["a", 70000]}], "quiet": true},
            {"op": "enqueue_shared_queue", "args": ["${q}", {"repeat": ["b", 70000]}], "as": "full", "quiet": true},
            {"op": "enqueue_shared_queue", "args": ["${q}", {"repeat": ["c", 200000]}], "as": "never", "quiet": true},
            ["echo", "full ${full} never ${never}"],
            ["dequeue_shared_queue", "${q}"],
            ["dequeue_shared_queue", "${q}"],
            ["send_local_response", 200, "${report}"]
        ]}';
    }
--- request
GET /t
--- response_body_like: full INTERNAL_FAILURE never BAD_ARGUMENT[\s\S]* -> OK aaa[\s\S]*-> EMPTY
