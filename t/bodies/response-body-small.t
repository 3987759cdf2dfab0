# A small response that no plugin changed keeps its length and its tag, whichever way nginx
# comes by its end.

use lib '.';
use t::ProxyWasm;

my %script = (
    looks => '"on_response_body": []',
    reads => '"on_response_body": [["get_buffer_bytes", "response_body"]]',
    waits => '"on_response_body": [{"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "pause"]]}]',
    changes => '"on_response_body": [{"if": ["eq", "${end_of_stream}", "true"], "then": [["set_buffer_bytes", "response_body", "!", 9999, 0]]}]',
);
my $origin = free_port();
my %way = (
    file       => 'sendfile on; alias html/;',
    memory     => 'sendfile off; alias html/;',
    proxied    => "proxy_pass http://127.0.0.1:$origin/file/;",
    cached     => "proxy_cache cache; proxy_cache_valid 1h; proxy_pass http://127.0.0.1:$origin/file/;",
    unbuffered => "proxy_buffering off; proxy_pass http://127.0.0.1:$origin/file/;",
    apart      => "proxy_buffering off; proxy_pass http://127.0.0.1:$origin/apart/;",
    stored     => "proxy_store \$TEST_NGINX_SERVER_ROOT/stored\$uri; proxy_pass http://127.0.0.1:$origin/file/;",
);
my $s = start_nginx(
    user_files  => ">>> t.txt\nhello\n",
    http_config => <<"E",
    wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls.wasm;
    proxy_cache_path \$TEST_NGINX_SERVER_ROOT/cache keys_zone=cache:1m;
    server {
        listen 127.0.0.1:$origin;
        location /file/ { alias html/; }
        location /apart/ { content_by_lua_block {
            ngx.header["Content-Length"] = 6
            ngx.header["ETag"] = '"tag"'
            ngx.send_headers()
            ngx.flush(true)
            ngx.sleep(0.05)
            ngx.print("hello\\n")
            ngx.flush(true)
            ngx.sleep(0.05)
        } }
    }
E
    config => join '', map { my $name = $_; map { "location /$name/$_/ { proxy_wasm hostcalls '{\"trace\": true, $script{$name}}'; $way{$_} }\n" } sort keys %way } sort keys %script,
);

for my $name (sort keys %script) {
    for my $way (sort(keys %way), 'cached') {
        subtest "$name, $way" => sub {
            $s->mark_log;
            my $r = $s->get("/$name/$way/t.txt");
            my $changes = $name eq 'changes';
            is $r->{body}, $changes ? "hello\n!" : "hello\n", 'body';
            is $r->{headers}{'content-length'}, $changes ? 7 : 6, 'length';
            is $r->{headers}{'transfer-encoding'}, undef, 'not in chunks';
            $changes ? is $r->{headers}{etag}, undef, 'no tag' : like $r->{headers}{etag}, qr/\A"/, 'a strong tag';
            ok $s->wait_for_log(qr/on_delete/), 'all is seen';
            my @seen = $s->error_log =~ /on_response_body \d+ (\d+ \w+)/g;
            is_deeply \@seen, ['6 true'], 'the plugin is called once' or note explain \@seen;
        };
    }
}
$s->stop;
done_testing;
