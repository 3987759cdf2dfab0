# The header-map calls on the request: proxy_get_header_map_size, _pairs, _value;
# proxy_set_header_map_pairs; proxy_add_, _replace_, _remove_header_map_value. What they
# change is what the upstream receives. Pseudo headers and the fields that nginx itself
# looks at have files of their own.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Scripted;

run_tests();

__DATA__

=== TEST 1: all headers, names in lower case, then the pseudo headers
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["get_header_map_pairs", "request"]]}';
        return 200;
    }
--- more_headers
X-One: 1
X-TWO: Two
--- request
GET /t?a=b
--- error_log eval
qr/get_header_map_pairs request -> OK (?=.*x-one: 1 \| x-two: Two)(?!.*TWO)(?!(?:.* )?\| host: |host: ).* \| :scheme: http \| :path: \/t\?a=b \| :method: GET \| :authority: localhost/



=== TEST 2: repeated headers stay repeated and in order
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["get_header_map_pairs", "request"]]}';
        return 200;
    }
--- more_headers
X-A: 1
X-B: between
x-a: 2
--- request
GET /t
--- error_log
x-a: 1 | x-b: between | x-a: 2



=== TEST 3: a value is the first of its name, without case
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["get_header_map_value", "request", "x-a"],
            ["get_header_map_value", "request", "X-A"],
            ["get_header_map_value", "request", "x-none"],
            ["get_header_map_value", "request", "x-empty"],
            ["get_header_map_value", "request", ""]
        ]}';
        return 200;
    }
--- raw_request eval
"GET /t HTTP/1.1\r\nHost: x\r\nX-a: 1\r\nx-A: 2\r\nX-Empty:\r\nConnection: close\r\n\r\n"
--- error_log
get_header_map_value request x-a -> OK 1
get_header_map_value request X-A -> OK 1
get_header_map_value request x-none -> NOT_FOUND
get_header_map_value request x-empty -> OK ""
get_header_map_value request "" -> NOT_FOUND



=== TEST 4: the size is that of the serialized map
--- user_files
>>> sizes.conf
{"on_request_headers": [
    ["set_header_map_pairs", "request", [["host", "h"], ["a", "b"]]],
    ["get_header_map_pairs", "request"],
    {"op": "get_header_map_size", "args": ["request"]}
]}
--- config
    location = /t {
        proxy_wasm hostcalls conf_file=html/sizes.conf;
        return 200;
    }
--- request
GET /t
--- error_log eval
[
    qr/get_header_map_pairs request -> OK a: b \| :scheme: http \| :path: \/t \| :method: GET \| :authority: h/,
    # A count, two sizes for each pair, and a NUL behind each name and value.
    "get_header_map_size request -> OK " . (4 + 5 * 8
        + length("a.b.:scheme.http.:path./t.:method.GET.:authority.h.")),
]



=== TEST 5: a header that is added goes upstream
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["add_header_map_value", "request", "x-new", "value with blanks"],
            ["add_header_map_value", "request", "X-Cased", "C"],
            ["add_header_map_value", "request", "x-empty", ""]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body_like: \r\nx-new: value with blanks\r\nX-Cased: C\r\nx-empty: \r\n\r\n$



