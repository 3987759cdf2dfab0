# A response that has no body, or whose header says that none follows, leaves as it came,
# under plugins that may change bodies: gRPC clients take a Trailers-Only answer for one only
# if the frame of its header ends the stream.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Frames qw(frames_of);

my $seen  = '"trace": true, "on_response_body": []';
my $pause = '"on_configure": [["set", "held", ""], ["set_tick_period_milliseconds", 20]],
    "on_response_headers": [["set", "held", "${context_id}"], ["return", "pause"]],
    "on_response_body": [],
    "on_tick": [{"if": ["not", ["eq", "${held}", ""]], "then": [
        ["set_effective_context", "${held}"], ["set", "held", ""], ["continue_stream", "response"]]}]';
my $plain    = free_port();
my $upstream = '127.0.0.1:$TEST_NGINX_UPSTREAM_PORT';

my @plugins = (
    ['none'      => ''],
    ['scripted'  => "proxy_wasm hostcalls '{$seen}';"],
    ['pausing'   => "proxy_wasm hostcalls '{$pause}';"],
    ['two'       => "proxy_wasm hostcalls '{$seen}'; proxy_wasm sdk x;"],
    ['sdk'       => 'proxy_wasm sdk x;'],
);
my $config = join '', map {
    my ($name, $plugin) = @$_;
    <<"E" } @plugins;
    location /$name/grpc/ { $plugin grpc_pass grpc://$upstream; }
    location /$name/proxied/ { $plugin proxy_pass http://127.0.0.1:$plain/plain/; }
    location /$name/unbuffered/ { $plugin proxy_buffering off; proxy_pass http://127.0.0.1:$plain/plain/; }
    location /$name/return/200 { $plugin return 200 ""; }
    location /$name/return/204 { $plugin return 204; }
    location /$name/file/ { $plugin alias html/; }
    location /$name/page { $plugin error_page 403 /empty; deny all; }
E

my %conf = (
    user_files  => ">>> empty\n>>> t.txt\nhello\n",
    http_config => <<"E",
    wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_plugin sdk \$TEST_NGINX_PLUGINS/rust-headers.wasm;
    server {
        listen 127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT http2;
        default_type application/grpc;
        location / { add_header grpc-status 7; add_header grpc-message "no entry"; return 200 ""; }
        location ~ body\$ { add_trailer grpc-status 0; content_by_lua_block { ngx.print("hello") } }
        location ~ 204\$ { return 204; }
    }
    server {
        listen 127.0.0.1:$plain;
        location /plain/ { return 200 ""; }
        location /plain/204 { return 204; }
        location /plain/304 { content_by_lua_block { ngx.status = 304 ngx.header.ETag = '"tag"' } }
        location /plain/apart { content_by_lua_block { ngx.header["Content-Length"] = 0 ngx.flush(true) ngx.sleep(0.01) } }
    }
E
    config => $config,
);

my @paths = ('grpc/x', 'grpc/204', 'proxied/', 'proxied/204', 'proxied/304', 'proxied/apart', 'unbuffered/',
    'unbuffered/204', 'unbuffered/304', 'unbuffered/apart', 'return/200', 'return/204', 'file/empty', 'page');

my $s = start_nginx(%conf, http2 => 1);
for my $path (@paths) {
    for my $plugin (map { $_->[0] } @plugins) {
        is_deeply frames_of($s->port, 'GET', "/$plugin/$path"), [['HEADERS', 'END_STREAM']],
            "GET /$plugin/$path: the header ends the stream";
        is_deeply frames_of($s->port, 'HEAD', "/$plugin/$path"), [['HEADERS', 'END_STREAM']], "HEAD /$plugin/$path";
    }
}
for my $plugin (map { $_->[0] } @plugins) {
    my $frames = frames_of($s->port, 'GET', "/$plugin/grpc/body");
    is_deeply [$frames->[0], $frames->[-1]], [['HEADERS', ''], ['HEADERS', 'END_STREAM']],
        "GET /$plugin/grpc/body: trailers follow a body";
    is_deeply frames_of($s->port, 'HEAD', "/$plugin/file/t.txt"), [['HEADERS', 'END_STREAM']], "HEAD of a file, $plugin";
}
$s->stop;

# Over HTTP/1.1 the fields that say how long it is are the same.
$s = start_nginx(%conf);
for my $path (grep { !/grpc/ } @paths) {
    my %framing;
    for my $plugin (map { $_->[0] } @plugins) {
        for my $method (qw(GET HEAD)) {
            my $r = $s->request($method, "/$plugin/$path");
            is $r->{body}, '', "$method /$plugin/$path: no body";
            my $fields = join ', ', map { "$_: " . ($r->{headers}{$_} // '') }
                qw(content-length transfer-encoding etag);
            $framing{$method}{$fields}{$plugin} = 1;
        }
    }
    is scalar(keys %{ $framing{$_} }), 1, "$_ $path: framed as without a plugin" or note explain $framing{$_} for qw(GET HEAD);
}

subtest 'Content-Length: 0 has one body callback' => sub {
    for my $path (grep { !/grpc|204|304/ } @paths) {
        $s->mark_log;
        $s->get("/scripted/$path");
        ok $s->wait_for_log(qr/on_delete/), "$path: all is seen";
        my @seen = $s->error_log =~ /on_response_body \d+ (\d+ \w+)/g;
        is_deeply \@seen, ['0 true'], "$path: one, which is the end";
    }
};
$s->stop;
done_testing;
