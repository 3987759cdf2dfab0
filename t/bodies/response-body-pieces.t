# The pieces in which plugins are handed a body: never more than 64 KiB, however nginx has
# it; none that is empty but the end; and the end once.

use lib '.';
use t::ProxyWasm;

use constant PIECE => 65_536;

my $trace = '"trace": true';
my $reads = $trace . ', "on_response_body": [{"op": "get_buffer_bytes", "args": ["response_body"], "as": "piece", "quiet": true}]';
my $changes = $trace . ', "on_response_body": [{"if": ["not", ["eq", "${body_size}", "0"]], "then": [
    {"op": "set_buffer_bytes", "args": ["response_body", "1", 0, 1], "quiet": true}]}]';
my %script = (looks => $trace, reads => $reads, changes => $changes);

my $size = 3 << 20;
my %way  = (
    sendfile         => 'sendfile on;',
    no_sendfile      => 'sendfile off;',
    large_buffers    => 'sendfile off; output_buffers 1 1m;',
    directio         => 'sendfile on; directio 1;',
    aio              => 'sendfile on; aio threads;',
    aio_write        => 'sendfile off; aio threads; directio 4k;',
    sub              => 'sendfile on; sub_filter_types *; sub_filter none-of-it some;',
    ssi              => 'sendfile on; ssi on; ssi_types *;',
    small_output     => 'sendfile on; postpone_output 100000; sendfile_max_chunk 32k;',
    limited          => 'sendfile on; limit_rate 30m;',
);
my %proxied = (
    proxied          => '',
    unbuffered       => 'proxy_buffering off;',
    large_memory     => 'proxy_buffers 4 1m; proxy_buffer_size 512k; proxy_busy_buffers_size 1m;',
    temporary        => 'proxy_buffers 4 8k; proxy_buffer_size 8k; proxy_busy_buffers_size 16k;',
    unbuffered_large => 'proxy_buffering off; proxy_buffers 4 1m; proxy_buffer_size 1m;',
    cached           => 'proxy_cache cache; proxy_cache_valid 1h; sendfile on;',
);
my $config = '';
for my $name (sort keys %script) {
    $config .= "location /$name/$_/ { $way{$_} proxy_wasm hostcalls '{$script{$name}}'; alias html/; }\n" for sort keys %way;
    $config .= "location /$name/$_/ { $proxied{$_} proxy_wasm hostcalls '{$script{$name}}'; proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/; }\n"
        for sort keys %proxied;
    $config .= "location /$name/memory { proxy_wasm hostcalls '{$script{$name}}'; content_by_lua_block { ngx.header['Content-Length'] = $size ngx.print(('0'):rep($size)) } }\n";
}
$config .= <<"E" for sort keys %script;
    location /$_/gzip/ { sendfile on; gzip on; gzip_types *; gzip_min_length 1; proxy_wasm hostcalls '{$script{$_}}'; alias html/; }
    location /$_/changing/ {
        sendfile on;
        sub_filter_types *;
        sub_filter_once off;
        sub_filter 0 x;
        proxy_wasm hostcalls '{$script{$_}}';
        alias html/;
    }
    location /$_/charset/ {
        sendfile on;
        default_type text/plain;
        charset_types *;
        source_charset koi8-r;
        charset windows-1251;
        proxy_wasm hostcalls '{$script{$_}}';
        alias html/;
    }
E
my $held = q{"on_response_body": [
    {"if": ["eq", "${count}", "1"], "then": [["http_call", "callee", [[":method", "GET"], [":path", "/slow"], [":authority", "x"]]], ["return", "pause"]]},
    {"if": ["eq", "${resumed}", "0"], "then": [["return", "pause"]]}],
    "on_configure": [["set", "resumed", "0"]],
    "on_http_call_response": [["set", "resumed", "1"], ["continue_stream", "response"]]};
