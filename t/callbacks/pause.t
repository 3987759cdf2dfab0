# Action Pause from each callback: what waits, and what ends the wait. The plugin
# resumes, answers or closes from its tick, through the effective context.

use lib '.';
use t::ProxyWasm;
use Time::HiRes qw(time);
use ProxyWasm::Upstream qw(upstream);

# A plugin that pauses in a callback, once, and does something in a tick after that.
sub held {
    my ($callback, @then) = @_;
    my $steps = join ', ', @then;
    return <<"E";
        proxy_wasm hostcalls '{
            "trace": true,
            "on_configure": [["set", "held", ""], ["set_tick_period_milliseconds", 20]],
            "$callback": [["set", "held", "\${context_id}"], ["return", "pause"]],
            "on_tick": [{"if": ["not", ["eq", "\${held}", ""]], "then": [
                ["set_effective_context", "\${held}"],
                ["set", "held", ""],
                $steps
            ]}]
        }';
E
}

my %continue = map { ($_ => qq{["continue_stream", "$_"]}) } qw(request response);
my $proxied  = 'proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT';
my $answer   = '["send_local_response", 403, "no", [["x-a", "1"]]]';

my %conf = (
    user_files  => [['t.txt', "hello\n"], ['large.txt', '0123456789' x 1_600_000]],
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;' . upstream(),
    config      => join '', map { my ($where, $config) = @$_; "location $where { $config }\n" }
        ['/request-headers', held(on_request_headers => $continue{request}) . "$proxied/echo;"],
        ['/request-body',    held(on_request_body => $continue{request}) . "$proxied/echo;"],
        ['/changed-late',    held(on_request_body =>
            '["set_buffer_bytes", "request_body", "> ", 0, 0]', $continue{request}) . "$proxied/echo;"],
        ['/response-headers/t.txt', held(on_response_headers => $continue{response}) . 'alias html/t.txt;'],
        ['/response-headers/large.txt', 'sendfile on; wasm_response_body never;'
            . held(on_response_headers => $continue{response}) . 'alias html/large.txt;'],
        ['/response-headers/proxied', held(on_response_headers => $continue{response}) . "$proxied/headers;"],
        ['/response-headers/large', held(on_response_headers => $continue{response}) . "$proxied/zeros?3000;"],
        ['/response-headers/unbuffered',
            held(on_response_headers => $continue{response}) . "proxy_buffering off; $proxied/zeros?3000;"],
        ['/response-body/t.txt', held(on_response_body => $continue{response}) . 'alias html/t.txt;'],
        ['/response-body/proxied', held(on_response_body => $continue{response}) . "$proxied/headers;"],
        ['/response-body/pieces',
            held(on_response_body => $continue{response}) . "proxy_buffering off; $proxied/pieces;"],
        ['/patient', 'send_timeout 60ms;' . <<'E' . 'alias html/t.txt;'],
            proxy_wasm hostcalls '{
                "trace": true,
                "on_configure": [["set", "held", ""], ["set", "ticks", ""], ["set_tick_period_milliseconds", 20]],
                "on_response_headers": [["set", "held", "${context_id}"], ["return", "pause"]],
                "on_tick": [{"if": ["not", ["eq", "${held}", ""]], "then": [
                    ["set", "ticks", "${ticks}x"],
                    {"if": ["eq", "${ticks}", "xxxxxxxxxx"], "then": [
                        ["set_effective_context", "${held}"], ["continue_stream", "response"]
                    ]}
                ]}]
            }';
E
        map({ my ($at) = @$_; (
            ["/answer/$at->[0]", held("on_$at->[1]" => $answer) . $at->[2]],
            ["/close/$at->[0]", held("on_$at->[1]" => '["close_stream", "' . ($at->[1] =~ /(req\w+?|res\w+?)_/)[0] . '"]') . $at->[2]],
            ["/timeout/$at->[0]", 'wasm_pause_timeout 50ms;' . held("on_$at->[1]" => '["echo", "waiting"]') . $at->[2]],
        ) }
            [[request_headers => 'request_headers', "$proxied/echo;"]],
            [[request_body => 'request_body', "$proxied/echo;"]],
            [[response_headers => 'response_headers', "$proxied/headers;"]],
            [[response_body => 'response_body', "$proxied/headers;"]],
        ),
        ['/timeout/late', 'wasm_pause_timeout 50ms; proxy_buffering off;' . <<'E' . "$proxied/pieces;"],
            proxy_wasm hostcalls '{"on_response_body": [{"if": ["eq", "${end_of_stream}", "true"], "then": [["return", "pause"]]}]}';
