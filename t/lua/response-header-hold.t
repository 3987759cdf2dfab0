# resty.proxy-wasm: a plugin that pauses on a response's header. APISIX calls it in header_filter, which cannot wait: the header, and
# the body behind it, wait behind Lua's filter. So a plugin can call a server, and answer instead of the upstream, as on the native path.

use lib '.';
use t::ProxyWasm;
use IO::Socket::INET;

my $tick     = '"on_configure": [["set", "held", ""], ["set_tick_period_milliseconds", 20]]';
my $hold     = '["set", "held", "${context_id}"], ["return", "pause"]';
my $continue = '["continue_stream", "response"]';
my $call     = '["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":path", "/callee"], [":authority", "x"]]]';

sub in_tick {
    return '"on_tick": [{"if": ["not", ["eq", "${held}", ""]], "then": [["set_effective_context", "${held}"], ["set", "held", ""], '
        . join(', ', @_) . ']}]';
}

sub in_call {
    return qq("on_response_headers": [$call, ["return", "pause"]], "on_http_call_response": [) . join(', ', @_) . ']';
}

my $resumes = qq{$tick, "on_response_headers": [$hold], } . in_tick($continue);
my $mark    = '["add_header_map_value", "response", "x-late", "yes"]';
my $answer  = '["send_local_response", 403, "denied", [["x-why", "so"]]]';

# name => scripts of its plugins, in the order of their calls
my %scripts = (
    call     => [in_call($mark, $continue)],
    forgets  => [in_call($mark)],
    again    => ['"on_configure": [["set", "n", "0"]], '
        . in_call('{"if": ["eq", "${n}", "0"], "then": [["set", "n", "1"], ' . $call . '], "else": [["set", "n", "0"], ' . $mark . ']}')],
    denies   => [in_call($answer)],
    traps    => [in_call('["trap"]')],
    tick     => [$resumes],
    at_once  => [qq{"on_response_headers": [$continue, ["return", "pause"]]}],
    answers  => [qq{$tick, "on_response_headers": [$hold], } . in_tick($answer)],
    closes   => [qq{$tick, "on_response_headers": [$hold], } . in_tick('["close_stream", "response"]')],
    marks    => [in_call($answer) . ', "on_response_body": [["set_buffer_bytes", "response_body", "<", 0, 0]]'],
    never    => ['"on_response_headers": [["return", "pause"]]'],
    two      => [($resumes) x 2],
    behind   => [$resumes, '"on_response_headers": [["send_local_response", 418, "tea"]]'],
    before   => ['"on_response_headers": [["send_local_response", 418, "tea"]]', $resumes],
    changes  => [$resumes . ', "on_response_body": [{"if": ["not", ["eq", "${body_size}", "0"]], "then": [
        ["set_buffer_bytes", "response_body", "<", 0, 0]]}]'],
);

my $contexts = join "\n", map {
    my $name = $_;
    qq{scripts["$name"] = \{} . join(', ', map { "[==[{\"trace\": true, $_}]==]" } @{ $scripts{$name} }) . '}'
} sort keys %scripts;

# A location for each script and response: the upstream's, with and without buffers, a file, nginx's own, and Lua's.
my $lua = sub {
    my ($name) = @_;
    return <<"LUA";
        header_filter_by_lua_block {
            ngx.header["X-Lua"] = (ngx.header["X-Lua"] or "") .. "1"
            for _, ctx in ipairs(of("$name")) do assert(wasm.on_http_response_headers(ctx)) end
        }
        body_filter_by_lua_block {
            if ngx.var.wasm_process_resp_body ~= "" then
                for _, ctx in ipairs(of("$name")) do assert(wasm.on_http_response_body(ctx)) end
            end
        }
LUA
};
my $locations = join '', map { my $lua = $lua->($_); <<"LOCATIONS" } sort keys %scripts;
    location /$_/ {
        $lua
        @{[$_ eq 'never' ? 'wasm_pause_timeout 50ms;' : '']}
        proxy_http_version 1.1;
        location /$_/up/ { proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT/; }
        location /$_/unbuffered/ { proxy_buffering off; proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT/; }
        location /$_/t.txt { alias html/t.txt; }
        location /$_/404 { return 404; }
        location /$_/page { error_page 404 /$_/t.txt; return 404; }
        location /$_/redirect { return 302 /elsewhere; }
        location /$_/content { content_by_lua_block { ngx.say("one") ngx.flush(true) ngx.say("two") } }
        location /$_/native { proxy_wasm native '{"on_response_body": [
            {"if": ["not", ["eq", "\${body_size}", "0"]], "then": [["set_buffer_bytes", "response_body", "native ", 0, 0]]}]}';
            proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT/hello; }
        location /$_/met {
            access_by_lua_block { for _, ctx in ipairs(of("$_")) do assert(wasm.on_http_request_headers(ctx)) end }
            proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT/hello;
        }
    }
    location = /$_ {
        content_by_lua_block { ngx.print(ngx.location.capture("/$_/t.txt").body) }
    }
