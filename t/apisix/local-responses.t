# Answers of plugins in routes of APISIX.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Apisix;

no_long_string();
run_tests();

__DATA__

=== TEST 1: with a body
--- apisix_yaml
routes:
  - id: 1
    uri: /t
    plugins:
      fault-injection:
        conf: '{"http_status": 401, "body": "HIT"}'
--- error_code: 401
--- response_body chomp
HIT
--- no_error_log
[error]



=== TEST 2: without: nginx's page of that status
--- apisix_yaml
routes:
  - id: 1
    uri: /t
    plugins:
      fault-injection:
        conf: '{"http_status": 401}'
--- error_code: 401
--- response_body_like: <title>401 Authorization Required</title>
--- no_error_log
[error]



=== TEST 3: of a global rule: the route's plugins see the response, not the request
--- apisix_yaml
global_rules:
  - id: 1
    plugins:
      fault-injection:
        conf: '{"http_status": 200, "body": "HIT"}'
routes:
  - id: 1
    uri: /t
    plugins:
      hostcalls:
        conf: '{"on_request_headers": [["log", "info", "request"]], "on_response_headers": [["log", "info", "response"]]}'
--- response_body chomp
HIT
--- error_log
log info response
--- no_error_log
log info request
[error]



=== TEST 4: from a request body
--- script
{"on_request_headers": [["set_property", "wasm_process_req_body", "1"]],
 "on_request_body": [["send_local_response", 413, "too large", [["x-limit", "4"]]], ["return", "pause"]]}
--- request
POST /t
hello
--- error_code: 413
--- response_headers
X-Limit: 4
--- response_body chomp
too large
--- no_error_log
[error]



=== TEST 5: one with a field that is refused leaves nothing behind, and another can follow
--- script
{"on_request_headers": [
    ["send_local_response", 403, "no", [["x-a", "b\r\nx-injected: 1"]]],
    ["send_local_response", 403, "refused", [["x-a", "b"]]],
    ["return", "pause"]]}
--- error_code: 403
--- response_headers
X-A: b
X-Injected:
--- response_body chomp
refused