E
        ['/nothing-held', <<'E' . "$proxied/echo;"],
            proxy_wasm hostcalls '{
                "on_request_headers": [["continue_stream", "request"], ["continue_stream", "response"]],
                "on_response_headers": [["continue_stream", "request"], ["continue_stream", "response"]],
                "on_response_body": [["continue_stream", "response"], ["continue_stream", 2], ["continue_stream", 99]]
            }';
E
        ['/order', <<'E' . held(on_request_headers => $continue{request}) . <<'E' . "$proxied/echo;"],
            proxy_wasm hostcalls '{"on_request_headers": [["add_header_map_value", "request", "x-order", "first"]]}';
E
            proxy_wasm hostcalls '{"on_request_headers": [["get_header_map_value", "request", "x-order"], ["log", "info", "third"]]}';
E
);

my $s = start_nginx(%conf);

sub is_served {
    my ($name, $request, %want) = @_;
    $s->mark_log;
    my $r = $s->request(@$request, timeout => 5);
    is $r->{status}, $want{status} // 200, "$name: status";
    is $r->{body}, $want{body}, "$name: body" if defined $want{body};
    ok $s->wait_for_log($want{log}), "$name: log" if $want{log};
    ok $s->wait_for_log(qr/on_delete/), "$name: over" if !$want{not_traced};
    my @deletes = $s->error_log =~ /on_delete \d+/g;
    is scalar @deletes, 1, "$name: and once" if !$want{not_traced};
    return $r;
}

my $resumed = qr/continue_stream \w+ -> OK/;

subtest 'resumed' => sub {
    is_served 'request headers', [GET => '/request-headers'], body => '', log => $resumed;
    is_served 'request headers, with a body behind', [POST => '/request-headers', body => 'x' x 50_000],
        body => 'x' x 50_000, log => $resumed;
    is_served 'request body', [POST => '/request-body', body => 'hello'], body => 'hello', log => $resumed;
    is_served 'request body, changed while it waits', [POST => '/changed-late', body => 'hello'], body => '> hello';
    is_served 'response headers of a file', [GET => '/response-headers/t.txt'], body => "hello\n", log => $resumed;
    my $r = is_served 'response headers of HEAD', [HEAD => '/response-headers/t.txt'], body => '', log => $resumed;
    is $r->{headers}{'content-length'}, 6, 'whose length is that of GET';
    is_served 'response headers, proxied', [GET => '/response-headers/proxied'], body => 'hello', log => $resumed;
    is_served 'response headers of HEAD, proxied', [HEAD => '/response-headers/proxied'], body => '', log => $resumed;
    is_served 'response headers, large', [GET => '/response-headers/large'], body => '0' x 3_072_000, log => $resumed;
    is_served 'response headers, large, unbuffered', [GET => '/response-headers/unbuffered'],
        body => '0' x 3_072_000, log => $resumed;
    is_served 'response body of a file', [GET => '/response-body/t.txt'], body => "hello\n", log => $resumed;
    is_served 'response body, proxied', [GET => '/response-body/proxied'], body => 'hello', log => $resumed;
    is_served 'response body, in pieces', [GET => '/response-body/pieces'], body => 'one two three', log => $resumed;
};

subtest 'a kept connection goes on after a wait' => sub {
    $s->mark_log;
    my $c = $s->connect;
    for my $path (qw(/request-headers /response-headers/t.txt /response-headers/proxied /response-body/proxied)) {
        is $c->request('GET', $path)->{status}, 200, $path;
    }
    is $c->request('HEAD', '/response-headers/t.txt')->{body}, '', 'HEAD';
    is $c->request('GET', '/response-body/t.txt')->{body}, "hello\n", 'the last';
    ok $s->wait_for_log(qr/on_delete/, count => 6), 'all are over';
};