LOCATIONS

my %conf = (
    lua         => 1,
    user_files  => [['t.txt', "hello\n"]],
    http_config => <<"HTTP",
    wasm_vm wasmtime;
    map \$uri \$wasm_process_resp_body { ~^/(?:changes|marks)/ 1; default ''; }
    wasm_plugin native \$TEST_NGINX_PLUGINS/hostcalls.wasm;
    init_worker_by_lua_block {
        wasm = require("resty.proxy-wasm")
        local scripts, contexts = {}, {}
        $contexts
        function of(name)
            if not contexts[name] then
                contexts[name] = {}
                for i, script in ipairs(scripts[name]) do
                    local plugin = assert(wasm.load(name .. i, "\$TEST_NGINX_PLUGINS/hostcalls.wasm"))
                    contexts[name][i] = assert(wasm.on_configure(plugin, script))
                end
            end
            return contexts[name]
        end
    }
    server {
        listen 127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT;
        location = /hello { add_header ETag '"upstream"'; return 200 hello; }
        location = /callee { content_by_lua_block { ngx.sleep(0.02) ngx.print("x") } }
        location = /none { return 204; }
        location = /same { content_by_lua_block { ngx.exit(304) } }
        location = /large { content_by_lua_block { for _ = 1, 300 do ngx.print(("0"):rep(10240)) end } }
        location = /pieces { content_by_lua_block { for _, word in ipairs{"one ", "two ", "three"} do ngx.print(word) ngx.flush(true) end } }
        location = /broken { content_by_lua_block {
            ngx.header["Content-Length"] = 100
            ngx.print("five ") ngx.flush(true)
            ngx.exit(ngx.ERROR)
        } }
    }
HTTP
    config => $locations . <<"CONFIG",
    location = /exits {
        header_filter_by_lua_block { assert(wasm.on_http_response_headers(of("tick")[1])) if ngx.status == 200 then ngx.exit(403) end }
        return 200 hello;
    }
    location = /fails {
        header_filter_by_lua_block { assert(wasm.on_http_response_headers(of("tick")[1])) error("no") }
        return 200 hello;
    }
    location = /untouched { header_filter_by_lua_block { ngx.header["X-Lua"] = 1 } return 200 hello; }
CONFIG
);
my $switching = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "listen: $!";
$conf{config} .= <<"CONFIG";
    location = /upgrade {
        header_filter_by_lua_block { for _, ctx in ipairs(of("tick")) do assert(wasm.on_http_response_headers(ctx)) end }
        proxy_http_version 1.1;
        proxy_set_header Upgrade \$http_upgrade;
        proxy_set_header Connection upgrade;
        proxy_pass http://127.0.0.1:@{[$switching->sockport]};
    }
CONFIG
my $s = start_nginx(%conf);

