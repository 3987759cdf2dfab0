# proxy_get_property, proxy_set_property: nginx's variables by their names, and the
# plugin's own names. The paths that the spec knows are in properties_well_known.t.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Scripted;

run_tests();

__DATA__

=== TEST 1: a path of one segment is a variable of nginx
--- config
    location /t {
        set $mine "my value";
        proxy_wasm hostcalls '{"on_response_headers": [
            ["get_property", "host"],
            ["get_property", "arg_x"],
            ["get_property", "request_uri"],
            ["get_property", "mine"],
            ["get_property", "http_x_a"],
            ["get_property", "HOST"],
            ["get_property", "arg_none"],
            ["get_property", "no_such_variable"],
            ["get_property", ""]
        ]}';
        return 200;
    }
--- more_headers
X-A: 1
--- request
GET /t?x=y
--- error_log
get_property host -> OK localhost
get_property arg_x -> OK y
get_property request_uri -> OK /t?x=y
get_property mine -> OK my value
get_property http_x_a -> OK 1
get_property HOST -> OK localhost
get_property arg_none -> NOT_FOUND
get_property no_such_variable -> NOT_FOUND
get_property "" -> NOT_FOUND



=== TEST 2: an empty variable is there, and empty
--- config
    location /t {
        set $empty "";
        proxy_wasm hostcalls '{"on_response_headers": [["get_property", "empty"]]}';
        return 200;
    }
--- request
GET /t
--- error_log
get_property empty -> OK ""



=== TEST 3: a map is looked up when it is asked for
--- http_config
    map $http_x_a $mapped { default "by default"; b "of b"; }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", "x-a", "b"],
            ["get_property", "mapped"]
        ]}';
        return 200 "$mapped\n";
    }
--- request
GET /t
--- response_body
of b
--- error_log
get_property mapped -> OK of b



=== TEST 4: a variable that is set
--- config
    location /t {
        set $mine "old";
        set $other "";
        proxy_wasm late '{"on_request_headers": [
            ["set_property", "mine", "new"],
            ["get_property", "mine"],
            ["set_property", "other", ""]
        ]}';
        proxy_set_header X-Mine $mine;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- http_config
    wasm_plugin late $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- request
GET /t
--- response_body_like: \r\nX-Mine: new\r\n
--- error_log
set_property mine new -> OK
get_property mine -> OK new
set_property other "" -> OK



=== TEST 5: one that nginx does not let be set
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["set_property", "host", "x"], ["get_property", "host"]]}';
        return 200;
    }
--- request
GET /t
--- error_log
[error]
variable "host" not changeable
set_property host x -> BAD_ARGUMENT
get_property host -> OK localhost



=== TEST 6: one that there is not is kept for the request
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["set_property", "other", "x"]]}';
        return 200;
    }
--- request
GET /t
--- error_log
set_property other x -> OK
--- no_error_log
[error]



=== TEST 7: a variable with a setter of its own
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["set_property", "args", "a=b"]]}';
        return 200 "$args $arg_a\n";
    }
--- request
GET /t?old
--- response_body
a=b b



=== TEST 8: the plugin's names
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_configure": [["get_property", "plugin_root_id"], ["get_property", "plugin_name"], ["get_property", "plugin_vm_id"]],
            "on_request_headers": [["get_property", "plugin_root_id"]]
        }';
        return 200;
    }
--- request
GET /t
--- error_log eval
[
    qr/: get_property plugin_root_id -> OK ""\s*$/,
    "get_property plugin_name -> OK hostcalls",
    "get_property plugin_vm_id -> OK hostcalls",
    qr/get_property plugin_root_id -> OK "", client/,
]



=== TEST 9: without a request there are no variables
--- config
    location /t {
        proxy_wasm hostcalls '{"on_configure": [
            ["get_property", "host"], ["get_property", "request", "path"], ["set_property", "host", "x"]
        ]}';
        return 200;
    }
--- request
GET /t
--- error_log eval
["get_property host -> NOT_FOUND", "get_property request path -> NOT_FOUND", qr/set_property host x -> (?!OK)\w+/]



=== TEST 10: in the log phase the variables of the log
--- config
    location /t {
        proxy_wasm hostcalls '{"on_log": [["get_property", "status"], ["get_property", "body_bytes_sent"]]}';
        return 201 "hello";
    }
--- request
GET /t
--- error_code: 201
--- error_log
get_property status -> OK 201
get_property body_bytes_sent -> OK 5



=== TEST 11: a wild path, a huge one
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["raw", "proxy_get_property", 4294967200, 4096, "slot", "slot"],
            {"op": "get_property", "args": [{"repeat": ["x", 100000]}], "as": "v", "quiet": true},
            ["echo", "${status}"]
        ]}';
        return 200;
    }
--- request
GET /t
--- error_log eval
[qr/raw proxy_get_property .* -> INVALID_MEMORY_ACCESS/, "echo NOT_FOUND -> OK"]



=== TEST 12: what the configuration declares has one value all through a request, also if nginx uses it nowhere
--- http_config
    split_clients "$msec$request_time$bytes_sent" $part { 50% a; * b; }
    map $arg_x $mapped { default "by default"; b "of b"; }
    map $arg_x $anew { volatile; default "by default"; b "of b"; }
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [
                {"op": "get_property", "args": ["request_id"], "as": "id", "quiet": true},
                {"op": "get_property", "args": ["part"], "as": "part", "quiet": true},
                ["get_property", "mapped"], ["get_property", "anew"],
                ["set_property", "args", "x=b"],
                ["get_property", "mapped"], ["get_property", "anew"]
            ],
            "on_log": [
                {"if": ["eq", "${id}", ""], "then": [["log", "error", "no id"]]},
                {"op": "get_property", "args": ["request_id"], "as": "id2", "quiet": true},
                {"if": ["eq", "${id}", "${id2}"], "then": [["echo", "one id"]]},
                {"op": "get_property", "args": ["request", "id"], "as": "id3", "quiet": true},
                {"if": ["eq", "${id}", "${id3}"], "then": [["echo", "as the attribute"]]},
                {"op": "get_property", "args": ["part"], "as": "part2", "quiet": true},
                {"if": ["eq", "${part}", "${part2}"], "then": [["echo", "one part"]]}
            ]
        }';
        return 200 "hello";
    }
--- request
GET /t
--- grep_error_log eval: qr/(?:get_property|echo) .*? -> OK(?: (?!while)[^, ]+)*/
--- grep_error_log_out
get_property mapped -> OK by default
get_property anew -> OK by default
get_property mapped -> OK by default
get_property anew -> OK of b
echo one id -> OK one id
echo as the attribute -> OK as the attribute
echo one part -> OK one part
--- no_error_log
[error]



=== TEST 13: what nginx evaluates anew is read anew
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["get_property", "bytes_sent"], ["get_property", "args"], ["set_property", "args", "a=b"], ["get_property", "args"]],
            "on_log": [{"op": "get_property", "args": ["bytes_sent"], "as": "sent", "quiet": true},
                {"if": ["not", ["eq", "${sent}", "0"]], "then": [["echo", "some bytes"]]}, ["get_property", "status"]]
        }';
        return 204;
    }
--- request
GET /t?c
--- error_code: 204
--- grep_error_log eval: qr/(?:get_property|echo) .*? -> OK(?: (?!while)[^, ]+)*/
--- grep_error_log_out
get_property bytes_sent -> OK 0
get_property args -> OK c
get_property args -> OK a=b
echo some bytes -> OK some bytes
get_property status -> OK 204
