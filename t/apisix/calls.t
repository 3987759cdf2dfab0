# HTTP calls of plugins in requests that APISIX drives: while one is unanswered the request waits, whatever the plugin returned; when
# all are answered it goes on, whatever the plugin returned.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Apisix;

no_long_string();
add_block_preprocessor(sub {
    my ($block) = @_;
    my $script = $block->script // return;
    # CALL(path) and CALL(path, more arguments)
    $script =~ s{CALL\(([^,)]+)((?:, [^)]+)?)\)}
        {["http_call", "127.0.0.1:$ENV{TEST_NGINX_UPSTREAM_PORT}", [[":method", "GET"], [":path", "$1"], [":authority", "test.com"]]$2]}g;
    $block->set_value(script => $script);
});
run_tests();

__DATA__

=== TEST 1: Continue after a call: the request waits
--- script
{"on_request_headers": [CALL(/called)],
 "on_http_call_response": [["get_header_map_value", "call_response", ":status"], ["add_header_map_value", "request", "x-seen", "${last}"]]}
--- upstream
    location = /called { return 204; }
--- response_body_like: x-seen: 204
--- no_error_log
[error]



=== TEST 2: Pause after a call, and no resume: the request goes on
--- script
{"on_request_headers": [CALL(/called), ["return", "pause"]],
 "on_http_call_response": [["add_header_map_value", "request", "x-seen", "yes"]]}
--- response_body_like: x-seen: yes
--- no_error_log
[error]



=== TEST 3: the request goes on when all are answered
--- script
{"on_request_headers": [CALL(/called), CALL(/called), CALL(/called)],
 "on_http_call_response": [["add_header_map_value", "request", "x-seen", "${count}"]]}
--- response_body_like: x-seen: 1\r\nx-seen: 2\r\nx-seen: 3\r\n
--- no_error_log
[error]



=== TEST 4: an answer to a call may make the next
--- script
{"on_request_headers": [CALL(/called)],
 "on_http_call_response": [{"if": ["eq", "${count}", "1"], "then": [CALL(/called)], "else": [["add_header_map_value", "request", "x-seen", "both"]]}]}
--- response_body_like: x-seen: both
--- no_error_log
[error]



=== TEST 5: the response: lowercased, counted, :status among them
--- script
{"on_request_headers": [CALL(/called)],
 "on_http_call_response": [["get_header_map_pairs", "call_response"], ["get_header_map_size", "call_response"],
    ["log", "info", "headers: ${num_headers}, body: ${body_size}"], ["get_buffer_bytes", "call_response_body"]]}
--- upstream
    location = /called { server_tokens off; add_header X-A 1; add_header X-A 2; return 200 "hello"; }
--- error_log eval
[qr/x-a: 1 \| .*x-a: 2|x-a: 1 \| x-a: 2/, qr/:status: 200/, 'body: 5', 'get_buffer_bytes call_response_body -> OK hello']
--- no_error_log
X-A
[error]



=== TEST 6: ids of calls count from 0 in a worker, and the callback is the plugin context's
--- script
{"trace": true, "on_request_headers": [CALL(/called), CALL(/called)]}
--- grep_error_log eval
qr/register http call callout id: \d+, host: 127\.0\.0\.1|run http callback callout id: \d+, plugin ctx id: \d+|on_http_call_response \d+(?= \d)/
--- grep_error_log_out eval
qr/^register http call callout id: 0, host: 127\.0\.0\.1
register http call callout id: 1, host: 127\.0\.0\.1
(?:run http callback callout id: [01], plugin ctx id: 1
on_http_call_response 1
){2}$/
--- no_error_log
[error]



=== TEST 7: nobody listens: the callback gets nothing, and the request goes on
--- script
{"on_request_headers": [["http_call", "127.0.0.1:1", [[":method", "GET"], [":path", "/called"], [":authority", "a"]]]],
 "on_http_call_response": [["get_header_map_value", "call_response", ":status"], ["get_header_map_pairs", "call_response"],
    ["add_header_map_value", "request", "x-seen", "${num_headers} ${body_size} ${num_trailers}"]]}
