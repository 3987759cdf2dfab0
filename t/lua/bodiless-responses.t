# A plugin changes the body of a response that has none, on the Lua path: nothing is sent, or it would be taken for the next
# response of the connection.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::LuaSetup;

my $s = start_nginx(
    http_config => "$ProxyWasm::LuaSetup::WASM_VM $ProxyWasm::LuaSetup::INIT_WORKER",
    config      => <<'E',
    location /plugin/ {
        access_by_lua_block {
            ctx = configured("hostcalls", '{"on_response_body": [["set_buffer_bytes", "response_body", "changed"]]}')
            assert(wasm.on_http_request_headers(ctx))
        }
        header_filter_by_lua_block { ngx.header["Content-Length"] = nil assert(wasm.on_http_response_headers(ctx)) }
        body_filter_by_lua_block { assert(wasm.on_http_response_body(ctx)) }
        proxy_http_version 1.1;
        proxy_buffering off;
        location /plugin/up/ { proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/up/; }
    }
    location /up/204 { return 204; }
    location /up/304 { content_by_lua_block { ngx.exit(304) } }
    location /up/200 { return 200 hello; }
    location /plain { return 200 plain; }
E
);

for ([GET => '/plugin/up/204', 204], [GET => '/plugin/up/304', 304], [HEAD => '/plugin/up/200', 200]) {
    my ($method, $path, $status) = @$_;
    my $connection = $s->connect;
    is $connection->request($method, $path)->{status}, $status, "$method $path: the status";
    is $connection->request('GET', '/plain')->{body}, 'plain', "$method $path: the next response on the connection";
}
like $s->get('/plugin/up/200')->{body}, qr/^(?:changed)+$/, 'the body of another is changed, piece by piece';

$s->stop;
done_testing;