sub is_served {
    my ($name, $request, %want) = @_;
    $s->mark_log;
    my $connection = $s->connect(timeout => 10);
    my $r = eval { $connection->request(@$request) };
    is $r->{status}, $want{status} // 200, "$name: status" or diag $@;
    is $r->{body}, $want{body}, "$name: body" if defined $want{body};
    is $r->{headers}{$_}, $want{headers}{$_}, "$name: $_" for sort keys %{ $want{headers} };
    ok $s->wait_for_log($want{log}), "$name: log" if $want{log};
    my $next = eval { $connection->request('GET', '/untouched') };
    is $next->{body}, 'hello', "$name: the connection goes on" if !$want{closes};
    ok $s->wait_for_log(qr/free http context/), "$name: over";
    return $r;
}

subtest 'goes on when the plugin resumes' => sub {
    for my $name (qw(call tick at_once two forgets again)) {
        my %of_call = (call => 'yes', forgets => 'yes', again => 'yes');
        my %late    = (headers => { 'x-late' => $of_call{$name}, 'x-lua' => 1 });
        is_served "$name, upstream", [GET => "/$name/up/hello"], body => 'hello', %late;
        is_served "$name, unbuffered", [GET => "/$name/unbuffered/hello"], body => 'hello', %late;
        is_served "$name, request headers before", [GET => "/$name/met"], body => 'hello', %late;
    }
    for my $name (qw(call tick)) {
        is_served "$name, a file", [GET => "/$name/t.txt"], body => "hello\n", headers => { 'content-length' => 6 };
        is_served "$name, HEAD", [HEAD => "/$name/t.txt"], body => '', headers => { 'content-length' => 6 };
        is_served "$name, HEAD of an upstream", [HEAD => "/$name/up/hello"], body => '', headers => { 'content-length' => 5 };
        is_served "$name, 204", [GET => "/$name/up/none"], status => 204, body => '';
        is_served "$name, 304", [GET => "/$name/up/same"], status => 304, body => '';
        is_served "$name, nginx's 404", [GET => "/$name/404"], status => 404;
        is_served "$name, an error page", [GET => "/$name/page"], status => 404, body => "hello\n";
        is_served "$name, a redirect", [GET => "/$name/redirect"], status => 302;
        is_served "$name, Lua's content", [GET => "/$name/content"], body => "one\ntwo\n";
        is_served "$name, large", [GET => "/$name/up/large"], body => '0' x 3_072_000;
        is_served "$name, large, unbuffered", [GET => "/$name/unbuffered/large"], body => '0' x 3_072_000;
        is_served "$name, in pieces", [GET => "/$name/up/pieces"], body => 'one two three';
        is_served "$name, in pieces, unbuffered", [GET => "/$name/unbuffered/pieces"], body => 'one two three';
        is_served "$name, behind a native plugin that changes the body", [GET => "/$name/native"], body => 'native hello';
    }
    my $r = is_served 'changes the body, too', [GET => '/changes/up/hello'], body => '<hello';
};

subtest 'a call ends the wait' => sub {
    is_served 'not resumed', [GET => '/forgets/up/hello'], log => qr/on_http_call_response/;
    is_served 'after another call', [GET => '/again/up/hello'], log => qr/on_http_call_response/;
    is scalar(() = $s->error_log =~ /on_http_call_response \d/g), 2, 'both are answered before';
};

subtest 'an answer replaces the response' => sub {
    for my $name (qw(denies answers marks)) {
        for my $response (qw(up/hello up/large unbuffered/large up/pieces t.txt met 404 content)) {
            my $r = is_served "$name, $response", [GET => "/$name/$response"], status => 403, body => 'denied',
                headers => { 'x-why' => 'so', 'content-length' => 6, etag => undef };
        }
        is_served "$name, HEAD", [HEAD => "/$name/t.txt"], status => 403, body => '';
    }
    is_served 'that of a plugin behind the one that holds', [GET => '/behind/up/hello'], status => 418, body => 'tea';
    is_served 'that of a plugin before it',                 [GET => '/before/up/hello'], status => 418, body => 'tea';
};

