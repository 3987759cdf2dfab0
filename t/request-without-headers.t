# Requests whose header nginx has not read, or refused: plugins may change their fields as those of any
# other, and no worker dies, on either path.

use lib '.';
use t::ProxyWasm;

my $steps = <<'E';
    ["get_header_map_pairs", "request"],
    ["remove_header_map_value", "request", "x-none"],
    ["add_header_map_value", "request", "x-a", "1"],
    ["add_header_map_value", "request", "cookie", "c=1"],
    ["replace_header_map_value", "request", "x-b", "2"],
    ["replace_header_map_value", "request", ":authority", "new.example"],
    ["get_header_map_value", "request", "x-a"]
E
my $all = '["set_header_map_pairs", "request", [["x-a", "1"], ["x-b", "2"], ["cookie", "c=1"], [":authority", "b"]]]';
my $upstream = $ENV{TEST_NGINX_UPSTREAM_PORT};
my $shown = 'return 200 "$http_x_a $http_x_b $host $cookie_c"';
my $server = start_nginx(
    lua         => 1,
    http_config => <<"E",
    wasm_vm wasmtime;
    wasm_plugin hostcalls $ENV{TEST_NGINX_PLUGINS}/hostcalls.wasm phase=rewrite;
    server {
        listen $upstream; proxy_wasm off;
        location / { return 200 "upstream: \$http_x_a \$http_x_b"; }
    }
    init_worker_by_lua_block {
        wasm = require("resty.proxy-wasm")
        plugin = assert(wasm.load("hostcalls", "$ENV{TEST_NGINX_PLUGINS}/hostcalls.wasm"))
        conf = assert(wasm.on_configure(plugin, [=[{"on_request_headers": [$steps]}]=]))
    }
E
    config => <<"E",
    large_client_header_buffers 2 1k;
    error_page 400 405 414 494 497 505 /page;
    proxy_set_header Host \$http_host;
    location = /page { proxy_wasm hostcalls '{"on_request_headers": [$steps]}'; proxy_pass http://127.0.0.1:$upstream; }
    location /one { proxy_wasm hostcalls '{"on_request_headers": [$steps]}'; $shown; }
    location /all { proxy_wasm hostcalls '{"on_request_headers": [$all]}'; $shown; }
    location /up { proxy_wasm hostcalls '{"on_request_headers": [$steps]}'; proxy_pass http://127.0.0.1:$upstream; }
    location /lua {
        access_by_lua_block { assert(wasm.on_http_request_headers(conf)) }
        content_by_lua_block { ngx.print(ngx.var.http_x_a, " ", ngx.var.http_x_b) }
    }
E
);

is $server->raw("GET /one\r\n"), '1 2 new.example 1', 'HTTP/0.9: fields are added and replaced';
is $server->raw("GET /all\r\n"), '1 2 b 1', 'the map is replaced as a whole';
is $server->raw("GET /up\r\n"), 'upstream: 1 2', 'what was set goes upstream';
is $server->raw("GET /lua\r\n"), '1 2', 'the same from Lua';

my %refused = (
    'a version nginx does not know' => "GET /x HTTP/9.9\r\n\r\n",
    'a URI that is too long'        => 'GET /' . 'a' x 3000 . " HTTP/1.1\r\nHost: a\r\n\r\n",
    'a line that is none'           => "\0\1\2\3\r\n\r\n",
    'TLS on a plain port'           => "\x16\x03\x01\x02\0\1\0\1\xfc\x03\x03" . "\xaa" x 64,
    'CONNECT'                       => "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    'OPTIONS *'                     => "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    'no Host in HTTP/1.1'           => "GET /x HTTP/1.1\r\n\r\n",
    'a path that leaves the root'   => "GET /../x HTTP/1.1\r\nHost: a\r\n\r\n",
    'a header that is too long'     => "GET /x HTTP/1.1\r\nHost: a\r\n" . 'x-long: ' . 'a' x 3000 . "\r\n\r\n",
);
for my $what (sort keys %refused) {
    like $server->raw($refused{$what}), qr/upstream: 1 2/, "$what: the error page's plugin changes its request";
}
is $server->get('/one')->{status}, 200, 'the worker lives';
$server->stop;
done_testing;