=== TEST 6: one that is there already is added to
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["add_header_map_value", "request", "x-a", "2"],
            ["add_header_map_value", "request", "x-a", "3"],
            ["get_header_map_value", "request", "x-a"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- more_headers
X-A: 1
--- request
GET /t
--- response_body_like: X-A: 1\r\n(.*\r\n)*x-a: 2\r\nx-a: 3\r\n
--- error_log
get_header_map_value request x-a -> OK 1



=== TEST 7: replacing takes the place of all of that name
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["replace_header_map_value", "request", "x-a", "new"],
            ["replace_header_map_value", "request", "x-b", "was not there"],
            ["get_header_map_value", "request", "x-a"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- more_headers
X-A: 1
X-Keep: kept
x-A: 2
--- request
GET /t
--- response_body_like: ^(?!.*x-a: [12]\r)(?!.*x-A)(?=.*\r\nX-Keep: kept\r\n)(?=.*\r\nx-a: new\r\n)(?=.*\r\nx-b: was not there\r\n)
--- error_log
get_header_map_value request x-a -> OK new



=== TEST 8: removing takes all of that name, and only those
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["remove_header_map_value", "request", "x-a"],
            ["remove_header_map_value", "request", "x-none"],
            ["get_header_map_value", "request", "x-a"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- more_headers
X-A: 1
X-Keep: kept
x-A: 2
X-Ab: other
--- request
GET /t
--- response_body_like: X-Keep: kept\r\nX-Ab: other\r\n
--- error_log
remove_header_map_value request x-a -> OK
remove_header_map_value request x-none -> OK
get_header_map_value request x-a -> NOT_FOUND



=== TEST 9: what was removed is gone
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["remove_header_map_value", "request", "x-a"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- more_headers
X-A: 1
x-A: 2
--- request
GET /t
--- response_body_unlike: (?i)x-a



=== TEST 10: the first, one in the middle and the last can be removed, and added again
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["remove_header_map_value", "request", "x-1"],
            ["remove_header_map_value", "request", "x-3"],
            ["remove_header_map_value", "request", "x-5"],
            ["add_header_map_value", "request", "x-5", "again"],
            ["add_header_map_value", "request", "x-1", "again"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- raw_request eval
"GET /t HTTP/1.1\r\nX-1: 1\r\nHost: x\r\nX-2: 2\r\nX-3: 3\r\nX-4: 4\r\nConnection: close\r\nX-5: 5\r\n\r\n"
--- response_body_like: X-2: 2\r\nX-4: 4\r\nx-5: again\r\nx-1: again\r\n



=== TEST 11: proxy_set_header_map_pairs replaces the whole
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["set_header_map_pairs", "request", [
                [":method", "PUT"], [":path", "/t/new?x=y"], [":authority", "new.example"], [":scheme", "http"],
                ["x-only", "one"], ["x-only", "two"]
            ]]
        ]}';
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Connection close;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- more_headers
X-Old: gone
--- request
GET /t
--- response_body eval
"PUT /t/new?x=y HTTP/1.1\r\nHost: new.example\r\nConnection: close\r\nx-only: one\r\nx-only: two\r\n\r\n"



=== TEST 12: what is read is written back unchanged
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            {"op": "get_header_map_pairs", "args": ["request"]},
            ["set_header_map_pairs", "request", [["host", "localhost"], ["x-a", "1"], ["x-a", "2"]]]
        ]}';
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Connection close;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body eval
"GET /t HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nx-a: 1\r\nx-a: 2\r\n\r\n"



=== TEST 13: more than a hundred headers
--- config
    location /t {
        proxy_wasm hostcalls '{"trace": true, "on_request_headers": [
            ["get_header_map_value", "request", "x-150"],
            ["remove_header_map_value", "request", "x-75"],
            ["replace_header_map_value", "request", "x-149", "new"],
            ["add_header_map_value", "request", "x-151", "151"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- more_headers eval
CORE::join "", map { "X-$_: $_\n" } 1 .. 150
--- request
GET /t
--- response_body eval
my $expected = CORE::join "", map { "X-$_: $_\r\n" } grep { $_ != 75 && $_ != 149 } 1 .. 150;
qr/\r\n\Q$expected\Ex-149: new\r\nx-151: 151\r\n\r\n$/
--- error_log eval
[qr/on_request_headers 2 154 true/, "get_header_map_value request x-150 -> OK 150"]



=== TEST 14: a plugin adds hundreds of headers
--- user_files eval
# In a file: nginx takes no parameter of more than 4 KB.
my @steps = map { qq(["add_header_map_value", "request", "x-$_", "$_"]) } 1 .. 300;
[["plugin.conf", '{"on_request_headers": [' . CORE::join(",", @steps) . ']}']]
--- config
    location /t {
        proxy_wasm hostcalls conf_file=html/plugin.conf;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body eval
my $expected = CORE::join "", map { "x-$_: $_\r\n" } 1 .. 300;
qr/\r\n\Q$expected\E\r\n$/



=== TEST 15: long names and values
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["add_header_map_value", "request", {"repeat": ["n", 300]}, {"repeat": ["v", 3000]}],
            {"op": "get_header_map_value", "args": ["request", {"repeat": ["N", 300]}], "as": "v", "quiet": true},
            {"if": ["eq", "${v}", {"repeat": ["v", 3000]}], "then": [["echo", "the same"]]}
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body_like: n{300}: v{3000}\r\n
--- error_log
the same



=== TEST 16: what would split the request is refused
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["add_header_map_value", "request", "x-a", {"hex": "610d0a782d623a2062"}],
            ["replace_header_map_value", "request", "x-a", {"hex": "610a62"}],
            ["add_header_map_value", "request", {"hex": "782d610d0a"}, "b"],
            ["add_header_map_value", "request", "x-a", {"hex": "6100"}],
            ["add_header_map_value", "request", "x a", "b"],
            ["add_header_map_value", "request", "x-a:", "b"],
            ["set_header_map_pairs", "request", [["x-a", {"hex": "610d0a782d623a2062"}]]]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body_unlike: (?i)x-?[ab]
--- grep_error_log eval: qr/_header_map_\w+ .* -> \w+/
--- grep_error_log_out eval
qr/^(?:.* -> BAD_ARGUMENT\n){7}$/



=== TEST 17: an empty name is no error and no header
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["add_header_map_value", "request", "", "a"],
            ["replace_header_map_value", "request", "", "a"],
            ["remove_header_map_value", "request", ""]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- response_body_unlike: \r\n:
--- error_log
add_header_map_value request "" a -> OK
replace_header_map_value request "" a -> OK
remove_header_map_value request "" -> OK



=== TEST 18: maps that a request does not have are empty, and no map is no map
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["get_header_map_pairs", "request_trailers"],
            ["get_header_map_size", "call_response"],
            ["get_header_map_value", "grpc_initial_metadata", "a"],
            ["add_header_map_value", "call_response", "a", "b"],
            ["get_header_map_pairs", 8]
        ]}';
        return 200;
    }
--- request
GET /t
--- error_log
get_header_map_size call_response -> OK 4
get_header_map_value grpc_initial_metadata a -> NOT_FOUND
add_header_map_value call_response a b -> BAD_ARGUMENT
get_header_map_pairs 8 -> BAD_ARGUMENT
--- no_error_log
panicked



=== TEST 19: a map with lies in it is refused, and changes nothing
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["set_header_map_pairs", "request", {"hex": "ffffffff"}],
            ["set_header_map_pairs", "request", {"hex": "0100000001000000ffffffff610062"}],
            ["set_header_map_pairs", "request", {"hex": "02000000"}],
            ["raw", "proxy_set_header_map_pairs", 0, 4294967280, 64],
            ["raw", "proxy_get_header_map_pairs", 0, "end-2", "slot"],
            ["raw", "proxy_add_header_map_value", 0, 4294967295, 4294967295, "slot", 4]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- more_headers
X-A: kept
--- request
GET /t
--- response_body_like: X-A: kept
--- error_log eval
[
    qr/set_header_map_pairs request \S*ff\S* -> (?!OK)\w+/,
    qr/raw proxy_set_header_map_pairs 0 4294967280 64 -> INVALID_MEMORY_ACCESS/,
    qr/raw proxy_get_header_map_pairs 0 end-2 slot -> INVALID_MEMORY_ACCESS/,
    qr/raw proxy_add_header_map_value 0 4294967295 4294967295 slot 4 -> INVALID_MEMORY_ACCESS/,
]
--- no_error_log eval
qr/set_header_map_pairs .* -> OK/



=== TEST 20: what stands in variables follows
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["get_property", "http_x_a"],
            ["replace_header_map_value", "request", "x-a", "new"],
            ["get_property", "http_x_a"]
        ]}';
        return 200 "$http_x_a\n";
    }
