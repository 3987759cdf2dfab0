# host and :authority of the request: one value under two names. Of the two, the one that a plugin
# changes counts, in whichever order it writes them.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Scripted;

add_block_preprocessor(sub {
    my ($block) = @_;
    my $steps = $block->steps or return;
    $block->set_value(config => <<"CONF");
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            {"op": "get_header_map_value", "args": ["request", "x-case"], "as": "case", "quiet": true},
            $steps
        ]}';
        # A request without a host is none of HTTP/1.1, which newer nginxes speak to upstreams unless told otherwise.
        proxy_http_version 1.0;
        proxy_set_header Host \$http_host;
        proxy_set_header X-Seen "\$host \$http_host";
        proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT;
    }
CONF
});
run_tests();

__DATA__

=== TEST 1: written one by one
--- steps
{"if": ["contains", "${case}", "a-first"], "then": [["replace_header_map_value", "request", ":authority", "New.example:8080"]]},
{"if": ["contains", "${case}", "echo"], "then": [["replace_header_map_value", "request", "host", "old.example"]]},
{"if": ["contains", "${case}", "other"], "then": [["replace_header_map_value", "request", "host", "other.example"]]},
{"if": ["contains", "${case}", "a-last"], "then": [["replace_header_map_value", "request", ":authority", "New.example:8080"]]}
--- request eval
[("GET /t") x 5]
--- more_headers eval
[map { "Host: old.example\nX-Case: $_" } 'a-first', 'a-first, echo', 'echo, a-last', 'a-first, other', 'other, a-last']
--- response_body_like eval
[(qr/\r\nHost: New\.example:8080\r\nX-Seen: new\.example New\.example:8080\r\n/) x 5]



=== TEST 2: host is changed, :authority written back
--- steps
{"if": ["contains", "${case}", "first"], "then": [["replace_header_map_value", "request", ":authority", "old.example"]]},
["replace_header_map_value", "request", "host", "new.example"],
{"if": ["contains", "${case}", "last"], "then": [["replace_header_map_value", "request", ":authority", "old.example"]]}
--- request eval
[("GET /t") x 2]
--- more_headers eval
[map { "Host: old.example\nX-Case: $_" } 'first', 'last']
--- response_body_like eval
[(qr/\r\nHost: new\.example\r\nX-Seen: new\.example new\.example\r\n/) x 2]



=== TEST 3: written as a whole
--- steps
{"if": ["eq", "${case}", "a"], "then": [
    ["set_header_map_pairs", "request", [["host", "old.example"], [":authority", "new.example"]]]]},
{"if": ["eq", "${case}", "b"], "then": [
    ["set_header_map_pairs", "request", [[":authority", "new.example"], ["x", "y"], ["host", "old.example"]]]]},
{"if": ["eq", "${case}", "c"], "then": [
    ["set_header_map_pairs", "request", [["Host", "new.example"], [":authority", "old.example"]]]]},
{"if": ["eq", "${case}", "d"], "then": [
    ["set_header_map_pairs", "request", [[":authority", "old.example"], ["host", "new.example"]]]]},
{"if": ["eq", "${case}", "e"], "then": [
    ["set_header_map_pairs", "request", [["host", "other.example"], [":authority", "new.example"]]]]},
{"if": ["eq", "${case}", "f"], "then": [
    ["set_header_map_pairs", "request", [[":authority", "new.example"], ["host", "other.example"]]]]},
{"if": ["eq", "${case}", "g"], "then": [["set_header_map_pairs", "request", [["host", "new.example"]]]]},
{"if": ["eq", "${case}", "h"], "then": [["set_header_map_pairs", "request", [[":authority", "new.example"]]]]}
--- request eval
[("GET /t") x 8]
--- more_headers eval
[map { "Host: old.example\nX-Case: $_" } 'a' .. 'h']
--- response_body_like eval
[(qr/\r\nHost: new\.example\r\nX-Seen: new\.example new\.example\r\n(?!.*host:)/i) x 8]



=== TEST 4: over HTTP/2
--- http2
--- steps
{"op": "get_header_map_value", "args": ["request", ":authority"], "as": "old"},
["replace_header_map_value", "request", ":authority", "new.example"],
["replace_header_map_value", "request", "host", "${old}"]
--- request
GET /t
--- response_body_like: \r\nHost: new\.example\r\nX-Seen: new\.example new\.example\r\n



=== TEST 5: another plugin may set back what the first has changed
--- http_config
    wasm_plugin first $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
    wasm_plugin second $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm first '{"on_request_headers": [["replace_header_map_value", "request", ":authority", "new.example"]]}';
        proxy_wasm second '{"on_request_headers": [["replace_header_map_value", "request", "host", "old.example"]]}';
        proxy_set_header Host $http_host;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- more_headers
Host: old.example
--- response_body_like: \r\nHost: old\.example\r\n



=== TEST 6: removed, or made empty, no host is left
--- steps
{"if": ["eq", "${case}", "a"], "then": [["remove_header_map_value", "request", "host"]]},
{"if": ["eq", "${case}", "b"], "then": [["replace_header_map_value", "request", "host", ""]]},
{"if": ["eq", "${case}", "c"], "then": [["set_header_map_pairs", "request", [["x", "y"]]]]}
--- request eval
[("GET /t") x 3]
--- more_headers eval
[map { "Host: old.example\nX-Case: $_" } 'a' .. 'c']
--- response_body_unlike eval
[(qr/host:|old\.example/i) x 3]



=== TEST 7: a host that nginx takes of no client gets 400
--- steps
["replace_header_map_value", "request", ":authority", "${case}"]
--- request eval
[("GET /t") x 4]
--- more_headers eval
[map { "Host: old.example\nX-Case: $_" } '../../etc', 'a..b', 'a b', ':80']
--- error_code eval
[(400) x 4]
--- error_log
failed to set request header :authority: nginx takes no such host, so the client gets 400, plugin: "hostcalls"
