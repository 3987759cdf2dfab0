# :method between HEAD and the others: upstream sees the new one, but whether a body follows the
# response's header is for the client's own to say. Each connection carries a second request, whose
# response has to be found behind the first.

use lib '.';
use t::ProxyWasm;

my $plugin = <<'E';
proxy_wasm hostcalls '{"on_request_headers": [
    {"if": ["request_header", "x-method"], "then": [
        {"op": "get_header_map_value", "args": ["request", "x-method"], "as": "method", "quiet": true},
        ["replace_header_map_value", "request", ":method", "${method}"]]}
]}';
E
my $upstream = $ENV{TEST_NGINX_UPSTREAM_PORT};
my $server = start_nginx(
    http_config => <<"E",
    wasm_plugin hostcalls $ENV{TEST_NGINX_PLUGINS}/hostcalls.wasm phase=rewrite;
    wasm_plugin late $ENV{TEST_NGINX_PLUGINS}/hostcalls.wasm;
    proxy_cache_path cache keys_zone=z:1m;
    server {
        listen $upstream; proxy_wasm off;
        location / { add_header X-Upstream \$request_method; return 200 "body"; }
    }
E
    config => <<"E",
    location /proxy { $plugin proxy_pass http://127.0.0.1:$upstream; proxy_http_version 1.1; proxy_set_header Connection ""; }
    location /unbuffered { $plugin proxy_pass http://127.0.0.1:$upstream; proxy_buffering off; }
    location /cached { $plugin proxy_pass http://127.0.0.1:$upstream; proxy_cache z; proxy_cache_valid 1m; }
    location /static { $plugin root html; error_page 405 /page; }
    location /return { $plugin return 200 "body"; }
    location /answer { proxy_wasm late '{"on_request_headers": [
        ["replace_header_map_value", "request", ":method", "GET"], ["send_local_response", 200, "body"]]}'; }
    location /page { return 200 "page"; }
E
    user_files => ">>> static\nbody",
);

# Two requests in a row, of which the second is a plain GET. Answers whether its response stands where
# a client looks for it, and the method that upstream saw.
sub talk {
    my ($method, $path, $new) = @_;
    my $length = $method eq 'POST' ? "Content-Length: 0\r\n" : '';
    my $text = $server->raw("$method $path HTTP/1.1\r\nHost: a\r\nX-Method: $new\r\n$length\r\n"
                            . "GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    my ($head, $body) = $text =~ m{\A(.*?\r\n)\r\n(.*?)HTTP/1\.1 200 OK\r\n.*\r\n\r\npage\z}s;
    my ($upstream) = $text =~ /X-Upstream: (\w+)/;
    return (defined $body && fits($method, $head, $body) ? 'in step' : $text, $upstream // '');
}

sub fits {
    my ($method, $head, $body) = @_;
    return $body eq '' if $method eq 'HEAD';
    return $body =~ /(?:\A|\r\n)0\r\n\r\n\z/ if $head =~ /^Transfer-Encoding: chunked\r$/m;
    return $head =~ /^Content-Length: (\d+)\r$/m && $1 == length $body;
}

for my $path (qw(/proxy /unbuffered /static /return)) {
    for my $pair ([HEAD => 'GET'], [HEAD => 'POST'], [GET => 'HEAD'], [POST => 'HEAD'], [GET => 'PUT']) {
        my ($method, $new) = @$pair;
        my ($step, $upstream) = talk($method, $path, $new);
        is $step, 'in step', "$method made $new, $path: the next response is where the client looks for it";
        is $upstream, $new, 'and upstream saw the new method' if $path =~ /proxy|unbuffered/;
    }
}

is +(talk('HEAD', '/answer', 'x'))[0], 'in step', "a plugin's own answer to HEAD has no body";
for my $path (qw(/return /static)) {
    like $server->raw("GET $path HTTP/1.1\r\nHost: a\r\nX-Method: HEAD\r\nConnection: close\r\n\r\n"), qr/\r\n\r\nbody\n?\z/,
        "$path: a body that nginx makes is sent to a client that asked for it";
}
like $server->raw("GET /cached HTTP/1.1\r\nHost: a\r\nX-Method: HEAD\r\nConnection: close\r\n\r\n"), qr/\bbody\b/,
    'nginx makes GET of HEAD to fill its cache';
like $server->raw("GET /cached HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), qr/\bbody\b/,
    'so what is cached has its body';
$server->stop;
done_testing;