--- response_body_like: x-seen: 0 0 0
--- error_log eval
[qr{http call failed: connection refused, uri: http://127\.0\.0\.1:1/called},
 qr{get_header_map_value call_response :status -> NOT_FOUND}, qr{get_header_map_pairs call_response -> OK}]



=== TEST 8: nobody answers in time
--- script
{"on_request_headers": [CALL(/slow, "", [], 20)],
 "on_http_call_response": [["add_header_map_value", "request", "x-seen", "${num_headers} ${body_size} ${num_trailers}"]]}
--- upstream
    location = /slow { content_by_lua_block { ngx.sleep(0.3) } }
--- response_body_like: x-seen: 0 0 0
--- error_log
http call failed: timeout, uri: http://127.0.0.1:



=== TEST 9: what no call can be made of
--- script
{"on_request_headers": [["http_call", "", [[":path", "/"]]], ["http_call", "127.0.0.1:111981", [[":path", "/"]]],
    ["http_call", "a::1]", [[":path", "/"]]], CALL(/called, "", [], -1)]}
--- response_body_like: ^GET /t
--- grep_error_log eval
qr/http call gets invalid host:|invalid timeout: -1/
--- grep_error_log_out
http call gets invalid host:
http call gets invalid host:
http call gets invalid host:
invalid timeout: -1



=== TEST 10: a call and an answer in one callback: the call wins
--- script
{"on_request_headers": [CALL(/called), ["send_local_response", 403, "no"]],
 "on_http_call_response": [["add_header_map_value", "request", "x-seen", "yes"]]}
--- response_body_like: x-seen: yes
--- no_error_log
[error]



=== TEST 11: an answer from the response to a call
--- script
{"on_request_headers": [CALL(/called), ["return", "pause"]],
 "on_http_call_response": [["send_local_response", 403, "no"]]}
--- error_code: 403
--- response_body chomp
no
--- no_error_log
[error]



=== TEST 12: a trap in the response to a call
--- script
{"on_request_headers": [CALL(/called)], "on_http_call_response": [["trap"]]}
--- error_code: 503
--- error_log
hostcalls: failed to run wasm plugin: failed to run proxy_on_http_call_response



=== TEST 13: a call of the request body's callback
--- script
{"on_request_headers": [["set_property", "wasm_process_req_body", "1"]],
 "on_request_body": [CALL(/called)],
 "on_http_call_response": [["add_header_map_value", "request", "x-seen", "yes"]]}
--- request
POST /t
hello
--- response_body_like: x-seen: yes\r\n\r\nhello$
--- no_error_log
[error]



=== TEST 14: plugins of a route one after the other: the second starts when the first's calls are answered
--- config_yaml
wasm:
  plugins:
    - name: hostcalls
      priority: 2
      file: hostcalls.wasm
    - name: log
      priority: 1
      file: log.wasm
--- apisix_yaml
routes:
  - id: 1
    uri: /t
    plugins:
      hostcalls:
        conf: '{"on_request_headers": [["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":path", "/called"], [":authority", "a"]]]], "on_http_call_response": [["log", "info", "answered"]]}'
      log:
        conf: second
--- grep_error_log eval
qr/info answered|run plugin ctx 1 with conf second/
--- grep_error_log_out
info answered
run plugin ctx 1 with conf second



=== TEST 15: a pause without a call is one, until it is resumed
--- script
{"on_configure": [["set_tick_period_milliseconds", 10]],
 "on_request_headers": [["set", "paused", "yes"], ["return", "pause"]],
 "on_tick": [{"if": ["eq", "${paused}", "yes"], "then": [["set_effective_context", 2], ["continue_stream", "request"], ["set", "paused", "no"]]}]}
--- response_body_like: ^GET /t
--- error_log
continue_stream request -> OK
--- no_error_log
[error]



=== TEST 16: or until wasm_pause_timeout
--- http_config
    wasm_pause_timeout 50ms;
--- script
{"on_request_headers": [["return", "pause"]]}
--- error_code: 503
--- error_log
held the request past wasm_pause_timeout



=== TEST 17: with resty.http, each call has a line
--- resty_http
--- script
{"on_request_headers": [CALL(/called, "", [], 2000)],
 "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["add_header_map_value", "request", "x-seen", "${last}"]]}
--- upstream
    location = /called { return 200 "$http_user_agent"; }
--- response_body_like: x-seen: lua-resty-http
--- error_log eval
qr{\[notice\] .*send http request to http://127\.0\.0\.1:\d+/called, method: GET, timeout in ms: 2000}
--- no_error_log
[error]
