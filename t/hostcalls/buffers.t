# proxy_get_buffer_bytes and proxy_get_buffer_status: the bounds, and when there is
# nothing. proxy_set_buffer_bytes is in t/bodies.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Upstream qw(upstream);

add_block_preprocessor(sub {
    my ($block) = @_;
    my $script = $block->script;
    $block->set_value(http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;' . upstream());
    $block->set_value(config => <<"E");
        location /echo {
            proxy_wasm hostcalls '$script';
            proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT;
        }
E
    $block->set_value(request => "POST /echo\n0123456789");
    $block->set_value(response_body => '0123456789');
    # A line of each step, in order.
    $block->set_value(grep_error_log => qr/(?:[gs]et_buffer_\w+|\braw) .*? -> [A-Z_]+(?: (?:""|\w+)(?<!while)(?=[, ]))?/);
    $block->set_value(no_error_log => '[error]');
});

run_tests();

__DATA__

=== TEST 1: ranges of the request's body
--- script
{"on_request_body": [
    ["get_buffer_bytes", "request_body", 0, 10],
    ["get_buffer_bytes", "request_body", 0, 1],
    ["get_buffer_bytes", "request_body", 9, 1],
    ["get_buffer_bytes", "request_body", 3, 4],
    ["get_buffer_bytes", "request_body", 8, 100],
    ["get_buffer_bytes", "request_body", 0, "max"],
    ["get_buffer_status", "request_body"]
]}
--- grep_error_log_out
get_buffer_bytes request_body 0 10 -> OK 0123456789
get_buffer_bytes request_body 0 1 -> OK 0
get_buffer_bytes request_body 9 1 -> OK 9
get_buffer_bytes request_body 3 4 -> OK 3456
get_buffer_bytes request_body 8 100 -> OK 89
get_buffer_bytes request_body 0 max -> OK 0123456789
get_buffer_status request_body -> OK 10



=== TEST 2: ranges of nothing are empty, and what lies past the end is cut
--- script
{"on_request_body": [
    ["get_buffer_bytes", "request_body", -1, 2],
    ["get_buffer_bytes", "request_body", 1, 0],
    ["get_buffer_bytes", "request_body", 1, -1],
    ["get_buffer_bytes", "request_body", 10, 2],
    ["get_buffer_bytes", "request_body", 11, 1]
]}
--- grep_error_log_out
get_buffer_bytes request_body -1 2 -> OK ""
get_buffer_bytes request_body 1 0 -> OK ""
get_buffer_bytes request_body 1 -1 -> OK 123456789
get_buffer_bytes request_body 10 2 -> OK ""
get_buffer_bytes request_body 11 1 -> OK ""



=== TEST 3: the same of the response's body
--- script
{"on_response_body": [{"if": ["not", ["eq", "${body_size}", "0"]], "then": [
    ["get_buffer_bytes", "response_body", 3, 4],
    ["get_buffer_bytes", "response_body", 8, 100],
    ["get_buffer_bytes", "response_body", -1, 2],
    ["get_buffer_bytes", "response_body", 1, 0],
    ["get_buffer_bytes", "response_body", 1, -1],
    ["get_buffer_bytes", "response_body", 10, 2],
    ["get_buffer_status", "response_body"]
]}]}
--- grep_error_log_out
get_buffer_bytes response_body 3 4 -> OK 3456
get_buffer_bytes response_body 8 100 -> OK 89
get_buffer_bytes response_body -1 2 -> OK ""
get_buffer_bytes response_body 1 0 -> OK ""
get_buffer_bytes response_body 1 -1 -> OK 123456789
get_buffer_bytes response_body 10 2 -> OK ""
get_buffer_status response_body -> OK 10



=== TEST 4: in the response's callbacks the type of the request's body gives the response's, as the C module does
--- script
{"on_response_body": [{"if": ["not", ["eq", "${body_size}", "0"]], "then": [["get_buffer_bytes", "request_body", 2, 3]]}]}
--- grep_error_log_out
get_buffer_bytes request_body 2 3 -> OK 234



=== TEST 5: outside their callbacks bodies are empty
--- script
{
    "on_request_headers": [["get_buffer_bytes", "request_body"], ["get_buffer_status", "request_body"], ["set_buffer_bytes", "request_body", "x"]],
    "on_request_body": [["get_buffer_bytes", "response_body"]],
    "on_response_headers": [["get_buffer_bytes", "request_body"], ["get_buffer_bytes", "response_body"], ["set_buffer_bytes", "response_body", "x"]],
    "on_log": [["get_buffer_bytes", "request_body"], ["get_buffer_bytes", "response_body"]]
}
--- grep_error_log_out
get_buffer_bytes request_body -> OK ""
get_buffer_status request_body -> OK 0
set_buffer_bytes request_body x -> NOT_FOUND
get_buffer_bytes response_body -> OK ""
get_buffer_bytes request_body -> OK ""
get_buffer_bytes response_body -> OK ""
set_buffer_bytes response_body x -> NOT_FOUND
get_buffer_bytes request_body -> OK ""
get_buffer_bytes response_body -> OK ""



=== TEST 6: other types of the spec that HTTP has not, and none of the spec's
--- script
{"on_request_body": [
    ["get_buffer_bytes", "downstream_data"],
    ["get_buffer_bytes", "upstream_data"],
    ["get_buffer_bytes", "call_response_body"],
    ["get_buffer_bytes", 99],
    ["get_buffer_status", 99],
    ["set_buffer_bytes", 99, "x"]
]}
--- grep_error_log_out
get_buffer_bytes downstream_data -> NOT_FOUND
get_buffer_bytes upstream_data -> NOT_FOUND
get_buffer_bytes call_response_body -> NOT_FOUND
get_buffer_bytes 99 -> BAD_ARGUMENT
get_buffer_status 99 -> BAD_ARGUMENT
set_buffer_bytes 99 x -> BAD_ARGUMENT



=== TEST 7: addresses outside the guest's memory
--- script
{"on_request_body": [
    ["raw", "proxy_get_buffer_bytes", 0, 0, 10, "end-2", "slot"],
    ["raw", "proxy_get_buffer_status", 0, "end-2", "slot"],
    ["raw", "proxy_set_buffer_bytes", 0, 0, 10, "end-2", 100],
    ["raw", "proxy_set_buffer_bytes", 0, 0, 10, "max", "max"]
]}
--- grep_error_log_out
raw proxy_get_buffer_bytes 0 0 10 end-2 slot -> INVALID_MEMORY_ACCESS
raw proxy_get_buffer_status 0 end-2 slot -> INVALID_MEMORY_ACCESS
raw proxy_set_buffer_bytes 0 0 10 end-2 100 -> INVALID_MEMORY_ACCESS
raw proxy_set_buffer_bytes 0 0 10 max max -> INVALID_MEMORY_ACCESS
