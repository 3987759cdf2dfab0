# Where resty.http is installed, it makes the calls of a request that Lua drives: with Lua's sockets, certificates and kept
# connections. What it cannot, and what no thread of Lua's waits for, the module's own client does.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::LuaSetup;

no_long_string();

# The server of the plugins' calls tells who made one: the stand-in says "lua-resty-http", the module's client says nothing.
our $http_config = ProxyWasm::LuaSetup::resty_http() . <<'C';
    upstream block { server 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT; }
    server {
        listen 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
        listen unix:$TEST_NGINX_SERVER_ROOT/called.sock;
        default_type text/plain;
        location / {
            add_header X-Two 1;
            add_header X-Two 2;
            return 200 "$request_method $host $request_uri by ${http_user_agent}";
        }
        location = /fields { content_by_lua_block {
            local headers = ngx.req.get_headers()
            ngx.print(headers["x-one"], ", ", headers["x-many"], ", ", headers["content-length"], ", ", headers["transfer-encoding"])
        } }
        location = /connection { return 200 "$connection"; }
        location = /large { alias $TEST_NGINX_HTML_DIR/large; }
        location = /chunked { content_by_lua_block { ngx.print("one ") ngx.flush(true) ngx.print("two") } }
        location = /old { content_by_lua_block {
            local sock = ngx.req.socket(true)
            sock:send("HTTP/1.1 200 OK\r\n\r\nuntil it closes")
        } }
        location = /trailers { content_by_lua_block {
            local sock = ngx.req.socket(true)
            sock:send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n")
        } }
        location = /empty { return 204; }
        # Answers when three have come.
        location = /three { content_by_lua_block {
            arrived = (arrived or 0) + 1
            gate = gate or require("ngx.semaphore").new(0)
            if arrived == 3 then gate:post(3) end
            gate:wait(5)
            ngx.print("one of ", arrived)
        } }
        # Ends when the call does.
        location = /never {
            lua_check_client_abort on;
            content_by_lua_block { ngx.sleep(3600) }
        }
    }
C