subtest 'what else ends the wait' => sub {
    for my $response (qw(up/hello up/large unbuffered/pieces t.txt met)) {
        is_served "too long, $response", [GET => "/never/$response"], status => 504, closes => 1,
            log => qr/plugin "never1" held the response past wasm_pause_timeout/;
        is_served "a trap, $response", [GET => "/traps/$response"], status => 503, closes => 1, log => qr/failed to call function/;
        $s->mark_log;
        is eval { $s->get("/closes/$response") }, undef, "closed, $response";
        ok $s->wait_for_log(qr/free http context/), "closed, $response: over";
    }
    is_served 'Lua exits', [GET => '/exits'], status => 403, closes => 1;
    $s->mark_log;
    is eval { $s->get('/fails') }, undef, 'Lua fails';
    ok $s->wait_for_log(qr/free http context/), 'and the request is over';
    is_served 'an upstream that breaks off', [GET => '/call/unbuffered/broken'], status => 502, closes => 1;
};

subtest 'the client leaves' => sub {
    for my $response (qw(up/hello unbuffered/large t.txt met)) {
        $s->mark_log;
        my $c = $s->connect;
        # Long enough for the client to leave first.
        $c->send_request(GET => "/call/$response");
        ok $s->wait_for_log(qr/register http call/), "$response: the call is made";
        $c->close;
        ok $s->wait_for_log(qr/free http context/), "$response: over";
    }
};

subtest 'an upgrade cannot be held' => sub {
    $s->mark_log;
    my $c = $s->connect;
    $c->send_request(GET => '/upgrade', headers => [Upgrade => 'x', Connection => 'upgrade']);
    my $upstream = $switching->accept or die "accept: $!";
    sysread $upstream, my $request, 4096;
    syswrite $upstream, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbytes";
    is eval { $c->read_response }, undef, 'the client gets nothing';
    ok $s->wait_for_log(qr/plugin "tick1" cannot hold an upgrade/), 'as the log says';
    ok $s->wait_for_log(qr/free http context/), 'and the request is over';
};

subtest 'a subrequest goes on' => sub {
    is_served 'captured', [GET => '/tick'], body => "hello\n",
        log => qr/plugin "tick1" cannot hold the header of a subrequest's response/;
};

subtest 'many at once, and some that leave' => sub {
    my @open = map {
        my $c = $s->connect;
        $c->send_request(GET => '/' . (qw(call forgets denies call never traps))[$_ % 6] . '/up/' . (qw(hello large pieces))[$_ % 3]);
        $c;
    } 0 .. 59;
    $open[$_]->close for grep { $_ % 5 == 0 } 0 .. $#open;
    my %got;
    $got{ $open[$_]->read_response->{status} }++ for grep { $_ % 5 } 0 .. $#open;
    is_deeply \%got, { 200 => 24, 403 => 8, 504 => 8, 503 => 8 }, 'each gets its own' or diag explain \%got;
};

$s->stop(allow => [qr/\[error\]/]);

$s = start_nginx(%conf, http2 => 1);

# Status and body over HTTP/2.
sub curl {
    my ($path, @options) = @_;
    my @command = ('curl', '-s', '--http2-prior-knowledge', '-m', 10, '-w', ' %{http_code}', @options,
        'http://127.0.0.1:' . $s->port . $path);
    open my $out, '-|', @command or die "curl: $!\n";
    local $/;
    return scalar <$out>;
}

subtest 'over HTTP/2' => sub {
    is curl('/call/up/hello'), 'hello 200', 'resumed';
    is curl('/tick/up/large'), '0' x 3_072_000 . ' 200', 'large';
    is curl('/changes/up/pieces') =~ tr/<//dr, 'one two three 200', 'changed';
    like curl('/tick/t.txt', '-I'), qr/ 200$/, 'HEAD';
    is curl('/denies/up/hello'), 'denied 403', 'answered';
    like curl('/never/up/hello'), qr/ 504$/, 'timed out';
    is curl('/closes/up/hello'), ' 000', 'closed';
};

$s->stop(allow => [qr/\[error\]/]);
done_testing;