subtest 'answered while it waits' => sub {
    for my $where (qw(request_headers request_body response_headers response_body)) {
        my $r = is_served $where, [POST => "/answer/$where", body => 'hello'], status => 403, body => 'no';
        is $r->{headers}{'x-a'}, 1, "$where: header";
        is $r->{headers}{'content-length'}, 2, "$where: length";
        is $r->{headers}{etag}, undef, "$where: nothing of the upstream's";
    }
};

subtest 'closed while it waits' => sub {
    for my $where (qw(request_headers request_body response_headers response_body)) {
        $s->mark_log;
        is $s->post("/close/$where", 'hello'), undef, "$where: no answer";
        ok $s->wait_for_log(qr/on_delete/), "$where: over";
    }
};

subtest 'what came while the header was held goes on as the client takes it' => sub {
    $s->mark_log;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $s->port) or die $!;
    print $socket "GET /response-headers/large.txt HTTP/1.0\r\n\r\n";
    ok $s->wait_for_log($resumed), 'the plugin resumes, and the client takes nothing yet';
    my ($response, $read) = ('', 0);
    $response .= $read while sysread $socket, $read, 1 << 20;
    is length $response =~ s/.*?\r\n\r\n//sr, 16_000_000, 'the client gets all of it';
};

subtest 'held past wasm_pause_timeout' => sub {
    for my $where (qw(request_headers request_body response_headers response_body)) {
        my $half = $where =~ /^(req\w+?|res\w+?)_/ ? $1 : '';
        is_served $where, [POST => "/timeout/$where", body => 'hello'], status => 504,
            log => qr/\[error\] .*plugin "hostcalls" held the $half past wasm_pause_timeout/;
    }
    $s->mark_log;
    my $r = eval { $s->get('/timeout/late') };
    ok !$r, 'where the header is gone the connection closes in the midst of the body' or diag explain $r;
    like $@, qr/closed within/, 'as the client sees';
};

subtest 'the time of the client does not run while a plugin waits' => sub {
    my $begin = time;
    is_served 'longer than send_timeout', [GET => '/patient'], body => "hello\n";
    cmp_ok time - $begin, '>', 0.1, 'it took long';
};

subtest 'with nothing held, continue_stream does nothing' => sub {
    is_served 'request', [POST => '/nothing-held', body => 'hello'], body => 'hello', not_traced => 1;
    like $s->error_log, qr/continue_stream 2 -> NOT_FOUND/, 'TCP streams there are none';
    like $s->error_log, qr/continue_stream 99 -> BAD_ARGUMENT/, 'nor others';
};

subtest 'a held request holds the plugins behind, in order' => sub {
    $s->mark_log;
    is $s->get('/order')->{status}, 200, 'served';
    like $s->error_log, qr/continue_stream request -> OK.*get_header_map_value request x-order -> OK first.*third/s, 'in order';
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

# A body where the answer waits for it: to an answer that comes before, nginx adds RST_STREAM, and curl then loses the answer.
sub body_for { $_[0] eq 'request_headers' ? () : (-d => 'hello') }

subtest 'the same over HTTP/2' => sub {
    is curl('/request-headers', -d => 'hello'), 'hello 200', 'resumed: request headers';
    is curl('/request-headers', -d => 'hello', -H => 'Content-Length:'), 'hello 200', 'with a body of no said length behind';
    is curl('/request-body', -d => 'hello'), 'hello 200', 'request body';
    is curl('/response-headers/t.txt'), "hello\n 200", 'response headers';
    is curl('/response-headers/large'), '0' x 3_072_000 . ' 200', 'large';
    is curl('/response-headers/t.txt', '-I') =~ /200$/, 1, 'HEAD';
    is curl('/response-body/pieces'), 'one two three 200', 'response body';
    is curl("/answer/$_", body_for($_)), 'no 403', "answered: $_"
        for qw(request_headers request_body response_headers response_body);
    like curl("/timeout/$_", body_for($_)), qr/ 504$/, "timed out: $_"
        for qw(request_headers request_body response_headers response_body);
    is curl("/close/$_", body_for($_)), ' 000', "closed: $_"
        for qw(request_headers request_body response_headers response_body);
};

$s->stop(allow => [qr/\[error\]/]);
done_testing;
