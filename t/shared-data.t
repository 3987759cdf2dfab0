# proxy_get_shared_data, proxy_set_shared_data and wasm_shared_data: compare and swap, eviction, what a full zone says,
# and what survives a reload.

use lib '.';
use t::ProxyWasm 'no_plan';

run_tests();

__DATA__

=== TEST 1: a value is set and got, with its CAS number
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["get_shared_data", "k"],
            ["set_shared_data", "k", "one"],
            ["get_shared_data", "k"],
            ["set_shared_data", "k", "two", "${cas}"],
            ["set_shared_data", "k", "three", "${cas}"],
            ["get_shared_data", "k"],
            ["send_local_response", 200, "${report}"]
        ]}';
    }
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- request
GET /t
--- response_body_like eval
qr/get_shared_data k -> NOT_FOUND.*
.*set_shared_data k one -> OK.*
.*get_shared_data k -> OK one.*
.*set_shared_data k two \d+ -> OK.*
.*set_shared_data k three \d+ -> CAS_MISMATCH.*
.*get_shared_data k -> OK two/s



=== TEST 2: a CAS number that no value has makes a key only if it is new
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["set_shared_data", "k", "made", "max"],
            ["set_shared_data", "k", "again", "max"],
            ["get_shared_data", "k"],
            ["send_local_response", 200, "${report}"]
        ]}';
    }
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- request
GET /t
--- response_body_like: made \S+ -> OK[\s\S]*again \S+ -> CAS_MISMATCH[\s\S]*-> OK made



=== TEST 3: before any request, and for keys of 64 KiB
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_configure": [["set_shared_data", {"repeat": ["k", 65536]}, "early"]],
            "on_request_headers": [
                ["get_shared_data", {"repeat": ["k", 65536]}],
                ["set_shared_data", {"repeat": ["k", 65537]}, ""],
                ["send_local_response", 200, "${report}"]
        ]}';
    }
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- request
GET /t
--- response_body_like: -> OK early[\s\S]*-> BAD_ARGUMENT



=== TEST 4: plugins do not see each other's keys
--- config
    location /t {
        proxy_wasm one '{"on_request_headers": [["set_shared_data", "k", "mine"]]}';
        proxy_wasm two '{"on_request_headers": [["get_shared_data", "k"], ["send_local_response", 200, "${report}"]]}';
    }
--- http_config
    wasm_plugin one $TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_plugin two $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- request
GET /t
--- response_body_like: NOT_FOUND



=== TEST 5: what was used least recently goes when the zone is full
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            {"op": "set_shared_data", "args": ["old", {"repeat": ["a", 30000]}], "quiet": true},
            {"op": "set_shared_data", "args": ["used", "b"], "quiet": true},
            {"op": "set_shared_data", "args": ["new", {"repeat": ["c", 80000]}], "quiet": true},
            {"op": "get_shared_data", "args": ["used"], "quiet": true},
            {"op": "set_shared_data", "args": ["more", {"repeat": ["d", 30000]}], "quiet": true},
            {"op": "set_shared_data", "args": ["never", {"repeat": ["e", 200000]}], "as": "never", "quiet": true},
            ["echo", "never ${never}"],
            ["get_shared_data", "old"],
            ["get_shared_data", "used"],
            ["get_shared_data", "new"],
            ["get_shared_data", "more"],
            ["send_local_response", 200, "${report}"]
        ]}';
    }
--- http_config
    wasm_shared_data 128k;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- request
GET /t
--- response_body_like: never BAD_ARGUMENT[\s\S]*data old -> NOT_FOUND[\s\S]*data used -> OK b\n[\s\S]*data new -> OK ccc[\s\S]*data more -> OK ddd



=== TEST 6: evict=none refuses, and loses nothing
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            {"op": "set_shared_data", "args": ["old", {"repeat": ["a", 60000]}], "quiet": true},
            {"op": "set_shared_data", "args": ["more", {"repeat": ["d", 70000]}], "as": "more", "quiet": true},
            ["echo", "more ${more}"],
            ["get_shared_data", "old"],
            ["send_local_response", 200, "${report}"]
        ]}';
    }
--- http_config
    wasm_shared_data 128k evict=none;
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- request
GET /t
--- response_body_like: more INTERNAL_FAILURE[\s\S]*get_shared_data old -> OK aaa



=== TEST 7: sizes are checked
--- check_config
--- must_die
--- http_config
    wasm_shared_data 16k;
--- error_log
"wasm_shared_data": a zone of 16384 bytes is too small; give it 64k or more



=== TEST 8: and what stands behind them
--- check_config
--- must_die
--- http_config
    wasm_shared_data 16m evict=fifo;
--- error_log
"wasm_shared_data": takes a size, and evict=lru or evict=none