# Steps of callbacks are run by a plugin in the access phase; "called" is where its calls go.
add_block_preprocessor(sub {
    my ($block) = @_;
    my $config = $block->config // '';
    if (my $script = $block->script) {
        my $directives = $block->directives // '';
        $config .= <<"C";
    location /t {
        $directives
        access_by_lua_block {
            local ok, err = wasm.on_http_request_headers(configured("hostcalls", [=[$script]=]))
            if not ok then
                ngx.print(err)
                ngx.exit(200)
            end
        }
        content_by_lua_block { ngx.print(ngx.req.get_headers()["x-seen"]) }
    }
C
    }
    $config =~ s/\bCALLED\b/127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT/g;
    $block->set_value(config => $config);
    $block->set_value(http_config => $http_config . ($block->http_config // ''));
});
add_block_preprocessor(\&ProxyWasm::LuaSetup::add);

run_tests();

__DATA__

=== TEST 1: a call is made by resty.http, and a line says so
--- script
{"on_request_headers": [
    ["http_call", "CALLED", [[":path", "/a?b=c?d"], [":authority", "test.com"]], "", [], 2000]],
 "on_http_call_response": [
    ["get_header_map_pairs", "call_response"],
    ["get_buffer_bytes", "call_response_body"],
    ["replace_header_map_value", "request", "x-seen", "${last}"]]}
--- response_body chomp
GET test.com /a?b=c?d by lua-resty-http
--- grep_error_log eval: qr{\[notice\] [^:]*: \*\d+ send http request to http://127.0.0.1:\d+/a\?b=c\?d, method: GET, timeout in ms: 2000|register http call callout id: 0|run http callback callout id: 0, plugin ctx id: 1|x-two: 1 \| x-two: 2}
--- grep_error_log_out eval
qr{register http call callout id: 0
.*send http request to .*
run http callback callout id: 0, plugin ctx id: 1
x-two: 1 \| x-two: 2
}
--- no_error_log
[error]
[warn]



=== TEST 2: fields and body of the call
--- script
{"on_request_headers": [
    ["http_call", "CALLED", [[":method", "POST"], [":path", "/fields"], ["x-one", "a:b"], ["x-many", "1"], ["x-many", "2"],
        ["content-length", "99"], ["transfer-encoding", "gzip"]], "body"]],
 "on_http_call_response": [
    ["get_buffer_bytes", "call_response_body"],
    ["replace_header_map_value", "request", "x-seen", "${last}"]]}
--- response_body chomp
a:b, 12, 4, nil
--- no_error_log
[error]



=== TEST 3: several calls are made at once
--- script
{"on_request_headers": [
    ["http_call", "CALLED", [[":path", "/three"]]],
    ["http_call", "CALLED", [[":path", "/three"]]],
    ["http_call", "CALLED", [[":path", "/three"]]]],
 "on_http_call_response": [
    ["get_buffer_bytes", "call_response_body"],
    {"if": ["eq", "${count}", "3"], "then": [["replace_header_map_value", "request", "x-seen", "${count} answers, ${last}"]]}]}
--- response_body chomp
3 answers, one of 3
--- no_error_log
[error]



=== TEST 4: a response leads to the next call
--- script
{"on_request_headers": [["http_call", "CALLED", [[":path", "/first"]]], ["return", "pause"]],
 "on_http_call_response": [
    ["get_buffer_bytes", "call_response_body"],
    {"if": ["contains", "${last}", "/first"],
     "then": [["http_call", "CALLED", [[":path", "/second"]]]],
     "else": [["replace_header_map_value", "request", "x-seen", "${last}"]]}]}
--- response_body chomp
GET 127.0.0.1 /second by lua-resty-http
--- no_error_log
[error]



=== TEST 5: a refused connection
--- script
{"on_request_headers": [["http_call", "127.0.0.1:1", [[":path", "/x"]]]],
 "on_http_call_response": [["replace_header_map_value", "request", "x-seen", "${num_headers} ${body_size} ${num_trailers}"]]}
--- response_body chomp
0 0 0
--- error_log
http call failed: connection refused, uri: http://127.0.0.1:1/x
run http callback callout id: 0, plugin ctx id: 1



=== TEST 6: a timeout
--- script
{"on_request_headers": [["http_call", "CALLED", [[":path", "/never"]], "", [], 50]],
 "on_http_call_response": [["replace_header_map_value", "request", "x-seen", "${num_headers} ${body_size} ${num_trailers}"]]}
--- response_body chomp
0 0 0
--- error_log
http call failed: timeout, uri: http://127.0.0.1:



=== TEST 7: a body in chunks, one that ends with its connection, and none
--- script
{"on_request_headers": [["http_call", "CALLED", [[":path", "/chunked"]]]],
 "on_http_call_response": [
    ["get_buffer_bytes", "call_response_body"],
    {"if": ["eq", "${count}", "1"], "then": [["set", "first", "${last}"], ["http_call", "CALLED", [[":path", "/old"]]]]},
    {"if": ["eq", "${count}", "2"], "then": [["set", "second", "${last}"], ["http_call", "CALLED", [[":path", "/empty"]]]]},
    {"if": ["eq", "${count}", "3"], "then": [
        ["get_header_map_value", "call_response", ":status"],
        ["replace_header_map_value", "request", "x-seen", "${first}, ${second}, ${last}"]]}]}
--- response_body chomp
one two, until it closes, 204
--- no_error_log
[error]



=== TEST 8: a large response comes whole
--- script
{"on_request_headers": [["http_call", "CALLED", [[":path", "/large"]]]],
 "on_http_call_response": [["replace_header_map_value", "request", "x-seen", "${body_size}"]]}
--- user_files eval
">>> large\n" . ("x" x 2_999_999) . "\n"
--- response_body_like: ^30000\d\d$
--- no_error_log
[error]



=== TEST 9: a response past the limit is refused
--- http_config
    wasm_call_response_limit 1m;
--- script
{"on_request_headers": [["http_call", "CALLED", [[":path", "/large"]]]],
 "on_http_call_response": [["replace_header_map_value", "request", "x-seen", "${num_headers}"]]}
--- user_files eval
">>> large\n" . ("x" x 2_999_999) . "\n"
--- response_body chomp
0
--- error_log
http call failed: response larger than 1048576 bytes, uri: http://127.0.0.1:



=== TEST 10: connections are kept, but not those with trailers, which resty.http does not read
--- script
{"on_request_headers": [["http_call", "CALLED", [[":path", "/connection"]]]],
 "on_http_call_response": [
    ["get_buffer_bytes", "call_response_body"],
    {"if": ["eq", "${count}", "1"], "then": [["set", "first", "${last}"], ["http_call", "CALLED", [[":path", "/connection"]]]]},
    {"if": ["eq", "${count}", "2"], "then": [["set", "second", "${last}"], ["http_call", "CALLED", [[":path", "/trailers"]]]]},
    {"if": ["eq", "${count}", "3"], "then": [["set", "body", "${last}"], ["http_call", "CALLED", [[":path", "/connection"]]]]},
    {"if": ["eq", "${count}", "4"], "then": [
        {"if": ["eq", "${first}", "${second}"], "then": [["set", "kept", "kept"]], "else": [["set", "kept", "new"]]},
        {"if": ["eq", "${second}", "${last}"], "then": [["set", "then", "kept"]], "else": [["set", "then", "new"]]},
        ["replace_header_map_value", "request", "x-seen", "${kept}, ${body}, ${then}"]]}]}
--- response_body chomp
kept, body, new
--- no_error_log
[error]



=== TEST 11: names are looked up as APISIX does it, which replaces connect() of Lua's sockets
--- http_config
    init_worker_by_lua_block {
        wasm = require("resty.proxy-wasm")
        local plugin = assert(wasm.load("p", "$TEST_NGINX_PLUGINS/hostcalls.wasm"))
        function configured(_, conf)
            context = context or assert(wasm.on_configure(plugin, conf))
            return context
        end

        local tcp = ngx.socket.tcp
        ngx.socket.tcp = function()
            local sock = tcp()
            local connect = sock.connect
            sock.connect = function(self, host, ...)
                return connect(self, host == "only.apisix.knows" and "127.0.0.1" or host, ...)
            end
            return sock
        end
    }
--- script
{"on_request_headers": [["http_call", "only.apisix.knows:$TEST_NGINX_UPSTREAM_PORT", []]],
 "on_http_call_response": [
    ["get_buffer_bytes", "call_response_body"],
    ["replace_header_map_value", "request", "x-seen", "${last}"]]}
--- response_body_like: ^GET only.apisix.knows / by lua-resty-http$
--- no_error_log
[error]



=== TEST 12: sockets in the file system
--- script
{"on_request_headers": [["http_call", "unix:$TEST_NGINX_SERVER_ROOT/called.sock", [[":authority", "u.test"]]]],
 "on_http_call_response": [
    ["get_buffer_bytes", "call_response_body"],
    ["replace_header_map_value", "request", "x-seen", "${last}"]]}
--- response_body chomp
GET u.test / by lua-resty-http
--- no_error_log
[error]



=== TEST 13: upstream blocks and trailers are the business of the module's client
--- script
{"on_request_headers": [
    ["http_call", "block", [[":path", "/block"]]],
    ["http_call", "CALLED", [[":path", "/trailer"]], "body", [["x-sum", "1"]]]],
 "on_http_call_response": [
    ["get_buffer_bytes", "call_response_body"],
    ["add_header_map_value", "request", "x-seen", "${last}"]]}
--- response_body_like: ^(?=.*GET block /block by(?! lua))(?=.*GET 127.0.0.1 /trailer by(?! lua))
--- no_error_log
[error]
send http request to



=== TEST 14: a callback of the response does not wait, so its call is the module's client's
--- config
    location /t {
        header_filter_by_lua_block {
            assert(wasm.on_http_response_headers(configured("hostcalls", [=[{"on_response_headers": [
                ["http_call", "CALLED", [[":path", "/late"]]]]}]=])))
        }
        content_by_lua_block { ngx.print("ok") }
    }
--- response_body chomp
ok
--- error_log
register http call callout id: 0
--- no_error_log
[error]
send http request to



=== TEST 15: calls of a request's body callback
--- config
    location /t {
        access_by_lua_block {
            ngx.req.read_body()
            assert(wasm.on_http_request_body(configured("hostcalls", [=[{"on_request_body": [
                    ["http_call", "CALLED", [[":path", "/body"]]]],
                "on_http_call_response": [
                    ["get_buffer_bytes", "call_response_body"],
                    ["replace_header_map_value", "request", "x-seen", "${last}"]]}]=]), ngx.req.get_body_data(), true))
        }
        content_by_lua_block { ngx.print(ngx.req.get_headers()["x-seen"]) }
    }
--- request
POST /t
a body
--- response_body chomp
GET 127.0.0.1 /body by lua-resty-http
--- no_error_log
[error]



=== TEST 16: calls of configure are the module's client's
--- script
{"on_configure": [["http_call", "CALLED", [[":path", "/configure"]]]],
 "on_request_headers": [["replace_header_map_value", "request", "x-seen", "ok"]],
 "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["echo", "${last}."]]}
--- response_body chomp
ok
--- wait: 0.1
--- error_log
GET 127.0.0.1 /configure by .
--- no_error_log
[error]
send http request to



=== TEST 17: a call that a tick makes for a waiting request
--- script
{"on_configure": [["set_tick_period_milliseconds", 10]],
 "on_tick": [
    ["set_tick_period_milliseconds", 0],
    ["set_effective_context", 2],
    ["http_call", "CALLED", [[":path", "/tick"]]]],
 "on_request_headers": [["return", "pause"]],
 "on_http_call_response": [
    ["get_buffer_bytes", "call_response_body"],
    ["replace_header_map_value", "request", "x-seen", "${last}"]]}
--- response_body chomp
GET 127.0.0.1 /tick by lua-resty-http
--- no_error_log
[error]



=== TEST 18: a request that waits no longer leaves no call behind
--- directives
        wasm_pause_timeout 50ms;
--- script
{"on_request_headers": [["http_call", "CALLED", [[":path", "/never"]], "", [], 60000]],
 "on_http_call_response": [["echo", "told"]]}
--- response_body chomp
failed to run proxy_on_http_call_response
--- error_log
held the request past wasm_pause_timeout
--- no_error_log
told



=== TEST 19: a plugin that traps while another of its calls is unanswered
--- script
{"on_request_headers": [
    ["http_call", "CALLED", [[":path", "/never"]], "", [], 60000],
    ["http_call", "CALLED", [[":path", "/a"]]]],
 "on_http_call_response": [["trap"]]}
--- response_body chomp
failed to run proxy_on_http_call_response
--- error_log
failed to call function: proxy_on_http_call_response



=== TEST 20: a server that sends no HTTP
--- tcp_listen: $TEST_NGINX_SERVER_ROOT/garbage.sock
--- tcp_reply eval: "garbage\r\n\r\n"
--- script
{"on_request_headers": [["http_call", "unix:$TEST_NGINX_SERVER_ROOT/garbage.sock", []]],
 "on_http_call_response": [["replace_header_map_value", "request", "x-seen", "${num_headers}"]]}
--- response_body chomp
0
--- error_log
http call failed: couldn't parse HTTP version from response status line: garbage, uri: http://unix:



=== TEST 21: a resty.http that breaks fails the call, and nothing else
--- http_config
    init_by_lua_block {
        package.loaded["resty.http"] = { new = function() error("broken") end }
    }
--- script
{"on_request_headers": [["http_call", "CALLED", []]],
 "on_http_call_response": [["replace_header_map_value", "request", "x-seen", "${num_headers}"]]}
--- response_body chomp
0
--- error_log eval
qr{http call failed: init_by_lua[^ ]* broken, uri: http://127.0.0.1:}



=== TEST 22: without resty.http, the module's client calls, and one line says so
--- http_config
    init_by_lua_block { package.preload["resty.http"] = function() error("not here") end }
--- script
{"on_request_headers": [
    ["http_call", "CALLED", [[":path", "/a"]]],
    ["http_call", "CALLED", [[":path", "/a"]]]],
 "on_http_call_response": [
    ["get_buffer_bytes", "call_response_body"],
    ["replace_header_map_value", "request", "x-seen", "${last}."]]}
--- response_body chomp
GET 127.0.0.1 /a by .
--- grep_error_log eval: qr/\[warn\] .*?resty.http cannot be loaded, so this module's own client makes the HTTP calls of plugins/
--- grep_error_log_out eval
qr/^\[warn\][^\n]*\n$/
--- no_error_log
[error]
