# Which plugins run on a request, in which phase and order, with which configuration: as APISIX decides it.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Apisix;

no_long_string();
run_tests();

__DATA__

=== TEST 1: a plugin of a route runs on its requests, with the route's configuration
--- apisix_yaml
routes:
  - id: 1
    uri: /t
    plugins:
      log:
        conf: blah
--- response_body_like: ^GET /t
--- error_log
run plugin ctx 1 with conf blah in http ctx 2
--- no_error_log
[error]



=== TEST 2: not on another's
--- apisix_yaml
routes:
  - id: 1
    uri: /other
    plugins:
      log:
        conf: blah
  - id: 2
    uri: /t
--- response_body_like: ^GET /t
--- no_error_log
run plugin ctx
[error]



=== TEST 3: a configuration that is an object reaches the plugin as JSON
--- apisix_yaml
routes:
  - id: 1
    uri: /t
    plugins:
      fault-injection:
        conf:
          http_status: 418
          body: tea
--- error_code: 418
--- response_body chomp
tea
--- no_error_log
[error]



=== TEST 4: a configuration that is a text reaches it as it is
--- apisix_yaml
routes:
  - id: 1
    uri: /t
    plugins:
      fault-injection:
        conf: '{"http_status": 418, "body": "tea"}'
--- error_code: 418
--- response_body chomp
tea



=== TEST 5: high priorities first
--- config_yaml
wasm:
  plugins:
    - name: low
      priority: 1
      file: hostcalls.wasm
    - name: high
      priority: 3
      file: hostcalls.wasm
    - name: middle
      priority: 2
      file: hostcalls.wasm
--- apisix_yaml
routes:
  - id: 1
    uri: /t
    plugins:
      low:
        conf: '{"on_request_headers": [["log", "info", "low: request"]], "on_response_headers": [["log", "info", "low: response"]]}'
      middle:
        conf: '{"on_request_headers": [["log", "info", "middle: request"]], "on_response_headers": [["log", "info", "middle: response"]]}'
      high:
        conf: '{"on_request_headers": [["log", "info", "high: request"]], "on_response_headers": [["log", "info", "high: response"]]}'
--- grep_error_log eval
qr/\w+: re(?:quest|sponse)(?= ->)/
--- grep_error_log_out
high: request
middle: request
low: request
high: response
middle: response
low: response



=== TEST 6: plugins of the rewrite phase come first, whatever their priority
--- config_yaml
wasm:
  plugins:
    - name: access
      priority: 9
      file: hostcalls.wasm
      http_request_phase: access
    - name: default
      priority: 8
      file: hostcalls.wasm
    - name: rewrite
      priority: 1
      file: hostcalls.wasm
      http_request_phase: rewrite
--- apisix_yaml
routes:
  - id: 1
    uri: /t
    plugins:
      access:
        conf: '{"on_request_headers": [["log", "info", "access: request"]]}'
      default:
        conf: '{"on_request_headers": [["log", "info", "default: request"]]}'
      rewrite:
        conf: '{"on_request_headers": [["log", "info", "rewrite: request"]]}'
--- grep_error_log eval
qr/\w+: request(?= ->)/
--- grep_error_log_out
rewrite: request
access: request
default: request



=== TEST 7: a global rule comes before the route, in all phases
--- apisix_yaml
global_rules:
  - id: 1
    plugins:
      rust-headers:
        conf: global
routes:
  - id: 1
    uri: /t
    plugins:
      rust-headers:
        conf: route
--- response_headers
X-Rust: global, route
--- response_body_like: x-rust-conf: global\r\nx-rust-conf: route\r\n
--- no_error_log
[error]



=== TEST 8: what one plugin answers, the next does not see, and all see the response
--- apisix_yaml
routes:
  - id: 1
    uri: /t
    plugins:
      fault-injection:
        conf: '{"http_status": 418, "body": "tea"}'
      hostcalls:
        conf: '{"on_request_headers": [["log", "info", "seen"]], "on_response_headers": [["add_header_map_value", "response", "x-a", "b"]]}'
--- error_code: 418
--- response_headers
X-A: b
--- response_body chomp
tea
--- no_error_log
seen



=== TEST 9: a plugin that does not load is left out, and said so; the others serve
--- config_yaml
wasm:
  plugins:
    - name: nowhere
      priority: 9
      file: nowhere.wasm
    - name: broken
      priority: 8
      file: $TEST_NGINX_HTML_DIR/broken.wasm
    - name: log
      priority: 1
      file: log.wasm
--- user_files
>>> broken.wasm
not a module
--- apisix_yaml
routes:
  - id: 1
    uri: /t
    plugins:
      nowhere:
        conf: blah
      broken:
        conf: blah
      log:
        conf: blah
--- response_body_like: ^GET /t
--- error_log eval
[
    qr/failed to load plugin \[nowhere\] err: \S+nowhere\.wasm: No such file or directory/,
    qr/failed to load plugin \[broken\] err: failed to load wasm plugin/,
    "run plugin ctx 1 with conf blah in http ctx 2",
]
