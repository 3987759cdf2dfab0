# A plugin holds the header of a response that nginx does not buffer. The bytes behind the header
# go with it, and do not keep nginx from reading on.

use lib '.';
use t::ProxyWasm;
use IO::Select;

my $call = '["http_call", "callee", [[":method", "GET"], [":path", "/callee"], [":authority", "x"]]]';
my $held = qq("on_response_headers": [$call, ["return", "pause"]], "on_http_call_response": [["continue_stream", "response"]]);
my %script = (
    looks   => $held,
    changes => qq($held, "on_response_body": [["set_buffer_bytes", "response_body", "+", 0, 0]]),
    twice   => $held,
);

sub location {
    my ($plugin, $path) = @_;
    my $line = "proxy_wasm hostcalls '{$script{$plugin}}';";
    my $more = $plugin eq 'twice' ? "proxy_wasm small '{$script{$plugin}}';" : '';
    return "location = /$plugin/$path { $line $more proxy_pass http://callee/$path; }\n";
}

my $s = start_nginx(
    lua         => 1,
    http_config => <<'E',
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_plugin small $TEST_NGINX_PLUGINS/hostcalls.wasm body_buffer_size=1k;
    wasm_pause_timeout 1h;
    proxy_buffering off;
    upstream callee { server 127.0.0.1:$TEST_NGINX_SERVER_PORT; }
    lua_shared_dict said 1m;
    lua_http10_buffering off;
E
    config => join('', map { my $plugin = $_; map { location($plugin, $_) } qw(slow whole large) } sort keys %script) . <<'E',
        location = /callee { content_by_lua_block { ngx.sleep(0.05) ngx.print("x") } }
        location = /go { content_by_lua_block { ngx.shared.said:set("go", true) ngx.print("gone") } }
        location = /slow { content_by_lua_block {
            ngx.shared.said:delete("go")
            ngx.print("one ") ngx.flush(true)
            ngx.print("two ") ngx.flush(true)
            while not ngx.shared.said:get("go") do ngx.sleep(0.01) end
            ngx.print("three")
        } }
        location = /whole { content_by_lua_block {
            ngx.header["Content-Length"] = 5
            ngx.print("wh") ngx.flush(true) ngx.sleep(0.01) ngx.print("ole") ngx.flush(true)
        } }
        location = /large { content_by_lua_block {
            for _ = 1, 50 do ngx.print(("0"):rep(4000)) ngx.flush(true) end
        } }
E
);

# What comes on a connection until it matches, or ends.
sub read_until {
    my ($c, $pattern) = @_;
    my $seen = '';
    my $select = IO::Select->new($c->{sock});
    while ($seen !~ $pattern) {
        $select->can_read(10) && sysread($c->{sock}, $seen, 65_536, length $seen) or last;
    }
    return $seen;
}

for my $plugin (sort keys %script) {
    subtest "$plugin: what has come goes with the header" => sub {
        my $c = $s->connect;
        $c->send_request('GET', "/$plugin/slow");
        my $seen = read_until($c, qr/one .*two /s);
        like $seen, qr/one .*two /s, 'it is there';
        unlike $seen, qr/three/, 'and the upstream has not gone on';
        is $s->get('/go')->{body}, 'gone', 'it is told to';
        like read_until($c, qr/three/), qr/three/, 'and so does the response';
        $c->close;
    };

    subtest "$plugin: a body whose length is known" => sub {
        my $r = $s->get("/$plugin/whole");
        like $r->{body}, qr/^\+?whole$/, 'it is whole, and one piece';
        is $r->{headers}{'content-length'}, length $r->{body}, 'of that length';
    };

    subtest "$plugin: more than is copied" => sub {
        is $s->get("/$plugin/large")->{body} =~ tr/0//, 200_000, 'all of it';
    };
}

$s->stop;
done_testing;