my $s = start_nginx(
    http_config => <<'E',
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_plugin small $TEST_NGINX_PLUGINS/hostcalls.wasm body_buffer_size=200k;
    charset_map koi8-r windows-1251 { C0 FE; }
    proxy_cache_path $TEST_NGINX_SERVER_ROOT/cache keys_zone=cache:1m;
    upstream callee { server 127.0.0.1:$TEST_NGINX_SERVER_PORT; }
E
    config => $config . <<"E",
    location /held/ { sendfile on; proxy_wasm small '{$held}'; alias html/; }
    location /whole/ { sendfile on; proxy_wasm hostcalls '{"on_response_body": [
        {"if": ["eq", "\${end_of_stream}", "false"], "then": [["return", "pause"]]},
        ["set_buffer_bytes", "response_body", "!", 0, 1]]}'; alias html/; }
    location /huge/ { sendfile on; proxy_wasm hostcalls '{}'; alias html/; }
    location /huge/read/ { sendfile on; proxy_wasm hostcalls '{"on_response_body": [{"op": "get_buffer_bytes", "args": ["response_body"], "as": "piece", "quiet": true}]}'; alias html/; }
    location /slow { content_by_lua_block { ngx.sleep(0.3) ngx.print("x") } }
E
);

sub make_file {
    my ($name, $size) = @_;
    open my $out, '>', $s->html_dir . "/$name" or die $!;
    print {$out} '0' x (1 << 20) for 1 .. $size >> 20;
    close $out;
}
make_file('large', $size);

sub seen {
    ok $s->wait_for_log(qr/on_delete/), 'the request has ended';
    return map { [split / /] } $s->error_log =~ /on_response_body \d+ (\d+ \w+)/g;
}

for my $name (sort keys %script) {
    for my $way ((map { "$_/large" } sort(keys %way), sort(keys %proxied), 'cached'), 'memory') {
        subtest "$name $way" => sub {
            $s->mark_log;
            my $r = $s->get("/$name/$way");
            is $r->{status}, 200, 'status';
            is length $r->{body}, $size, 'length';
            my @seen = seen();
            my ($total, $largest, @ends) = (0, 0);
            for (@seen) {
                $total += $_->[0];
                $largest = $_->[0] if $_->[0] > $largest;
            }
            is $total, $size, 'the plugin saw all of it';
            cmp_ok $largest, '<=', PIECE, 'in pieces of at most 64 KiB';
            is scalar(grep { $_->[1] eq 'true' } @seen), 1, 'one of which is the end';
            is $seen[-1][1], 'true', 'the last';
            is scalar(grep { $_->[0] == 0 && $_->[1] eq 'false' } @seen), 0, 'and none of which is empty';
            my $expected = $name eq 'changes' ? scalar grep { $_->[0] > 0 } @seen : 0;
            is $r->{body} =~ tr/1//, $expected, 'the client has what the plugin made';
        };
    }
}

subtest 'filters that read a file whose header waited' => sub {
    require IO::Uncompress::Gunzip;
    for my $name (sort keys %script) {
        my $r = $s->get("/$name/gzip/large", 'Accept-Encoding' => 'gzip');
        is $r->{headers}{'content-encoding'}, 'gzip', "$name: packed";
        IO::Uncompress::Gunzip::gunzip(\$r->{body}, \my $body);
        is length $body, $size, "$name: all of it";
        is $s->get("/$name/changing/large")->{body} =~ tr/x//, $size - ($name eq 'changes' ? $size / PIECE : 0),
            "$name: sub_filter";
        is length $s->get("/$name/charset/large")->{body}, $size, "$name: charset";
    }
};

is length $s->get('/held/large')->{body}, $size, 'what a plugin holds for a call may be smaller than the file';
my $whole = $s->get('/whole/large');
is substr($whole->{body}, 0, 2), '!0', 'a plugin may wait for all of it';
is length $whole->{body}, $size, 'and has all of it';
is $whole->{headers}{'content-length'}, $size, 'whose length is said';

subtest 'a gigabyte' => sub {
    my $in = $s->html_dir . '/huge';
    open my $out, '>', $in or die $!;
    truncate $out, 1 << 30;
    close $out;
    my ($pid) = $s->worker_pids;
    my $memory = sub {
        open my $status, '<', "/proc/$pid/status" or die $!;
        return join('', <$status>) =~ /^RssAnon:\s+(\d+)/m ? $1 : 0;
    };
    $s->get('/huge/large');
    $s->get('/huge/read/large');
    my $before = $memory->();
    for my $path ('/huge/huge', '/huge/read/huge') {
        my $slow = $s->connect;
        $slow->send_request('GET', $path);
        open my $curl, '-|', 'curl', '-s', '-o', '/dev/null', '-w', '%{size_download}', 'http://127.0.0.1:' . $s->port . $path;
        is <$curl>, 1 << 30, "$path is served, beside a client that does not read";
        cmp_ok $memory->() - $before, '<', 4 << 10, 'and the worker needs little for it';
        $slow->close;
    }
    unlink $in;
};

$s->stop;
done_testing;
