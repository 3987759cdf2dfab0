# isolation=request: each request has an instance of a plugin for itself, restored from an image or started when the request meets the
# plugin, and gone with it. The worker's instance has the ticks, the queues and what the configuration asked for. On both paths, with
# images and without.

use lib '.';
use t::ProxyWasm;
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use ProxyWasm::Redis qw(command);

my $plugins = $ENV{TEST_NGINX_PLUGINS};

# An nginx with one plugin, at /x on the native path or on that of Lua. {conf}, {file}, {options} of http, {location}, {server}.
sub serve {
    my ($path, %o) = @_;
    my $file = $o{file} // 'hostcalls';
    my ($http, $x);
    if ($path eq 'native') {
        $http = "wasm_plugin p $plugins/$file.wasm phase=rewrite;";
        $x    = 'proxy_wasm p conf_file=html/conf; ' . ($o{location} // 'return 200 ok;');
    }
    else {
        my $location = $o{location} // 'content_by_lua_block { ngx.print("ok") }';
        $http = 'wasm_vm wasmtime;';
        $x    = <<"E";
            access_by_lua_block {
                local wasm = require("resty.proxy-wasm")
                plugin = plugin or assert(wasm.load("p", "$plugins/$file.wasm"))
                local conf = io.open("\$TEST_NGINX_HTML_DIR/conf"):read("*a")
                context = context or assert(wasm.on_configure(plugin, conf))
                if not wasm.on_http_request_headers(context) then return ngx.exit(503) end
            }
            header_filter_by_lua_block { if context then require("resty.proxy-wasm").on_http_response_headers(context) end }
            body_filter_by_lua_block { if context then require("resty.proxy-wasm").on_http_response_body(context) end }
            $location
E
    }
    return start_nginx(
        lua         => $path eq 'lua',
        log_level   => $o{log_level},
        http_config => join("\n", $http, $o{options} // 'wasm_isolation request;', 'wasm_shared_data 1m;'),
        config      => "location = /x { $x } location = /status { wasm_status; } location = /metrics { wasm_metrics; }"
            . ' location = /plain { return 200 plain; } ' . ($o{server} // ''),
        user_files => [['conf', $o{conf}]],
    );
}

sub one_line { my ($text) = @_; $text =~ s/\s*\n\s*/ /g; return $text }

sub status {
    my ($s) = @_;
    my $status = decode_json($s->get('/status')->{body});
    my ($plugin) = grep { $_->{name} eq 'p' } @{ $status->{plugins} };
    return ($status, $plugin);
}

# A server for the plugin's calls, which answers when the test says so.
sub backend {
    my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', ReuseAddr => 1) or die "listen: $!";
    return $listener;
}

sub take_call {
    my ($listener) = @_;
    local $SIG{ALRM} = sub { die "no call came\n" };
    alarm 30 * $ProxyWasm::Settings::Patience;
    my $call = $listener->accept or die "accept: $!";
    my $head = '';
    while ($head !~ /\r\n\r\n/) { sysread $call, $head, 4096, length $head or last }
    alarm 0;
    return $call;
}

sub answer_call {
    my ($call, $body) = @_;
    syswrite $call, "HTTP/1.1 200 OK\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body";
    close $call;
}

# Calls 127.0.0.1:PORT if a request has X-Wait, and answers with what comes.
sub waiting {
    my ($port) = @_;
    return qq([["http_call", "127.0.0.1:$port", [[":method", "GET"], [":path", "/"], [":authority", "a"]], "", [], 60000],
        ["return", "pause"]]);
}

my $remembers = one_line(<<'E');
{
    "on_configure": [["set", "name", "nobody"]],
    "on_request_headers": [
        ["set", "before", "${name}"],
        {"op": "get_header_map_value", "args": ["request", "x-name"], "as": "name"},
        ["alloc", 300000],
        {"op": "memory_size", "as": "size"},
        ["send_local_response", 200, "${before} ${size}"],
        ["return", "pause"]
    ]
}
E

for my $path (qw(native lua)) {
    for my $image (qw(on off)) {
        my $options = "wasm_isolation request; wasm_image $image;";

        subtest "$path, image $image: a request finds nothing of another one" => sub {
            my $s   = serve($path, conf => $remembers, options => $options);
            my %got = ();
            $got{ $s->get('/x', 'X-Name' => "n$_")->{body} }++ for 1 .. 10;
            is scalar(keys %got), 1, 'each finds the same' or diag explain \%got;
            like((keys %got)[0], qr/^nobody \d+$/, 'nobody was there before');
            my ($status, $plugin) = status($s);
            is $status->{request_instances}, 0, 'no instance of a request is left';
            is $plugin->{instances}, 1, 'but that of the worker';
            my ($starts, $restores) = ($plugin->{starts}, $plugin->{image}{restores});
            is $starts + $restores, 11, "$starts started, $restores restored";
            # On the path of Lua the first request makes the image.
            is $starts, 1, 'the worker starts one' if $image eq 'on';
            is $restores, 0, 'all are started' if $image eq 'off';
            $s->stop;
        };

        subtest "$path, image $image: what fails costs its own request" => sub {
            my $listener = backend();
            my $port     = $listener->sockport;
            my $conf     = one_line(<<"E");
{
    "on_request_headers": [
        {"if": ["request_header", "x-bad", "trap"], "then": [["trap"]]},
        {"if": ["request_header", "x-bad", "panic"], "then": [["panic", "a panic"]]},
        {"if": ["request_header", "x-bad", "exit"], "then": [["exit", 3]]},
        {"if": ["request_header", "x-bad", "loop"], "then": [["loop"]]},
        {"if": ["request_header", "x-bad", "eat"], "then": [["alloc", 20000000], ["memory_size"], ["send_local_response", 200, "\${last}"], ["return", "pause"]]},
        {"if": ["request_header", "x-bad", "stack"], "then": [["trap", "stack"]]},
        {"if": ["request_header", "x-wait"], "then": @{[waiting($port)]}}
    ],
    "on_http_call_response": [
        ["get_buffer_bytes", "call_response_body"], ["send_local_response", 200, "\${last}"]
    ]
}
E
            my $s = serve($path, conf => $conf, options => "$options wasm_callback_timeout 200ms; wasm_memory_limit 32m;");
            is $s->get('/x')->{status}, 200, 'a good one';
            my @waiting = map { $s->connect } 1 .. 4;
            $_->send_request('GET', '/x', headers => ['X-Wait' => 1], close => 1) for @waiting;
            my @calls = map { take_call($listener) } @waiting;
            my ($status) = status($s);
            is $status->{request_instances}, 4, 'four wait for calls, each in its instance';

            my %got;
            for my $bad (qw(trap panic exit loop stack)) {
                for (1 .. 3) {
                    $got{$bad}{ $s->get('/x', 'X-Bad' => $bad)->{status} }++;
                    $got{good}{ $s->get('/x')->{status} }++;
                }
            }
            is_deeply \%got, { good => { 200 => 15 }, map { $_ => { 503 => 3 } } qw(trap panic exit loop stack) },
                'only the bad requests fail' or diag explain \%got;
            my %sizes = map { $s->get('/x', 'X-Bad' => 'eat')->{body} => 1 } 1 .. 3;
            is scalar(keys %sizes), 1, 'what is never freed goes with its request';
            answer_call($calls[$_], "call $_") for reverse 0 .. 3;
            my @answers = map { my $r = $_->read_response; "$r->{status} $r->{body}" } @waiting;
            is_deeply [sort @answers], [map { "200 call $_" } 0 .. 3], 'those that waited get their answers';

            my $metrics = $s->get('/metrics')->{body};
            like $metrics, qr/^proxy_wasm_failed_requests_total\{plugin="p",role="caused"\} 15$/m, 'a metric counts who caused it';
            like $metrics, qr/^proxy_wasm_failed_requests_total\{plugin="p",role="collateral"\} 0$/m, 'and nobody else';
            like $metrics, qr/^proxy_wasm_restarts_total\{plugin="p"\} 0$/m, 'the worker\'s instance was not restarted';
            ($status) = status($s);
            is $status->{request_instances}, 0, 'no instance is left';
            $s->stop(allow => [qr/./]);
        };

        subtest "$path, image $image: the worker's instance ticks and takes from queues" => sub {
            my $conf = one_line(<<'E');
{
    "on_vm_start": [{"op": "define_metric", "args": ["counter", "vm_starts"], "as": "id"}, ["increment_metric", "${id}", 1]],
    "on_configure": [
        ["set", "ticks", ""],
        ["set_tick_period_milliseconds", 20],
        {"op": "register_shared_queue", "args": ["q"], "as": "queue"},
        {"op": "define_metric", "args": ["counter", "configured"], "as": "id"}, ["increment_metric", "${id}", 1],
        {"op": "define_metric", "args": ["counter", "requests"], "as": "requests"},
        ["set_shared_data", "configured", "yes"]
    ],
    "on_tick": [["set", "ticks", "${ticks}x"], ["echo", "tick ${ticks}"]],
    "on_queue_ready": [["dequeue_shared_queue", "${queue_id}"], ["echo", "takes ${last}"]],
    "on_request_headers": [
        ["enqueue_shared_queue", "${queue}", "item"],
        ["increment_metric", "${requests}", 1],
        ["get_shared_data", "configured"],
        ["set_shared_data", "configured", "${last} again"]
    ]
}
E
            my $s = serve($path, conf => $conf, options => $options);
            $s->get('/x') for 1 .. 12;
            ok $s->wait_for_log(qr/takes item/, count => 12), 'every item is taken';
            ok $s->wait_for_log(qr/tick xxxxxxxx\b/), 'it ticks';
            my @ticks = $s->error_log =~ /echo "?tick (x+)/g;
            my %seen;
            $seen{ length $_ }++ for @ticks;
            is_deeply [grep { $seen{$_} != $seen{1} } keys %seen], [], 'in one instance, one after the other' or diag explain \%seen;
            my $metrics = $s->get('/metrics')->{body};
            like $metrics, qr/^requests\{plugin="p"\} 12$/m, 'requests count into the metrics of the configuration';
            like $metrics, qr/^configured\{plugin="p"\} 1$/m, 'the configuration counts once';
            like $metrics, qr/^vm_starts\{plugin="p"\} 1$/m, 'as the start does';
            my ($data) = ($s->error_log =~ /get_shared_data configured -> OK (yes(?: again)*)\b/g)[-1];
            is $data, 'yes' . ' again' x 11, 'shared data is shared by requests, and written by the start once';
            $s->stop(allow => [qr/./]);
        };

        subtest "$path, image $image: calls of the start, and ids" => sub {
            my $listener = backend();
            my $port     = $listener->sockport;
            my $call     = qq(["http_call", "127.0.0.1:$port", [[":method", "GET"], [":path", "/"], [":authority", "a"]], "", [], 60000]);
            my $conf     = one_line(<<"E");
{
    "on_configure": [$call, $call, ["call_foreign_function", "log_level"]],
    "on_request_headers": [{"if": ["request_header", "x-wait"], "then": @{[waiting($port)]}}],
    "on_http_call_response": [
        ["get_buffer_bytes", "call_response_body"],
        {"if": ["eq", "\${caller}", "1"], "then": [["echo", "got \${last}"]],
            "else": [["send_local_response", 200, "\${caller} \${last}"]]}
    ]
}
E
            my $s = serve($path, conf => $conf, options => $options);
            my $first;
            if ($path eq 'lua') {
                $first = $s->connect;
                $first->send_request('GET', '/x', close => 1);
            }
            my @start = map { take_call($listener) } 1 .. 2;
            is $first->read_response->{status}, 200, 'the first request' if $first;
            my @waiting = map { $s->connect } 1 .. 3;
            my @calls;
            for (@waiting) {
                $_->send_request('GET', '/x', headers => ['X-Wait' => 1], close => 1);
                push @calls, take_call($listener);
            }
            answer_call($calls[$_], "call $_") for 0 .. 2;
            my @answers = map { $_->read_response->{body} } @waiting;
            my @ids     = map { /^(\d+) / } @answers;
            my %ids     = map { $_ => 1 } @ids;
            is_deeply [map { /(call \d)/ } @answers], ['call 0', 'call 1', 'call 2'], 'each request gets its own answer' or diag @answers;
            is scalar(keys %ids), 3, 'contexts that live at once have different ids' or diag @answers;
            answer_call($_, 'start') for @start;
            ok $s->wait_for_log(qr/got start/, count => 2), 'the calls of the start are answered to the worker\'s instance';
            $listener->blocking(0);
            is $listener->accept, undef, 'and no request made them again';
            $s->stop;
        };
    }

    subtest "$path: what a start sets and deletes of shared data, and asks of Redis" => sub {
        my $listener = backend();
        my $redis    = '127.0.0.1:' . $listener->sockport;
        my $hex      = sub { '{"hex": "' . unpack('H*', $_[0]) . '"}' };
        my ($set, $ping) = map { $hex->($_) } pack('Q<L<L<', 60_000, 0, 3) . 'setstart', command('PING');
        my $conf = one_line(<<"E");
{
    "on_configure": [
        ["call_foreign_function", "shared_data_set_with_ttl", $set],
        ["call_foreign_function", "shared_data_delete", "deleted"],
        ["redis_init", "$redis", "", "", 60000],
        ["redis_call", "$redis", $ping],
        ["echo", "configured: \${status}"]
    ],
    "on_request_headers": [
        {"op": "get_shared_data", "args": ["set"], "as": "set"},
        {"op": "get_shared_data", "args": ["deleted"], "as": "deleted"},
        ["set_shared_data", "set", "\${set} again"],
        ["set_shared_data", "deleted", "there"],
        ["send_local_response", 200, "\${set}, \${deleted}"], ["return", "pause"]
    ]
}
E
        my $s   = serve($path, conf => $conf, file => 'hostcalls-0-2-100');
        my @got = map { $s->get('/x')->{body} } 1 .. 3;
        is_deeply \@got, ['start, NOT_FOUND', 'start again, there', 'start again again, there'], 'each is done once' or diag explain \@got;
        is scalar(() = $s->error_log =~ /echo configured: OK -> OK/g), 4, 'every start is told that it went well';
        sysread $listener->accept, my $asked, 4096;
        is $asked, command('PING'), 'the worker asks Redis';
        $listener->blocking(0);
        is $listener->accept, undef, 'and no request does so again';
        $s->stop(allow => [qr/redis call failed/]);
    };

    # A request leaves a call, and the next one gets its instance. Its own call is another one. On the path of Lua, calls of a request
    # are not left.
    subtest "$path: the answer to a request that is over" => sub {
        my $listener = backend();
        my $port     = $listener->sockport;
        my $conf     = one_line(<<"E");
{
    "on_request_headers": [
        {"if": ["request_header", "x-wait"], "then": @{[waiting($port)]}},
        {"if": ["request_header", "x-leave"], "then": [
            ["http_call", "127.0.0.1:$port", [[":method", "GET"], [":path", "/"], [":authority", "a"]], "", [], 60000],
            ["send_local_response", 200, "left"], ["return", "pause"]]}
    ],
    "on_http_call_response": [
        {"op": "get_buffer_bytes", "args": ["call_response_body"], "as": "body"},
        ["echo", "got \${body}"], ["send_local_response", 200, "\${body}"]
    ]
}
E
        my $s = serve($path, conf => $conf, options => 'wasm_isolation request; wasm_image on;');
        is $s->get('/x')->{status}, 200, 'a request' for 1 .. 2;
        for my $round (1 .. 3) {
            is $s->get('/x', 'X-Leave' => 1)->{body}, 'left', 'a request leaves a call';
            my $left = take_call($listener);
            my (undef, $before) = status($s);
            is $before->{spare_instances}, 1, 'its instance waits for another request';
            my $waiting = $s->connect;
            $waiting->send_request('GET', '/x', headers => ['X-Wait' => 1], close => 1);
            my $call = take_call($listener);
            my (undef, $now) = status($s);
            is $now->{spare_instances}, 0, 'which comes';
            answer_call($left, "of $round, late");
            ok $s->wait_until_asleep(($s->worker_pids)[0]), 'the call is answered';
            answer_call($call, "of $round");
            is $waiting->read_response->{body}, "of $round", 'each gets its own answer';
        }
        unlike $s->error_log, qr/got of \d, late/, 'and nobody gets that of a request that is over';
        $s->stop;
    } if $path eq 'native';

    subtest "$path: with isolation=worker requests find what others left" => sub {
        my $s   = serve($path, conf => $remembers, options => 'wasm_isolation worker;');
        my @got = map { $s->get('/x', 'X-Name' => "n$_")->{body} } 1 .. 3;
        like "@got", qr/^nobody \d+ n1 \d+ n2 \d+$/, 'they do';
        $s->stop;
    };

    subtest "$path: all callbacks, in one instance" => sub {
        my $conf = one_line(<<'E');
{
    "trace": true,
    "on_configure": [["set", "seen", ""]],
    "on_request_headers": [["set", "seen", "request"]],
    "on_response_headers": [["replace_header_map_value", "response", "x-seen", "${seen}"], ["set", "seen", "${seen} response"]],
    "on_response_body": [["set", "seen", "${seen} body"]],
    "on_done": [["set", "seen", "${seen} done"], ["set_tick_period_milliseconds", 10], ["return", false]],
    "on_log": [["set", "seen", "${seen} log"]],
    "on_delete": [["echo", "saw ${seen} delete"]]
}
E
        my $s = serve($path, conf => $conf, options => 'wasm_isolation request; wasm_image on;');
        for (1 .. 2) {
            is $s->get('/x')->{headers}{'x-seen'}, 'request', 'the response is seen by who saw the request';
        }
        ok $s->wait_for_log(qr/saw request response body (?:body )?done log delete/, count => 2), 'and so is the end, which does not wait';
        like $s->error_log, qr/set_tick_period_milliseconds 10 -> INTERNAL_FAILURE/i, 'there are no ticks in it';
        my ($status, $plugin) = status($s);
        is_deeply [$status->{request_instances}, $plugin->{http_contexts}], [0, 0], 'nothing is left';
        $s->stop;
    };

    for my $signal (qw(HUP QUIT TERM)) {
        subtest "$path: $signal while requests have instances" => sub {
            my $listener = backend();
            my $conf     = one_line('{"on_request_headers": ' . waiting($listener->sockport) . <<'E');
, "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["send_local_response", 200, "${last}"]]}
E
            my $s = serve($path, conf => $conf, options => 'wasm_isolation request; wasm_image on;');
            my @waiting = map { $s->connect } 1 .. 2;
            $_->send_request('GET', '/x', close => 1) for @waiting;
            my @calls = map { take_call($listener) } @waiting;
            my ($worker) = $s->worker_pids;
            $s->signal($signal);
            if ($signal eq 'HUP') {
                $s->wait_for_workers(1, [$worker]);
                answer_call($_, 'late') for @calls;
                is_deeply [map { $_->read_response->{body} } @waiting], [qw(late late)], 'they are answered by the old worker';
                ok $s->wait_for_exit($worker), 'which goes then';
            }
            elsif ($signal eq 'QUIT') {
                answer_call($_, 'late') for @calls;
                is_deeply [map { $_->read_response->{body} } @waiting], [qw(late late)], 'they are answered before it quits';
            }
            $s->stop(allow => [qr/client prematurely|http call failed/]);
            is scalar(() = $s->error_log =~ /free http context/g), 2, 'their contexts end';
        };
    }
}

for my $case ([rust => 'rust-headers', 'x-rust', 'auto'], [go => 'go-headers', 'x-go', 'on'], [go => 'go-headers', 'x-go', 'off']) {
    my ($language, $file, $mark, $image) = @$case;
    for my $path (qw(native lua)) {
        subtest "$path: a plugin in $language, image $image" => sub {
            my $s = serve($path, conf => 'conf', file => $file, options => "wasm_isolation request; wasm_image $image;",
                location => 'proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/plain;');
            my %got;
            for (1 .. 5) {
                $got{ $s->get('/x', 'X-Panic' => 1)->{status} }++;
                my $good = $s->get('/x');
                $got{"$good->{status} $good->{headers}{$mark}"}++;
                my $denied = $s->get('/x', "$mark-deny" => 1);
                $got{"$denied->{status} $denied->{body}"}++;
            }
            is_deeply \%got, { 503 => 5, '200 conf' => 5, "403 denied\n" => 5 }, 'it serves, and only panics fail' or diag explain \%got;
            my (undef, $plugin) = status($s);
            is $plugin->{image}{restores}, $image eq 'off' ? 0 : 15, 'each request had an instance' or diag explain $plugin;
            $s->stop(allow => [qr/./]);
        };
    }
}

subtest 'many configurations of one plugin' => sub {
    my $s = start_nginx(
        http_config => "wasm_plugin p $plugins/rust-headers.wasm isolation=request; wasm_image auto;",
        config => join('', map { "location /$_ { proxy_wasm p conf$_; proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/plain; }\n" } 1 .. 5)
            . 'location = /plain { return 200 plain; } location = /status { wasm_status; }',
    );
    for my $round (1 .. 3) {
        is $s->get("/$_")->{headers}{'x-rust'}, "conf$_", "configuration $_" for 1 .. 5;
    }
    my (undef, $plugin) = status($s);
    is_deeply [@$plugin{qw(starts instances)}, $plugin->{image}{restores}], [6, 1, 10], 'each has an image of its own';
    $s->stop;
};

done_testing;
