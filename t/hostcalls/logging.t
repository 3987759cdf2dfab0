# proxy_log, proxy_get_log_level: the guest's messages in nginx's error log.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Scripted;

run_tests();

__DATA__

=== TEST 1: each level has its level in nginx
--- log_level: debug
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["log", "trace", "a trace"],
            ["log", "debug", "a debug"],
            ["log", "info", "an info"],
            ["log", "warn", "a warning"],
            ["log", "error", "an error"],
            ["log", "critical", "a critical"]
        ]}';
        return 200;
    }
--- request
GET /t
--- error_log eval
[
    qr/\[debug\] \d+#\d+: \*\d+ a trace/,
    qr/\[debug\] \d+#\d+: \*\d+ a debug/,
    qr/\[info\] \d+#\d+: \*\d+ an info/,
    qr/\[warn\] \d+#\d+: \*\d+ a warning/,
    qr/\[error\] \d+#\d+: \*\d+ an error/,
    qr/\[emerg\] \d+#\d+: \*\d+ a critical/,
]



=== TEST 2: what is below the level of error_log is not written, and is no error
--- log_level: warn
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["log", "info", "too quiet"],
            {"if": ["eq", "${status}", "OK"], "then": [["log", "warn", "and that was OK"]]}
        ]}';
        return 200;
    }
--- request
GET /t
--- error_log
and that was OK
--- no_error_log
too quiet



=== TEST 3: a line of a request says whose it is
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["log", "warn", "hello"]]}';
        return 200;
    }
--- request
GET /t?a=b
--- error_log eval
qr{\*\d+ hello, client: 127\.0\.0\.1, server: localhost, request: "GET /t\?a=b HTTP/1\.1", host: "localhost"}



=== TEST 4: a line outside a request has no client
--- config
    location /t {
        proxy_wasm hostcalls '{"on_configure": [["log", "warn", "hello from configure"]]}';
        return 200;
    }
--- request
GET /t
--- error_log eval
qr/\[warn\] \d+#\d+: hello from configure\s*$/



=== TEST 5: a message of several lines is an entry for each, of which the last says whose it is
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["log", "warn", {"hex": "6f6e650a74776f"}]
        ]}';
        return 200;
    }
--- request
GET /t
--- error_log eval
[qr/\[warn\] \d+#\d+: \*\d+ one$/m, qr/\[warn\] \d+#\d+: \*\d+ two, client/]



=== TEST 6: an empty message
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["log", "warn", ""], ["echo", "${status}"]]}';
        return 200;
    }
--- request
GET /t
--- error_log
echo OK -> OK



=== TEST 7: a message longer than a line of nginx's log is cut
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["log", "warn", {"repeat": ["x", 10000]}]]}';
        return 200;
    }
--- request
GET /t
--- error_log eval
qr/\[warn\].*x{1000}/



=== TEST 8: a level that is none is a bad argument, and a wild address no reason to die
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["log", 6, "never"],
            ["raw", "proxy_log", 2, 4294967290, 100]
        ]}';
        return 200 "alive\n";
    }
--- request
GET /t
--- response_body
alive
--- error_log
log 6 never -> BAD_ARGUMENT
raw proxy_log 2 4294967290 100 -> INVALID_MEMORY_ACCESS



=== TEST 9: proxy_get_log_level tells the level of error_log
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            {"op": "get_log_level", "to": ["response", "x-level"]}
        ]}';
        return 200;
    }
--- request
GET /t
--- response_headers
X-Level: info



=== TEST 10: warn
--- log_level: warn
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            {"op": "get_log_level", "to": ["response", "x-level"]}
        ]}';
        return 200;
    }
--- request
GET /t
--- response_headers
X-Level: warn



=== TEST 11: debug is Proxy-Wasm's trace
--- log_level: debug
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            {"op": "get_log_level", "to": ["response", "x-level"]}
        ]}';
        return 200;
    }
--- request
GET /t
--- response_headers
X-Level: trace



=== TEST 12: a location's own error_log decides for its requests
--- config
    location /t {
        error_log logs/error.log warn;
        proxy_wasm hostcalls '{"on_request_headers": [
            ["log", "info", "too quiet"], ["log", "warn", "loud enough"]
        ], "on_response_headers": [
            {"op": "get_log_level", "to": ["response", "x-level"]}
        ]}';
        return 200;
    }
--- request
GET /t
--- response_headers
X-Level: warn
--- error_log
loud enough
--- no_error_log
too quiet



=== TEST 13: a message of several lines is several entries: none can pass for one of nginx's own
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["log", "info", "first\r\n2000/01/01 00:00:00 [alert] 1#1: forged"]]}';
        return 200;
    }
--- request
GET /t
--- error_log eval
[qr/\[info\] \d+#\d+: \*\d+ first$/m, qr/\[info\] \d+#\d+: \*\d+ 2000\/01\/01 00:00:00 \[alert\] 1#1: forged, client: /]
