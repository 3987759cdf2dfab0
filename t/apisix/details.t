# What existing plugins count on, in a request that APISIX drives: headers and pseudo headers, properties, buffers, log lines.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Apisix;

no_long_string();
run_tests();

__DATA__

=== TEST 1: request headers are lowercased, in their order, repeated ones repeated, pseudo headers last
--- script
{"on_request_headers": [["get_header_map_pairs", "request"]]}
--- raw_request eval
"GET /t?a=1 HTTP/1.1\r\nHost: test.com\r\nX-B: 1\r\nX-A: 2\r\nX-B: 3\r\nConnection: close\r\n\r\n"
--- error_log
host: test.com | x-b: 1 | x-a: 2 | x-b: 3 | connection: close | :scheme: http | :path: /t?a=1 | :method: GET | :authority: test.com
--- no_error_log
[error]



=== TEST 2: response headers, then those that nginx keeps apart, then :status
--- script
{"on_response_headers": [["get_header_map_pairs", "response"]]}
--- upstream
    location = /t { add_header X-B 1; add_header X-A 2; add_header X-B 3; return 200 "hello"; }
--- error_log
x-b: 1 | x-a: 2 | x-b: 3 | content-type: text/plain | content-length: 5 | connection: close | :status: 200
--- no_error_log
[error]



=== TEST 3: of a connection that is kept alive
--- script
{"on_response_headers": [["get_header_map_pairs", "response"]]}
--- raw_request eval
"GET /t HTTP/1.1\r\nHost: test.com\r\n\r\nGET /t HTTP/1.1\r\nHost: test.com\r\nConnection: close\r\n\r\n"
--- ignore_response
--- error_log
content-type: text/plain | connection: keep-alive | :status: 200
--- no_error_log
[error]



=== TEST 4: get finds the first value, whatever the case; remove takes all
--- script
{"on_request_headers": [
    ["get_header_map_value", "request", "X-b"],
    ["remove_header_map_value", "request", "x-B"],
    ["get_header_map_value", "request", "x-b"]]}
--- more_headers
X-B: 1
X-B: 2
--- error_log
get_header_map_value request X-b -> OK 1
get_header_map_value request x-b -> NOT_FOUND
--- response_body_unlike: x-b
--- no_error_log
[error]



=== TEST 5: an empty name is no error
--- script
{"on_request_headers": [["get_header_map_value", "request", ""], ["remove_header_map_value", "request", ""]]}
--- error_log
get_header_map_value request "" -> NOT_FOUND
remove_header_map_value request "" -> OK
--- no_error_log
[error]



=== TEST 6: :path may have a query; the upstream gets both
--- script
{"on_request_headers": [["replace_header_map_value", "request", ":path", "/new?b=2"]]}
--- response_body_like: ^GET /new\?b=2 HTTP
--- no_error_log
[error]



=== TEST 7: :method may be any of letters
--- script
{"on_request_headers": [["replace_header_map_value", "request", ":method", "PURGE"]]}
--- response_body_like: ^PURGE /t HTTP
--- no_error_log
[error]



=== TEST 8: what :path, :method and :scheme may not be
--- script
{"on_request_headers": [
    ["replace_header_map_value", "request", ":path", "/a b"],
    ["replace_header_map_value", "request", ":method", "GE-T"],
    ["replace_header_map_value", "request", ":scheme", "https"],
    ["remove_header_map_value", "request", ":path"]]}
--- response_body_like: ^GET /t HTTP
--- error_log
failed to set request header :path: invalid char " "
failed to set request header :method: invalid char "-"
failed to set request header :path: can't remove pseudo header
replace_header_map_value request :scheme https -> BAD_ARGUMENT



=== TEST 9: :status of a response
--- script
{"on_response_headers": [["replace_header_map_value", "response", ":status", "nope"], ["replace_header_map_value", "response", ":status", "202"]]}
--- error_code: 202
--- error_log
failed to set response header :status: invalid value



=== TEST 10: HTTP/1.0 without a Host: the headers can be read
--- script
{"on_request_headers": [["get_header_map_value", "request", ":authority"], ["get_header_map_pairs", "request"]]}
--- raw_request eval
"GET /t HTTP/1.0\r\n\r\n"
--- error_log
:path: /t | :method: GET
--- no_error_log
[error]



