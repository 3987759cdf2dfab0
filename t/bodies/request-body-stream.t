# A request's body that passes the plugins piece by piece, where the location does not buffer requests.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Origin;

$ENV{MALLOC_PERTURB_} = 165;

my $origin = ProxyWasm::Origin->new;
my $port   = $origin->port;
my $pass   = "proxy_http_version 1.1; proxy_buffering off; proxy_pass http://127.0.0.1:$port;";

my $read   = '["get_buffer_bytes", "request_body"]';
my $call   = '["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/answer"], [":authority", "a"]]]';
my $caller = '["set_effective_context", "${caller}"]';
my $resume = qq("on_http_call_response": [$caller, ["continue_stream", "request"]]);
my $until_end = '{"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "pause"]]}';
sub second { return qq({"if": ["eq", "\${count}", "2"], "then": [$_[0]]}) }
my %scripts = (
    see     => qq({"trace": true, "on_request_body": [$read]}),
    upper   => '{"on_request_body": [{"op": "get_buffer_bytes", "args": ["request_body"], "as": "text", "quiet": true},
        ["set_buffer_bytes", "request_body", "<${text}>"]]}',
    hold    => qq({"trace": true, "on_request_body": [$until_end, $read, ["set_buffer_bytes", "request_body", "all"]]}),
    hold_on => qq({"trace": true, "on_request_body": [$until_end, ["return", "pause"]]}),
    call    => qq({"on_request_body": [{"if": ["eq", "\${count}", "1"], "then": [$call, ["return", "pause"]]}, $read], $resume}),
    answer  => '{"trace": true, "on_request_body": [["send_local_response", 403, "no such upload", [["x-why", "words"]]], ["return", "pause"]]}',
    answer_later => '{"on_request_body": [' . second('["send_local_response", 403, "not that"]') . ']}',
    answer_call => qq({"on_request_body": [$call, ["return", "pause"]],
        "on_http_call_response": [$caller, ["send_local_response", 402, "pay"]]}),
    trap    => '{"on_request_body": [' . second('["trap"]') . ']}',
    close   => '{"on_request_body": [' . second('["close_stream", "request"]') . ']}',
);
my %more = (
    hold_on => 'wasm_pause_timeout 50ms;',
    upper   => 'proxy_wasm scripted conf_file=html/see;',
);
my $locations = join '', map {
    my $plugin = $_ eq 'trap' ? 'falling' : 'scripted';
    "location = /$_ { proxy_request_buffering off; proxy_wasm $plugin conf_file=html/$_; " . ($more{$_} // '') . " $pass }\n"
} sort keys %scripts;

my $s = start_nginx(
    http_config => 'wasm_plugin scripted $TEST_NGINX_PLUGINS/hostcalls.wasm; wasm_plugin falling $TEST_NGINX_PLUGINS/hostcalls.wasm;
        wasm_plugin tolerant $TEST_NGINX_PLUGINS/hostcalls.wasm failure=open;
        wasm_plugin small $TEST_NGINX_PLUGINS/hostcalls.wasm body_buffer_size=16;',
    config => $locations . <<"E",
        location = /answer_of_call { return 200; }
        location = /next { return 200 next; }
        location = /tolerant { proxy_request_buffering off; proxy_wasm tolerant conf_file=html/trap; $pass }
        location = /small { proxy_request_buffering off; proxy_wasm small conf_file=html/hold; $pass }
        location = /old { proxy_request_buffering off; proxy_wasm scripted conf_file=html/upper; proxy_http_version 1.0; proxy_pass http://127.0.0.1:$port; }
        location = /buffered { wasm_request_body stream; client_body_buffer_size 1k; proxy_wasm scripted conf_file=html/upper; proxy_wasm scripted conf_file=html/see; $pass }
        location = /whole { wasm_request_body whole; proxy_request_buffering off; proxy_wasm scripted conf_file=html/see; $pass }
        location = /never { wasm_request_body never; proxy_request_buffering off; proxy_wasm scripted conf_file=html/see; $pass }
        location = /held { proxy_wasm scripted conf_file=html/see; $pass }
        location = /status { wasm_status; }
E
    user_files => [map { [$_, $scripts{$_} =~ s{:path", "/answer"}{:path", "/answer_of_call"}r] } sort keys %scripts],
);

# A client that has sent the head of a request, and the first part of its body.
sub begin {
    my ($path, $length, $first, @headers) = @_;
    my $c = $s->connect;
    my $framing = defined $length ? "Content-Length: $length" : 'Transfer-Encoding: chunked';
    push @{ $c->{methods} }, 'POST';
    $c->send_bytes("POST $path HTTP/1.1\r\nHost: x\r\n$framing\r\n@{[join '', map { qq($_\r\n) } @headers]}\r\n$first");
    return $c;
}

sub chunk { return sprintf "%x\r\n%s\r\n", length $_[0], $_[0] }

sub next_is_right {
    my ($c, $name) = @_;
    is $c->request(GET => '/next')->{body}, 'next', "$name: and the next request on the connection";
}

sub pieces { return [$s->error_log =~ /on_request_body \d+ (\d+ \w+)/g] }

subtest 'each piece goes on as it comes' => sub {
    $s->mark_log;
    my $c = begin('/see', 10, 'hello');
    my $u = $origin->accept;
    like $u->read_head, qr/Transfer-Encoding: chunked/, 'without the length, which a plugin may change';
    is $u->read_chunk, 'hello', 'the first piece, while the second has not been sent';
    $c->send_bytes('world');
    is $u->read_chunks, 'world', 'then the second';
    $u->respond('done');
    is $c->read_response->{body}, 'done', 'the response';
    is_deeply pieces(), ['5 false', '5 true'], 'the plugin saw each, with its size';
    next_is_right($c, 'a body with a length');
};

subtest 'a body in chunks' => sub {
    $s->mark_log;
    my $c = begin('/see', undef, chunk('hello'));
    my $u = $origin->accept;
    $u->read_head;
    is $u->read_chunk, 'hello', 'the first piece';
    $c->send_bytes(chunk('you'));
    is $u->read_chunk, 'you', 'the second';
    $c->send_bytes("0\r\n\r\n");
    is $u->read_chunk, '', 'the end';
    $u->respond('done');
    is $c->read_response->{body}, 'done', 'the response';
    is_deeply pieces(), ['5 false', '3 false', '0 true'], 'the plugin saw each, and the end';
    next_is_right($c, 'a body in chunks');
};

subtest 'changes go on piece by piece, through all plugins' => sub {
    $s->mark_log;
    my $c = begin('/upper', 10, 'hello');
    my $u = $origin->accept;
    $u->read_head;
    is $u->read_chunk, '<hello>', 'the first piece';
    $c->send_bytes('world');
    is $u->read_chunks, '<world>', 'the second';
    $u->respond('done');
    is $c->read_response->{status}, 200, 'the response';
    like $s->error_log, qr/get_buffer_bytes request_body -> OK <hello>.*get_buffer_bytes request_body -> OK <world>/s,
        'the plugin behind sees what the first has made';
    next_is_right($c, 'a changed body');
};

subtest 'a request behind the body on the same connection' => sub {
    my $c = begin('/upper', 10, 'hello');
    my $u = $origin->accept;
    is $u->read_head && $u->read_chunk, '<hello>', 'the first piece';
    push @{ $c->{methods} }, 'GET';
    $c->send_bytes("worldGET /next HTTP/1.1\r\nHost: x\r\n\r\n");
    is $u->read_chunks, '<world>', 'the body ends where the client said';
    $u->respond('done');
    is $c->read_response->{body}, 'done', 'its response';
    is $c->read_response->{body}, 'next', "the next request's response";
};

subtest 'a body that is there at once has its new length' => sub {
    my $c = begin('/upper', 5, 'hello');
    my $u = $origin->accept;
    like $u->read_head, qr/Content-Length: 7\r\n/, 'which is told';
    is $u->read_bytes(7), '<hello>', 'the body';
    $u->respond('done');
    is $c->read_response->{body}, 'done', 'the response';
    next_is_right($c, 'a small body');
};

subtest 'over HTTP/1.0 the body is buffered, and has its new length' => sub {
    my $c = begin('/old', 10, 'hello');
    $c->send_bytes('world');
    my $u = $origin->accept;
    my ($length) = $u->read_head =~ /Content-Length: (1[24])\r\n/;
    like $u->read_bytes($length // 1), qr/^<helloworld>$|^<hello><world>$/, 'which is told';
    $u->send("HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\ndone");
    is $c->read_response->{body}, 'done', 'the response';
};

subtest 'what a plugin holds goes on together' => sub {
    $s->mark_log;
    my $c = begin('/hold', 10, 'hello');
    my $u = $origin->accept;
    $u->read_head;
    ok $s->wait_for_log(qr/on_request_body \d+ 5 false/), 'it is called';
    $c->send_bytes('world');
    is $u->read_chunks, 'all', 'what it made of all';
    $u->respond('done');
    is $c->read_response->{body}, 'done', 'the response';
    is_deeply pieces(), ['5 false', '10 true'], 'the next call sees all that is held';
    like $s->error_log, qr/get_buffer_bytes request_body -> OK helloworld/, 'and can read it';
    next_is_right($c, 'a held body');
};

subtest 'a plugin that waits for a call' => sub {
    my $c = begin('/call', 10, 'hello');
    my $u = $origin->accept;
    $u->read_head;
    is $u->read_chunk, 'hello', 'what it held goes on when it resumes';
    $c->send_bytes('world');
    is $u->read_chunks, 'world', 'then the rest';
    $u->respond('done');
    is $c->read_response->{body}, 'done', 'the response';
    next_is_right($c, 'a call');
};

subtest 'a plugin that waits for a call at the end' => sub {
    my $c = begin('/call', 5, 'hello');
    my $u = $origin->accept;
    $u->read_head;
    is $u->read_chunks, 'hello', 'the body';
    $u->respond('done');
    is $c->read_response->{body}, 'done', 'the response';
    next_is_right($c, 'a call at the end');
};

subtest 'a plugin answers after the first bytes' => sub {
    my $c = begin('/answer', 1_000_000, 'x' x 100);
    my $r = $c->read_response;
    is_deeply [$r->{status}, $r->{body}, $r->{headers}{'x-why'}], [403, 'no such upload', 'words'], 'the answer';
    is $r->{headers}{connection}, 'close', 'behind which nothing more is taken for a request';
    $c->send_bytes("GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
    ok $c->closed, 'the connection closes';
    ok $origin->is_idle, 'no server has seen the request';
};

subtest 'a plugin answers in the midst of an upload' => sub {
    my $c = begin('/answer_later', 1_000_000, 'x' x 100);
    my $u = $origin->accept;
    $u->read_head;
    is $u->read_chunk, 'x' x 100, 'the first piece goes on';
    $c->send_bytes('y' x 100);
    my $r = $c->read_response;
    is_deeply [$r->{status}, $r->{body}], [403, 'not that'], 'the answer';
    ok $u->is_closed, 'the server is left';
    ok $c->closed, 'the connection closes';
};

subtest 'a plugin answers from a call' => sub {
    my $c = begin('/answer_call', 1_000_000, 'x' x 100);
    my $u = $origin->accept;
    $u->read_head;
    is $c->read_response->{status}, 402, 'the answer';
    ok $u->is_closed, 'the server is left';
};

subtest 'a plugin answers behind the response' => sub {
    my $c = begin('/answer_later', 1_000_000, 'x' x 100);
    my $u = $origin->accept;
    $u->read_head;
    is $u->read_chunk, 'x' x 100, 'the first piece';
    $u->send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
    is $c->_head->{status}, 200, 'the response begins';
    $c->send_bytes('y' x 100);
    1 while $c->_more;
    like $c->{in}, qr/^(?:4\r\npart\r\n)?$/, 'and is cut off';
};

subtest 'a plugin that traps' => sub {
    my $c = begin('/trap', 1000, 'x' x 100);
    my $u = $origin->accept;
    $u->read_head;
    is $u->read_chunk, 'x' x 100, 'after the first piece';
    $c->send_bytes('y');
    is $c->read_response->{status}, 503, 'closes the request';
    ok $u->is_closed, 'the server is left';
    ok $c->closed, 'the connection closes';
};

subtest 'a plugin that traps and may' => sub {
    my $c = begin('/tolerant', 200, 'x' x 100);
    my $u = $origin->accept;
    $u->read_head;
    is $u->read_chunk, 'x' x 100, 'the first piece';
    $c->send_bytes('y' x 50);
    is $u->read_chunk, 'y' x 50, 'goes on without it';
    $c->send_bytes('z' x 50);
    is $u->read_chunks, 'z' x 50, 'to the end';
    $u->respond('done');
    is $c->read_response->{body}, 'done', 'the response';
    next_is_right($c, 'a failure that is ignored');
};

subtest 'a plugin closes the stream' => sub {
    my $c = begin('/close', 1000, 'x' x 100);
    my $u = $origin->accept;
    $u->read_head;
    is $u->read_chunk, 'x' x 100, 'after the first piece';
    $c->send_bytes('y');
    ok !$c->read_response, 'without an answer';
    ok $u->is_closed, 'the server is left';
};

subtest 'a plugin that holds more than it may' => sub {
    my $c = begin('/small', 1000, 'x' x 10);
    my $u = $origin->accept;
    $u->read_head;
    $c->send_bytes('y' x 10);
    is $c->read_response->{status}, 413, 'the client learns it';
    ok $u->is_closed, 'the server is left';
    ok $s->wait_for_log(qr/plugin "small" holds 20 bytes of a request, more than wasm_body_buffer_size \(16\)/), 'with a line';
};

subtest 'a plugin that never resumes' => sub {
    my $c = begin('/hold_on', 5, 'hello');
    my $u = $origin->accept;
    is $c->read_response->{status}, 504, 'the pause timeout ends the request';
    ok $s->wait_for_log(qr/plugin "scripted" held the request past wasm_pause_timeout/), 'with a line';
};

subtest 'the client leaves' => sub {
    for my $path ('/see', '/hold', '/answer_later') {
        my $c = begin($path, 1000, 'x' x 100);
        my $u = $origin->accept;
        $u->read_head;
        $c->close;
        1 while defined $u->read_until(qr/./s);
        ok $u->is_closed, "$path: the server is left";
    }
};

subtest 'the server refuses the upload early' => sub {
    my $c = begin('/see', 1000, 'x' x 100);
    my $u = $origin->accept;
    $u->read_head;
    is $u->read_chunk, 'x' x 100, 'it has seen the beginning';
    $u->respond('too much', '413 Payload Too Large');
    $u->close;
    my $r = $c->read_response;
    is_deeply [$r->{status}, $r->{body}], [413, 'too much'], 'the client gets its answer';
};

subtest 'the server leaves' => sub {
    my $c = begin('/hold', 1000, 'x' x 100);
    my $u = $origin->accept;
    $u->read_head;
    $u->close;
    is $c->read_response->{status}, 502, 'while a plugin holds the body';
};

subtest 'a client that waits for 100-continue' => sub {
    my $c = begin('/upper', 5, '', 'Expect: 100-continue');
    like $c->_head->{status}, qr/^100$/, 'is told to go on';
    $c->send_bytes('hello');
    my $u = $origin->accept;
    $u->read_head;
    is $u->read_chunks, '<hello>', 'the body';
    $u->respond('done');
    is $c->read_response->{body}, 'done', 'the response';
    next_is_right($c, '100-continue');
};

subtest 'where requests are buffered, pieces are seen while nginx reads' => sub {
    $s->mark_log;
    my $c = begin('/buffered', 10_000, 'x' x 4000);
    ok $s->wait_for_log(qr/on_request_body \d+ \d+ false/), 'the first piece';
    ok $origin->is_idle, 'the server has not been asked';
    $c->send_bytes('y' x 6000);
    my $u = $origin->accept;
    my ($length) = $u->read_head =~ /Content-Length: (\d+)/;
    my $body = $u->read_bytes($length);
    (my $bare = $body) =~ tr/<>//d;
    ok $length > 10_000 && $bare eq 'x' x 4000 . 'y' x 6000, 'then it gets all, with its new length';
    $u->respond('done');
    is $c->read_response->{body}, 'done', 'the response';
    next_is_right($c, 'a body in a file');
};

subtest 'modes' => sub {
    for (['whole', '/whole', ['10 true']], ['never', '/never', []], ['a location that buffers', '/held', ['10 true']]) {
        my ($name, $path, $expected) = @$_;
        $s->mark_log;
        my $c = begin($path, 10, 'hello');
        $c->send_bytes('world');
        my $u = $origin->accept;
        like $u->read_head, qr/Content-Length: 10/, "$name: the length stays";
        is $u->read_bytes(10), 'helloworld', 'the body';
        $u->respond('done');
        is $c->read_response->{body}, 'done', 'the response';
        is_deeply pieces(), $expected, 'what the plugin sees';
    }
};

my ($contexts) = $s->get('/status')->{body} =~ /"http_contexts": ?(\d+)/;
is $contexts, 0, 'no context is left';
$s->stop(allow => [qr/\[error\]/]);
done_testing;
