# wasm_instances NUMBER; in http: how many instances the requests of a worker have for themselves. A request that gets none waits for
# one, in order, and meets wasm_failure when it has waited for wasm_pause_timeout.

use lib '.';
use t::ProxyWasm;
use IO::Socket::INET;
use JSON::PP qw(decode_json);

my $plugins  = $ENV{TEST_NGINX_PLUGINS};
my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', ReuseAddr => 1) or die "listen: $!";
my $port     = $listener->sockport;

# The request waits for a call, which the test answers, and shows what it was answered.
my $script = qq({"on_request_headers": [
    {"if": ["request_header", "x-at-once"], "then": [["return", "continue"]]},
    ["get_header_map_value", "request", "x-name"],
    ["http_call", "127.0.0.1:$port", [[":method", "GET"], [":path", "/\${last}"], [":authority", "a"]], "", [], 60000],
    ["return", "pause"]],
    "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["send_local_response", 200, "\${last}"]]});
$script =~ s/\s*\n\s*/ /g;

my %locations = (
    native => sub { "proxy_wasm $_[0] conf_file=html/conf; return 200 'without it';" },
    lua    => sub { <<"E" },
        lua_check_client_abort on;
        access_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            plugin = plugin or assert(wasm.load("p", "$plugins/hostcalls.wasm"))
            context = context or assert(wasm.on_configure(plugin, io.open("\$TEST_NGINX_HTML_DIR/conf"):read("*a")))
            if not wasm.on_http_request_headers(context) then return ngx.exit(503) end
        }
        content_by_lua_block { ngx.print("without it") }
E
);

sub serve {
    my ($path, %o) = @_;
    my $x = $locations{$path};
    return start_nginx(
        lua         => $path eq 'lua',
        http_config => "wasm_vm wasmtime; wasm_isolation request; wasm_image on; wasm_instances $o{instances}; wasm_failure "
            . ($o{failure} // 'closed') . ';'
            . ($path eq 'native' ? "wasm_plugin p $plugins/hostcalls.wasm phase=rewrite; wasm_plugin q $plugins/hostcalls.wasm phase=rewrite;" : ''),
        config => "location = /x { @{[$x->('p')]} } location = /soon { wasm_pause_timeout 300ms; @{[$x->('p')]} }"
            . ($path eq 'native' ? "location = /both { proxy_wasm p conf_file=html/conf; proxy_wasm q conf_file=html/conf; return 200 both; }" : '')
            . 'location = /status { wasm_status; } location = /plain { return 200 plain; }',
        user_files => [['conf', $script]],
    );
}

# The next call: its connection, and the name of the request that made it.
sub call {
    local $SIG{ALRM} = sub { die "no call came\n" };
    alarm 30 * $ProxyWasm::Settings::Patience;
    my $call = $listener->accept or die "accept: $!";
    my $head = '';
    while ($head !~ /\r\n\r\n/) { sysread $call, $head, 4096, length $head or last }
    alarm 0;
    return ($call, $head =~ m{^GET /(\S*)});
}

sub answer {
    my ($call, $body) = @_;
    syswrite $call, "HTTP/1.1 200 OK\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body";
    close $call;
}

sub ask {
    my ($s, $name, $path) = @_;
    my $client = $s->connect;
    $client->send_request('GET', $path // '/x', headers => ['X-Name' => $name], close => 1);
    return $client;
}

sub counts { my $status = decode_json($_[0]->get('/status')->{body}); return [@$status{qw(request_instances waiting_requests)}] }

# Waits until the counts of instances and of waiting requests are these.
sub has {
    my ($s, @want) = @_;
    my $deadline = time + 30;
    while ("@{ counts($s) }" ne "@want" && time < $deadline) { select undef, undef, undef, 0.01 }
    is_deeply counts($s), \@want, "$want[0] have an instance, $want[1] wait";
}

for my $path (qw(native lua)) {
    subtest "$path: requests wait in order" => sub {
        my $s = serve($path, instances => 1);
        my @clients;
        for (0 .. 3) {
            push @clients, ask($s, $_);
            has($s, 1, $_);
        }
        for (0 .. 3) {
            my ($call, $name) = call();
            is $name, $_, "request $_ has its turn";
            answer($call, "answer $_");
            my $r = $clients[$_]->read_response;
            is "$r->{status} $r->{body}", "200 answer $_", 'and its answer';
        }
        has($s, 0, 0);
        $s->stop;
    };

    subtest "$path: one that leaves is passed over" => sub {
        my $s       = serve($path, instances => 2);
        my @clients = map { my $client = ask($s, $_); has($s, $_ < 2 ? ($_ + 1, 0) : (2, $_ - 1)); $client } 0 .. 4;
        $clients[2]->close;
        has($s, 2, 2);
        my %calls = map { my ($call, $name) = call(); ($name => $call) } 1 .. 2;
        is_deeply [sort keys %calls], [0, 1], 'the first two have instances';
        $clients[0]->close;
        my ($call, $name) = call();
        is $name, 3, 'one that has an instance leaves, and the next that is there has its turn';
        answer($calls{1}, 'first');
        is $clients[1]->read_response->{body}, 'first', 'another is answered';
        my ($last, $last_name) = call();
        is $last_name, 4, 'and the last has its turn';
        answer($call, 'third');
        answer($last, 'last');
        is_deeply [map { $clients[$_]->read_response->{body} } 3, 4], ['third', 'last'], 'they are answered';
        has($s, 0, 0);
        $s->stop(allow => [qr/client prematurely/]);
    };

    for my $case ([closed => 503, qr/503/], [open => 200, qr/without it/]) {
        my ($failure, $status, $body) = @$case;
        subtest "$path: one that waits too long meets wasm_failure $failure" => sub {
            my $s     = serve($path, instances => 1, failure => $failure);
            my $first = ask($s, 'first');
            my ($call) = call();
            my $r = $s->get('/soon', 'X-Name' => 'second');
            is $r->{status}, $status, 'its status';
            like $r->{body}, $body, 'its body';
            ok $s->wait_for_log(qr/\[error\] .*plugin "p" failed: no instance was free for the request, see wasm_instances/), 'a line says why';
            has($s, 1, 0);
            answer($call, 'late');
            is $first->read_response->{body}, 'late', 'the first one has its instance all the while';
            is $s->get('/x', 'X-At-Once' => 1)->{body}, 'without it', 'and the next gets one at once';
            $s->stop;
        };
    }

    subtest "$path: a trap frees the instance" => sub {
        my $s = serve($path, instances => 1);
        my $first = ask($s, 'first');
        my ($call) = call();
        my $second = ask($s, 'second');
        has($s, 1, 1);
        close $call;
        $first->close;
        my ($next, $name) = call();
        is $name, 'second', 'the next has its turn';
        answer($next, 'second');
        is $second->read_response->{body}, 'second', 'and its answer';
        $s->stop(allow => [qr/./]);
    };

    for my $signal (qw(HUP QUIT TERM)) {
        subtest "$path: $signal while requests wait" => sub {
            my $s       = serve($path, instances => 1);
            my @clients = map { my $client = ask($s, $_); has($s, 1, $_); $client } 0 .. 2;
            my ($worker) = $s->worker_pids;
            my ($call)   = call();
            $s->signal($signal);
            if ($signal ne 'TERM') {
                $s->wait_for_workers(1, [$worker]) if $signal eq 'HUP';
                answer($call, 0);
                for (1 .. 2) { my ($next, $name) = call(); answer($next, $name) }
                is_deeply [map { $_->read_response->{body} } @clients], [0 .. 2], 'all have their turn';
                ok $s->wait_for_exit($worker), 'and the worker goes' if $signal eq 'HUP';
            }
            $s->stop(allow => [qr/client prematurely|http call failed/]);
            is scalar(() = $s->error_log =~ /create http context/g), scalar(() = $s->error_log =~ /free http context/g), 'every context ends';
        };
    }
}

subtest 'a request with two plugins does not wait for itself' => sub {
    my $s = serve('native', instances => 1);
    is $s->get('/both', 'X-At-Once' => 1)->{body}, 'both', 'it has both instances at once';
    my @clients = map { ask($s, $_, '/both') } 1 .. 2;
    has($s, 1, 1);
    $_->close for @clients;
    has($s, 0, 0);
    $s->stop(allow => [qr/client prematurely/]);
};

# Lua runs in subrequests; their instances end with the client's request, so waiting for one of these would be waiting for oneself.
subtest 'a request does not wait for its subrequests, nor they for it' => sub {
    my $s = start_nginx(
        lua         => 1,
        http_config => "wasm_vm wasmtime; wasm_isolation request; wasm_instances 1; wasm_pause_timeout 20s;
            wasm_plugin p $plugins/hostcalls.wasm phase=rewrite;
            init_worker_by_lua_block {
                local wasm = require('resty.proxy-wasm')
                local plugin, context
                package.loaded.guarded = function()
                    plugin = plugin or assert(wasm.load('p', '$plugins/hostcalls.wasm'))
                    context = context or assert(wasm.on_configure(plugin, io.open('\$TEST_NGINX_HTML_DIR/conf'):read('*a')))
                    if not wasm.on_http_request_headers(context) then return ngx.exit(503) end
                end
            }",
        config => "location = /lua { access_by_lua_block { require('guarded')() }
                content_by_lua_block { local r = ngx.location.capture('/sub'); ngx.print('lua ', r.status, r.body) } }
            location = /native { proxy_wasm p conf_file=html/conf;
                content_by_lua_block { local r = ngx.location.capture('/sub'); ngx.print('native ', r.status, r.body) } }
            location = /several { content_by_lua_block {
                local a, b = ngx.location.capture_multi({{'/sub'}, {'/sub'}}); ngx.print('several ', a.status, a.body, b.status, b.body) } }
            location = /auth { proxy_wasm p conf_file=html/conf; auth_request /sub; content_by_lua_block { ngx.print('let in') } }
            location = /mirror { access_by_lua_block { require('guarded')() } mirror /mirrored; content_by_lua_block { ngx.print('mirror') } }
            location = /mirrored { rewrite_by_lua_block { require('guarded')() } content_by_lua_block { ngx.log(ngx.WARN, 'mirrored') } }
            location = /sub { rewrite_by_lua_block { require('guarded')() } content_by_lua_block { ngx.print('sub') } }
            location = /x { access_by_lua_block { require('guarded')() } content_by_lua_block { ngx.print('x') } }
            location = /status { wasm_status; }",
        user_files => [['conf', $script]],
    );
    my %bodies = (
        lua => 'lua 200sub', native => 'native 200sub', several => 'several 200sub200sub', auth => 'let in', mirror => 'mirror',
    );
    for my $path (sort keys %bodies) {
        my $r = $s->get("/$path", 'X-At-Once' => 1);
        is "$r->{status} $r->{body}", "200 $bodies{$path}", $path;
    }
    ok $s->wait_for_log(qr/\[warn\] .*mirrored/), 'the mirrored subrequest has met the plugin';
    has($s, 0, 0);

    my $first = ask($s, 'only');
    my ($call, $name) = call();
    # Clients that left before have calls, too.
    ($call, $name) = call() while $name ne 'only';
    my $client = $s->connect;
    $client->send_request('GET', '/several', headers => ['X-At-Once' => 1], close => 1);
    has($s, 1, 2);
    answer($call, 'first');
    is $first->read_response->{body}, 'first', 'a request has the only instance';
    is $client->read_response->{body}, $bodies{several}, 'and two subrequests that wait for it go on together';
    has($s, 0, 0);
    $s->stop(allow => [qr/mirrored/]);
};

for my $case ([0, 'a request needs an instance'], [2049, 'a worker can have 2048 instances at most'], ['many', '"many" is not a number']) {
    my ($value, $reason) = @$case;
    my $s = start_nginx(http_config => "wasm_instances $value;", must_die => 1);
    my ($code, @lines) = $s->check_config;
    like "@lines", qr/"wasm_instances": \Q$reason\E/, "$value: $reason";
}

done_testing;
