# Where the module in C has a defect or a gap, and this one has not: each in a request that APISIX drives.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Apisix;

no_long_string();
add_block_preprocessor(sub {
    my ($block) = @_;
    my $script = $block->script // return;
    $script =~ s{CALL\((\S+?)\)}
        {["http_call", "127.0.0.1:$ENV{TEST_NGINX_UPSTREAM_PORT}", [[":method", "GET"], [":path", "$1"], [":authority", "test.com"]]]}g;
    $block->set_value(script => $script);
});
run_tests();

__DATA__

=== TEST 1: calls of one request are under way together (C: the second is refused)
--- http_config
    init_worker_by_lua_block {
        gateway.load_plugins("$TEST_NGINX_HTML_DIR/config.json")
        gateway.load_resources("$TEST_NGINX_HTML_DIR/apisix.json")
        second = require("ngx.semaphore").new()
    }
--- upstream
    location = /first { content_by_lua_block { ngx.print(second:wait(30) and "both" or "alone") } }
    location = /second { content_by_lua_block { second:post() } }
--- script
{"on_request_headers": [CALL(/first), CALL(/second)],
 "on_http_call_response": [{"if": ["not", ["eq", "${body_size}", "0"]],
    "then": [["get_buffer_bytes", "call_response_body"], ["add_header_map_value", "request", "x-seen", "${last}"]]}]}
--- response_body_like: x-seen: both
--- no_error_log
[error]



=== TEST 2: a pause without a call (C: the worker dies)
--- http_config
    wasm_pause_timeout 30ms;
--- script
{"on_request_headers": [{"if": ["request_header", "x-pause"], "then": [["return", "pause"]]}]}
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["X-Pause: 1", "X-Go: 1"]
--- error_code eval
[503, 200]
--- no_error_log
exited on signal



=== TEST 3: a result that is no action (C: a loop for good)
--- script
{"on_request_headers": [["return", 42]]}
--- error_code: 503
--- error_log
it returned 42, which is not an action



=== TEST 4: HTTP/1.0 without Host (C: the worker dies)
--- script
{"on_request_headers": [["get_header_map_value", "request", ":authority"], ["get_header_map_pairs", "request"]]}
--- raw_request eval
"GET /t HTTP/1.0\r\n\r\n"
--- error_log
get_header_map_pairs request -> OK :scheme: http | :path: /t | :method: GET
--- no_error_log
[error]



=== TEST 5: an address and a size that overflow together (C: memory of the worker is read)
--- script
{"on_request_headers": [["raw", "proxy_log", 2, 4294967295, 16], ["raw", "proxy_get_header_map_pairs", 0, "end-2", "slot"]]}
--- error_log
raw proxy_log 2 4294967295 16 -> INVALID_MEMORY_ACCESS
raw proxy_get_header_map_pairs 0 end-2 slot -> INVALID_MEMORY_ACCESS
--- no_error_log
[error]



=== TEST 6: a map that says more than it holds (C: read past its end)
--- script
{"on_request_headers": [
    ["set_header_map_pairs", "request", {"hex": "ff000000"}],
    ["set_header_map_pairs", "request", {"hex": "01000000ffffff7f0100000061006200"}]]}
--- response_body_like: ^GET /t
--- grep_error_log eval
qr/set_header_map_pairs request .*-> \w+/
--- grep_error_log_out eval
qr/^(?:set_header_map_pairs request .*-> BAD_ARGUMENT\n){2}$/
--- no_error_log
[error]



=== TEST 7: a trap (C: every later request of the plugin fails, too)
--- script
{"on_request_headers": [{"if": ["request_header", "x-trap"], "then": [["trap"]]}]}
--- request eval
["GET /t", "GET /t", "GET /t"]
--- more_headers eval
["X-Trap: 1", "X-Go: 1", "X-Go: 1"]
--- error_code eval
[503, 200, 200]
--- no_error_log
exited on signal



=== TEST 8: an answer with a field that is refused (C: its body may be of a freed pool)
--- script
{"on_request_headers": [["send_local_response", 403, "no", [["x-a\n", "b"]]]]}
--- response_body_like: ^GET /t
--- error_log eval
qr/send_local_response 403 no .* -> BAD_ARGUMENT/



=== TEST 9: num_headers and end_of_stream (C: 0 and 1, always)
--- script
{"on_request_headers": [["log", "info", "request: ${num_headers} ${end_of_stream}"]],
 "on_response_headers": [["log", "info", "response: ${end_of_stream}"]]}
--- request
POST /t
hello
--- error_log
request: 7 false
response: false
--- no_error_log
[error]



=== TEST 10: more than 100 headers (C: the others are not seen)
--- script
{"on_request_headers": [["log", "info", "${num_headers} headers"], ["get_header_map_value", "request", "x-150"]]}
--- more_headers eval
CORE::join "\n", map { "X-$_: $_" } 1 .. 150
--- error_log
156 headers
get_header_map_value request x-150 -> OK 150
--- no_error_log
[error]



