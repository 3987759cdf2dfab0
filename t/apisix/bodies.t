# Bodies as APISIX hands them to plugins: those that set $wasm_process_req_body or $wasm_process_resp_body see them, one after the
# other.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Apisix;

no_long_string();
our $TWO = <<'YAML';
wasm:
  plugins:
    - name: first
      priority: 2
      file: hostcalls.wasm
    - name: second
      priority: 1
      file: hostcalls.wasm
YAML
run_tests();

__DATA__

=== TEST 1: a plugin that does not ask sees no request body
--- script
{"on_request_headers": [["log", "info", "headers"]], "on_request_body": [["log", "info", "body"]]}
--- request
POST /t
hello
--- response_body_like: hello$
--- error_log
headers
--- no_error_log
log info body



=== TEST 2: one that asks sees the whole, once, with its end
--- script
{"on_request_headers": [["set_property", "wasm_process_req_body", "1"]],
 "on_request_body": [["get_buffer_bytes", "request_body"], ["log", "info", "body ${body_size} ${end_of_stream}"]]}
--- request
POST /t
hello
--- response_body_like: hello$
--- error_log
get_buffer_bytes request_body -> OK hello
body 5 true
--- no_error_log
[error]



=== TEST 3: a request without a body: the callback runs, with nothing
--- script
{"on_request_headers": [["set_property", "wasm_process_req_body", "1"]],
 "on_request_body": [["get_buffer_bytes", "request_body"], ["log", "info", "body ${body_size} ${end_of_stream}"]]}
--- response_body_like: ^GET /t
--- error_log
get_buffer_bytes request_body -> NOT_FOUND
body 0 true



=== TEST 4: a body that nginx wrote to a file
--- script
{"on_request_headers": [["set_property", "wasm_process_req_body", "1"]],
 "on_request_body": [["log", "info", "body ${body_size} ${end_of_stream}"]]}
--- config
    client_body_in_file_only clean;
--- request eval
"POST /t\n" . "x" x 100000
--- error_code: 200
--- ignore_response_body
--- error_log
body 100000 true



=== TEST 5: the wish of one plugin is not that of the next
--- config_yaml eval: $::TWO
--- apisix_yaml
routes:
  - id: 1
    uri: /t
    plugins:
      first:
        conf: '{"on_request_headers": [["set_property", "wasm_process_req_body", "1"]], "on_request_body": [["log", "info", "first: body"]]}'
      second:
        conf: '{"on_request_headers": [["get_property", "wasm_process_req_body"]], "on_request_body": [["log", "info", "second: body"]]}'
--- request
POST /t
hello
--- error_log
first: body
get_property wasm_process_req_body -> OK ""
--- no_error_log
second: body



=== TEST 6: what one makes of the request body is what the next and the upstream get
--- config_yaml eval: $::TWO
--- apisix_yaml
routes:
  - id: 1
    uri: /t
    plugins:
      first:
        conf: '{"on_request_headers": [["set_property", "wasm_process_req_body", "1"]], "on_request_body": [["set_buffer_bytes", "request_body", "longer than it was"]]}'
      second:
        conf: '{"on_request_headers": [["set_property", "wasm_process_req_body", "1"]], "on_request_body": [["get_buffer_bytes", "request_body"]]}'
--- request
POST /t
hello
--- response_body_like: Content-Length: 18\r\n.*longer than it was$
--- error_log
get_buffer_bytes request_body -> OK longer than it was
--- no_error_log
[error]



=== TEST 7: a plugin that does not ask sees no response body
--- script
{"on_response_headers": [["log", "info", "headers"]], "on_response_body": [["log", "info", "body"]]}
--- error_log
headers
--- no_error_log
log info body



=== TEST 8: one that asks sees it piece by piece, and its end
--- script
{"on_response_headers": [["set_property", "wasm_process_resp_body", "1"]],
 "on_response_body": [["get_buffer_bytes", "response_body"], ["log", "info", "size ${body_size}, last: ${end_of_stream}"]]}
--- upstream
    location = /t { return 200 "hello"; }
--- response_body chomp
hello
--- error_log
get_buffer_bytes response_body -> OK hello
last: true
--- no_error_log
[error]



=== TEST 9: what it makes of the response body is what the client gets
--- script
{"on_response_headers": [["set_property", "wasm_process_resp_body", "1"]],
 "on_response_body": [{"if": ["eq", "${body_size}", "5"], "then": [["set_buffer_bytes", "response_body", "longer than it was"]]}]}
--- upstream
    location = /t { return 200 "hello"; }
--- response_headers
Content-Length:
--- response_body chomp
longer than it was
--- no_error_log
[error]



=== TEST 10: the wish for the response body of one plugin is not that of the next
--- config_yaml eval: $::TWO
--- apisix_yaml
routes:
  - id: 1
    uri: /t
    plugins:
      first:
        conf: '{"on_response_headers": [["set_property", "wasm_process_resp_body", "1"]], "on_response_body": [["log", "info", "first: body"]]}'
      second:
        conf: '{"on_response_headers": [["get_property", "wasm_process_resp_body"]], "on_response_body": [["log", "info", "second: body"]]}'
--- error_log
first: body
get_property wasm_process_resp_body -> OK ""
--- no_error_log
second: body



=== TEST 11: a flush is a piece of no size, and the end is a piece of its own
--- script
{"on_response_headers": [["set_property", "wasm_process_resp_body", "1"]],
 "on_response_body": [["log", "info", "size ${body_size}, last: ${end_of_stream}"]]}
--- config
    location = /flush {
        set $wasm_process_resp_body '';
        set $wasm_process_req_body '';
        access_by_lua_block { gateway.access() }
        content_by_lua_block {
            ngx.print("hello")
            ngx.flush(true)
            ngx.print("world!")
        }
        header_filter_by_lua_block { gateway.header_filter() }
        body_filter_by_lua_block { gateway.body_filter() }
    }
--- request
GET /flush
--- response_body chomp
helloworld!
--- grep_error_log eval
qr/info size \d+, last: \w+/
--- grep_error_log_out
info size 5, last: false
info size 0, last: false
info size 6, last: false
info size 0, last: true
--- no_error_log
[error]



=== TEST 12: in the response phases, type 0 is the response's piece too
--- script
{"on_response_headers": [["set_property", "wasm_process_resp_body", "1"]],
 "on_response_body": [{"if": ["eq", "${body_size}", "5"],
    "then": [["get_buffer_bytes", "request_body"], ["get_buffer_bytes", "response_body"]]}]}
--- upstream
    location = /t { return 200 "hello"; }
--- error_log
get_buffer_bytes request_body -> OK hello
get_buffer_bytes response_body -> OK hello
--- no_error_log
[error]



=== TEST 13: wasm_request_body and wasm_response_body always: nobody has to ask
--- http_config
    wasm_request_body always;
    wasm_response_body always;
--- script
{"on_request_body": [["log", "info", "request ${body_size}"]], "on_response_body": [["log", "info", "response ${end_of_stream}"]]}
--- request
POST /t
hello
--- error_log
request 5
response true
--- no_error_log
[error]



=== TEST 14: a plugin that traps in the response body: the response ends, the worker lives
--- script
{"on_response_headers": [["set_property", "wasm_process_resp_body", "1"]], "on_response_body": [["trap"]]}
--- ignore_response
--- error_log
hostcalls: failed to run wasm plugin: failed to run proxy_on_http_response_body
