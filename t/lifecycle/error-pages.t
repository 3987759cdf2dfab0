# nginx's page, or the operator's `error_page`, in place of a response that a plugin failed on, or held
# too long, before its header was sent: whatever made that response, and however long the page takes.
# Nothing of the response is kept under the page's name, and the connection serves on.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::EndingClient;

# Freed memory is overwritten: who uses it goes astray at once.
$ENV{MALLOC_PERTURB_} = 165;

my $upstream = 'proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;';
my $call = '["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":path", "/quick"], [":authority", "u"]]]';
my $cache = 'proxy_cache pages; proxy_cache_key $uri; proxy_cache_valid any 1h;';

my %source = (
    return     => 'return 200 "response";',
    file       => 'sendfile on; try_files /large.txt =404;',
    pieces     => 'sendfile off; output_buffers 2 8k; try_files /large.txt =404;',
    threads    => 'sendfile off; aio threads; output_buffers 2 8k; try_files /large.txt =404;',
    buffered   => $upstream,
    unbuffered => "proxy_buffering off; $upstream",
    cached     => "$cache $upstream",
    stored     => "proxy_store on; $upstream",
);
my %how = (
    'header traps'      => [503, qq({"on_response_headers": [["trap"]]})],
    'body traps'        => [503, qq({"on_response_body": [["trap"]]})],
    'call traps'        => [503, qq({"on_response_headers": [$call, ["return", "pause"]], "on_http_call_response": [["trap"]]})],
    'header held'       => [504, qq({"on_response_headers": [["return", "pause"]]})],
    'body over a limit' => [500, qq({"on_response_body": [["return", "pause"]]}), 'body_buffer_size=1k'],
);
my %page = (
    file    => 'try_files /page.txt =404;',
    proxied => $upstream =~ s{;}{/page;}r,
    held    => qq(proxy_wasm well '{"on_request_headers": [$call, ["return", "pause"]],
                   "on_http_call_response": [["continue_stream", "request"]]}'; return 200 page;),
);

my (@cells, $plugins, $locations);
for my $source (sort keys %source) {
    for my $how (sort keys %how) {
        # A response in one small piece is not over the limit.
        next if "$how $source" eq 'body over a limit return';
        for my $page (sort keys %page) {
            my %cell = (id => "$how, $source, $page", source => $source, status => $how{$how}[0]);
            for my $protocol (qw(kept h2)) {
                my ($name, $options) = ('p' . ++$plugins, $how{$how}[2] // '');
                $cell{path}{$protocol} = "/slow/$name";
                $cell{plugin}{$protocol} = "wasm_plugin $name \$TEST_NGINX_PLUGINS/hostcalls.wasm $options;\n";
                $locations .= "location = /slow/$name { error_page 500 503 504 /page-$page.txt; wasm_pause_timeout "
                    . ($how =~ /held/ ? '50ms' : '1h') . "; proxy_wasm $name '$how{$how}[1]'; $source{$source} }\n";
            }
            push @cells, \%cell;
        }
    }
}
$locations .= "location = /page-$_.txt { $page{$_} }\n" for sort keys %page;

my $h2_port = free_port();
my $s = start_nginx(
    lua                => 1,
    worker_connections => 4096,
    user_files         => [['large.txt', '0123456789' x 20_000], ['page.txt', 'page']],
    http_config        => 'wasm_plugin well $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;' . join('', map { values $_->{plugin}->%* } @cells) . <<'E',
    proxy_cache_path pages keys_zone=pages:1m;
    server {
        listen 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
        location = /quick { return 200 "quick"; }
        location = /page { return 200 "page"; }
        location /slow { content_by_lua_block {
            ngx.header["Content-Length"] = 200000
            for _ = 1, 5 do ngx.print(("0"):rep(40000)) ngx.flush(true) ngx.sleep(0.005) end
        } }
    }
E
    config             => "listen 127.0.0.1:$h2_port http2;\n$locations" . <<'E',
    location = /next { return 200 "next"; }
    location = /head {
        wasm_pause_timeout 50ms;
        proxy_wasm well '{"on_response_headers": [["return", "pause"]]}';
        sendfile off;
        output_buffers 2 8k;
        try_files /large.txt =404;
    }
    location = /status { wasm_status; }
E
);
$s->{h2_port} = $h2_port;
my ($worker) = $s->worker_pids;

for my $source (sort keys %source) {
    subtest $source => sub {
        for my $cell (grep { $_->{source} eq $source } @cells) {
            my $response = $s->connect->request('GET', $cell->{path}{kept}) || { status => 'none', body => '' };
            is "$response->{status} $response->{body}", "$cell->{status} page", $cell->{id};
            my $client = ProxyWasm::EndingClient->ask('h2', $s, 'GET', $cell->{path}{h2});
            is $client->sees, $cell->{status}, "$cell->{id}: HTTP/2";
            is $client->next, 'next', "$cell->{id}: the next stream";
        }
    };
}

subtest 'HEAD of a file, which nginx reads all the same' => sub {
    my $client = $s->connect(timeout => 20);
    $client->send_request(@$_) for [HEAD => '/head'], [GET => '/next'];
    is $client->read_response->{status}, 504, 'the page, without a body';
    is +(eval { $client->read_response } || {})->{body}, 'next', 'and the answer to the next request';
};

my $root = $s->{root} . '/html';
is_deeply [grep { m{/page-} } glob "$root/*"], [], 'nothing is stored under the name of a page';
is $s->get('/page-file.txt')->{body}, 'page', 'which is what it was';
is_deeply [$s->worker_pids], [$worker], 'the worker lives';
$s->stop(allow => [qr/\[error\]/]);
my $log = do { $s->{since} = 0; $s->error_log };
is scalar(() = $log =~ /create http context/g), scalar(() = $log =~ /free http context/g), 'each context has ended';
done_testing;