=== TEST 11: functions that the C module does not define, or with other types (C: the plugin does not load)
--- script
{"on_request_headers": [["get_log_level"], ["get_header_map_size", "request"], ["get_buffer_status", "plugin_configuration"],
    ["define_metric", "counter", "c"], ["set", "c", "${last}"], ["increment_metric", "${c}", 3], ["get_metric", "${c}"],
    ["get_current_time_nanoseconds"]]}
--- error_log eval
["get_log_level -> OK info", "get_header_map_size request -> OK", "get_buffer_status plugin_configuration -> OK",
    "define_metric counter c -> OK", qr/get_metric \d+ -> OK 3/, qr/get_current_time_nanoseconds -> OK [1-9]\d{18}/]
--- no_error_log
[error]



=== TEST 12: bodies can be changed (C: read only)
--- script
{"on_request_headers": [["set_property", "wasm_process_req_body", "1"]],
 "on_request_body": [["set_buffer_bytes", "request_body", "request"]],
 "on_response_headers": [["set_property", "wasm_process_resp_body", "1"]],
 "on_response_body": [{"if": ["not", ["eq", "${body_size}", "0"]],
    "then": [["get_buffer_bytes", "response_body"], ["set_buffer_bytes", "response_body", "[${last}]"]]}]}
--- upstream
    location = /t { content_by_lua_block { ngx.req.read_body() ngx.print(ngx.req.get_body_data()) } }
--- request
POST /t
hello
--- response_body chomp
[request]
--- no_error_log
[error]



=== TEST 13: proxy_on_vm_start, ticks, proxy_on_log (C: never called)
--- script
{"trace": true, "on_configure": [["set_tick_period_milliseconds", 5]]}
--- error_log
on_vm_start
on_tick 1
on_log 2
--- no_error_log
[error]



=== TEST 14: shared data, queues, foreign functions, the clock (C: missing, or stubs)
--- script
{"on_configure": [["register_shared_queue", "q"], ["set", "queue", "${last}"]],
 "on_request_headers": [["set_shared_data", "k", "v"], ["get_shared_data", "k"],
    ["enqueue_shared_queue", "${queue}", "item"], ["dequeue_shared_queue", "${queue}"], ["call_foreign_function", "log_level", "warn"],
    ["clock_time_get", "realtime"]]}
--- error_log eval
["set_shared_data k v -> OK", "get_shared_data k -> OK v", qr/dequeue_shared_queue \d+ -> OK item/,
    qr/call_foreign_function log_level warn -> OK/, qr/clock_time_get realtime -> SUCCESS [1-9]\d{18}/]
--- no_error_log
[error]



=== TEST 15: the worker's environment (C: the plugin sees it)
--- main_config
    env SECRET=hidden;
--- script
{"on_request_headers": [["environ"]]}
--- error_log
environ -> SUCCESS ""
--- no_error_log
hidden



=== TEST 16: nginx -t says what is wrong with a plugin, and where (C: never looks)
--- http_config
    wasm_config $TEST_NGINX_HTML_DIR/config.yaml;
--- config
--- user_files
>>> config.yaml
wasm:
  plugins:
    - name: broken
      priority: 1
      file: $TEST_NGINX_HTML_DIR/broken.wasm
>>> broken.wasm
not a module
--- check_config
--- must_die
--- error_log eval
qr/\[emerg\] .*broken.*broken\.wasm/



=== TEST 17: a call in the response's callbacks (C: refused)
--- http_config
    init_worker_by_lua_block {
        gateway.load_plugins("$TEST_NGINX_HTML_DIR/config.json")
        gateway.load_resources("$TEST_NGINX_HTML_DIR/apisix.json")
        told = require("ngx.semaphore").new()
    }
--- upstream
    location = /t { content_by_lua_block { ngx.print("begun, ") ngx.flush(true) ngx.print(told:wait(30) and "answered" or "alone") } }
    location = /called { return 204; }
    location = /answered { content_by_lua_block { told:post() } }
--- script
{"on_response_headers": [CALL(/called)],
 "on_http_call_response": [{"if": ["eq", "${count}", "1"], "then": [["get_header_map_value", "call_response", ":status"], CALL(/answered)]}]}
--- response_body chomp
begun, answered
--- error_log
register http call callout id: 0
get_header_map_value call_response :status -> OK 204
--- no_error_log
[error]



=== TEST 18: Pause in response headers, for a call (C: the response goes on)
--- script
{"on_response_headers": [CALL(/called), ["return", "pause"]],
 "on_http_call_response": [["get_header_map_value", "call_response", "x-verdict"],
    ["add_header_map_value", "response", "x-verdict", "${last}"], ["continue_stream", "response"]]}
--- upstream
    location = /t { return 200 "from upstream"; }
    location = /called { add_header X-Verdict fine; return 204; }
--- response_headers
x-verdict: fine
--- response_body chomp
from upstream
--- no_error_log
[error]



=== TEST 19: and the answer of the call can be the response
--- script
{"on_response_headers": [CALL(/called), ["return", "pause"]],
 "on_http_call_response": [["send_local_response", 403, "not for you", [["x-why", "so"]]]]}
--- upstream
    location = /t { return 200 "from upstream"; }
    location = /called { return 403; }
--- error_code: 403
--- response_headers
x-why: so
--- response_body chomp
not for you
--- no_error_log
[error]