--- more_headers
X-A: old
--- request
GET /t
--- response_body
new
--- error_log
get_property http_x_a -> OK old
get_property http_x_a -> OK new



=== TEST 21: in the response callbacks the request's headers can be read still
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_response_headers": [["get_header_map_value", "request", "x-a"]],
            "on_log": [["get_header_map_value", "request", "x-a"], ["get_header_map_value", "request", ":path"]]
        }';
        return 200;
    }
--- more_headers
X-A: there
--- request
GET /t
--- grep_error_log eval: qr/get_header_map_value request \S+ -> OK \S+(?=,| while)/
--- grep_error_log_out
get_header_map_value request x-a -> OK there
get_header_map_value request x-a -> OK there
get_header_map_value request :path -> OK /t



=== TEST 22: without a request there are none, and none to change
--- config
    location /t {
        proxy_wasm hostcalls '{"on_configure": [
            ["get_header_map_pairs", "request"],
            ["get_header_map_value", "request", "x-a"],
            ["add_header_map_value", "request", "x-a", "b"],
            ["remove_header_map_value", "request", "x-a"]
        ]}';
        return 200;
    }
--- request
GET /t
--- error_log
get_header_map_value request x-a -> NOT_FOUND
add_header_map_value request x-a b -> BAD_ARGUMENT
remove_header_map_value request x-a -> BAD_ARGUMENT



=== TEST 23: the same through the Rust SDK
--- http_config
    wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm phase=rewrite;
--- config
    location /t {
        proxy_wasm rust hi;
        return 500;
    }
--- more_headers
X-Rust-Echo: 1
X-A: 1
x-a: 2
--- request
GET /t?b
--- response_body_like: ^authority is Some\("localhost"\)\n(?=.*\nx-a: 1\nx-a: 2\n).*:scheme: http\n:path: /t\?b\n:method: GET\n:authority: localhost\n$
