# proxy_define_metric, proxy_increment_metric, proxy_record_metric and proxy_get_metric.

use lib '.';
use t::ProxyWasm 'no_plan';

run_tests();

__DATA__

=== TEST 1: a counter goes up, and not down
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            {"op": "define_metric", "args": ["counter", "c"], "as": "id"},
            {"op": "define_metric", "args": ["counter", "c"], "as": "again"},
            {"if": ["eq", "${id}", "${again}"], "then": [["echo", "same id"]]},
            ["increment_metric", "${id}", 3],
            ["increment_metric", "${id}", -1],
            ["record_metric", "${id}", 2],
            ["get_metric", "${id}"],
            ["send_local_response", 200, "${report}"]
        ]}';
    }
--- request
GET /t
--- response_body_like: same id[\s\S]*3 -> OK[\s\S]*-1 -> BAD_ARGUMENT[\s\S]*2 -> BAD_ARGUMENT[\s\S]*get_metric \d+ -> OK 3



=== TEST 2: a gauge goes both ways and can be set
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_configure": [{"op": "define_metric", "args": ["gauge", "g"], "as": "id"}],
            "on_request_headers": [
                ["record_metric", "${id}", 10],
                ["increment_metric", "${id}", -4],
                ["get_metric", "${id}"],
                ["send_local_response", 200, "${report}"]
        ]}';
    }
--- request
GET /t
--- response_body_like: get_metric \d+ -> OK 6



=== TEST 3: in a histogram values are recorded
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            {"op": "define_metric", "args": ["histogram", "h"], "as": "id"},
            ["record_metric", "${id}", 7],
            ["increment_metric", "${id}", 1],
            ["get_metric", "${id}"],
            ["send_local_response", 200, "${report}"]
        ]}';
    }
--- request
GET /t
--- response_body_like: record_metric \d+ 7 -> OK[\s\S]*increment_metric \d+ 1 -> BAD_ARGUMENT[\s\S]*get_metric \d+ -> BAD_ARGUMENT



=== TEST 4: an id that is nobody's, a name of two types, and a type that is none
--- http_config
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["get_metric", 0],
            ["increment_metric", "max", 1],
            ["define_metric", "gauge", "x"],
            ["define_metric", "counter", "x"],
            ["define_metric", 3, "y"],
            ["send_local_response", 200, "${report}"]
        ]}';
    }
--- request
GET /t
--- response_body_like: get_metric 0 -> NOT_FOUND[\s\S]*1 -> NOT_FOUND[\s\S]*gauge x -> OK[\s\S]*counter x -> OK[\s\S]*3 y -> BAD_ARGUMENT