=== TEST 11: a property of one segment is a variable of nginx's
--- script
{"on_request_headers": [
    ["get_property", "host"], ["get_property", "arg_a"], ["get_property", "request_uri"],
    ["get_property", "wasm_process_req_body"], ["get_property", "no_such_variable"]]}
--- request
GET /t?a=1
--- error_log
get_property host -> OK localhost
get_property arg_a -> OK 1
get_property request_uri -> OK /t?a=1
get_property wasm_process_req_body -> OK ""
get_property no_such_variable -> NOT_FOUND
--- no_error_log
[error]



=== TEST 12: plugin_root_id is the plugin's name, with and without a request
--- script
{"on_configure": [["get_property", "plugin_root_id"]], "on_request_headers": [["get_property", "plugin_root_id"]]}
--- grep_error_log eval
qr/get_property plugin_root_id -> OK \w+/
--- grep_error_log_out
get_property plugin_root_id -> OK hostcalls
get_property plugin_root_id -> OK hostcalls



=== TEST 13: set_property sets a variable, if it can be set
--- script
{"on_request_headers": [["set_property", "host", "a"], ["set_property", "other", "a"], ["set_property", "wasm_process_resp_body", "1"]],
 "on_response_body": [["log", "info", "seen"]]}
--- error_log
variable "host" not changeable
variable "other" not found for writing
set_property other a -> NOT_FOUND
set_property wasm_process_resp_body 1 -> OK
seen



=== TEST 14: ranges of a body of 10 bytes
--- script
{"on_request_headers": [["set_property", "wasm_process_req_body", "1"]],
 "on_request_body": [
    ["get_buffer_bytes", "request_body", -1, 2],
    ["get_buffer_bytes", "request_body", 1, 0],
    ["get_buffer_bytes", "request_body", 1, -1],
    ["get_buffer_bytes", "request_body", 10, 2],
    ["get_buffer_bytes", "request_body", 8, 5],
    ["get_buffer_bytes", "request_body", 2, 3],
    ["get_buffer_bytes", "request_body", 0, "max"]]}
--- request
POST /t
0123456789
--- error_log
get_buffer_bytes request_body -1 2 -> BAD_ARGUMENT
get_buffer_bytes request_body 1 0 -> BAD_ARGUMENT
get_buffer_bytes request_body 1 -1 -> BAD_ARGUMENT
get_buffer_bytes request_body 10 2 -> BAD_ARGUMENT
get_buffer_bytes request_body 8 5 -> OK 89
get_buffer_bytes request_body 2 3 -> OK 234
get_buffer_bytes request_body 0 max -> OK 0123456789
--- no_error_log
[error]



=== TEST 15: its configuration can be read in every callback
--- script
{"on_configure": [["get_buffer_bytes", "plugin_configuration", 0, 4]],
 "on_request_headers": [["get_buffer_bytes", "plugin_configuration", 0, 5]],
 "on_response_headers": [["get_buffer_bytes", "plugin_configuration", 0, 6]],
 "on_log": [["get_buffer_bytes", "plugin_configuration", 0, 7]]}
--- error_log
get_buffer_bytes plugin_configuration 0 4 -> OK {"on
get_buffer_bytes plugin_configuration 0 5 -> OK {"on_
get_buffer_bytes plugin_configuration 0 6 -> OK {"on_c
get_buffer_bytes plugin_configuration 0 7 -> OK {"on_co
--- no_error_log
[error]



=== TEST 16: an old plugin reads it by proxy_get_configuration
--- config_yaml
wasm:
  plugins:
    - name: hostcalls
      priority: 1
      file: hostcalls-0-1-0.wasm
--- script
{"on_request_headers": [["get_configuration"]]}
--- error_log
get_configuration -> OK {"on_request_headers": [["get_configuration"]]}
--- no_error_log
[error]



=== TEST 17: one of ABI 0.2.0
--- config_yaml
wasm:
  plugins:
    - name: hostcalls
      priority: 1
      file: hostcalls-0-2-0.wasm
--- script
{"on_request_headers": [["add_header_map_value", "request", "x-a", "b"]]}
--- response_body_like: x-a: b
--- no_error_log
[error]



=== TEST 18: log levels
--- log_level: debug
--- script
{"on_request_headers": [["log", "trace", "one"], ["log", "debug", "two"], ["log", "info", "three"], ["log", "warn", "four"], ["log", "error", "five"], ["log", "critical", "six"]]}
--- grep_error_log eval
qr/\[(?:debug|info|warn|error|emerg)\] \d+#\d+: (?:\*\d+ )?(?:one|two|three|four|five|six)\b/
--- grep_error_log_out eval
qr/^\[debug\] .*one\n\[debug\] .*two\n\[info\] .*three\n\[warn\] .*four\n\[error\] .*five\n\[emerg\] .*six\n$/
--- error_log
six



=== TEST 19: what runs in a request is logged with the client
--- script
{"on_request_headers": [["log", "warn", "hello"]]}
--- error_log eval
qr/\[warn\] \d+#\d+: \*\d+ .*hello.*, client: 127\.0\.0\.1, server: localhost, request: "GET \/t HTTP\/1\.1"/



=== TEST 20: the lives of plugins and contexts are not
--- script
{}
--- grep_error_log eval
qr/\[info\] \d+#\d+: \K(?:loaded wasm plugin|create plugin context \d|create http context \d)$/
--- grep_error_log_out
loaded wasm plugin
create plugin context 1
create http context 2



=== TEST 21: standard output goes to the log, and there is no file to open
--- script
{"on_request_headers": [["stdout", "to stdout\n"], ["stderr", "to stderr\n"], ["raw", "path_open", 3, 0, "slot", 4, 0, 0, 0, 0, "slot"]]}
--- error_log eval
[qr/\[info\].* to stdout/, qr/\[warn\].* to stderr/, qr/path_open.* -> BADF/]



=== TEST 22: the plugin sees nothing of the worker's environment
--- main_config
    env SECRET=hidden;
--- script
{"on_configure": [["getenv", "SECRET"], ["environ"]]}
--- error_log
getenv SECRET -> FAILED
--- no_error_log
hidden
[error]



=== TEST 23: a context that never says that it is done is deleted with its worker
--- script
{"on_done": [["return", false]], "on_delete": [["log", "info", "deleted"]]}
--- shutdown_error_log
failed to mark context 2 as done, rc: 0
log info deleted -> OK



=== TEST 24: a trap in proxy_on_done
--- script
{"on_done": [["trap"]]}
--- error_log
failed to mark context 2 as done, rc: -1
free http context 2



=== TEST 25: a trap in proxy_on_delete
--- script
{"on_delete": [["trap"]]}
--- error_log
failed to call function: proxy_on_delete
failed to delete context 2, rc: -1
free http context 2



=== TEST 26: of a connection that becomes another protocol's
--- config
    location = /upgrade {
        set $wasm_process_req_body '';
        set $wasm_process_resp_body '';
        access_by_lua_block { gateway.access() }
        content_by_lua_block { ngx.status = 101 ngx.send_headers() }
        header_filter_by_lua_block { gateway.header_filter() }
    }
--- script
{"on_response_headers": [["get_header_map_value", "response", "connection"], ["get_header_map_value", "response", ":status"]]}
--- request
GET /upgrade
--- ignore_response
--- error_log
get_header_map_value response connection -> OK upgrade
get_header_map_value response :status -> OK 101
--- no_error_log
[error]



=== TEST 27: in pieces: nginx decides that after Lua has seen the header, so the body's callbacks see it
--- script
{"on_response_headers": [["set_property", "wasm_process_resp_body", "1"]],
 "on_response_body": [["get_header_map_value", "response", "transfer-encoding"], ["get_header_map_pairs", "response"]]}
--- raw_request eval
"GET /t HTTP/1.1\r\nHost: test.com\r\nConnection: close\r\n\r\n"
--- ignore_response
--- error_log
get_header_map_value response transfer-encoding -> OK chunked
connection: close | transfer-encoding: chunked | :status: 200
--- no_error_log
[error]
