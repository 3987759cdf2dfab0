# Calls that nobody waits for: the request that makes them is over, or about to be, when they are answered. They are sent, and
# their answers come to the plugin context, as in Envoy; on both paths.

use lib '.';
use t::ProxyWasm;
use IO::Select ();
use IO::Socket::INET ();
use ProxyWasm::LuaSetup;

# The server that is called: this script, so that it answers when the request is over.
my $server = IO::Socket::INET->new(Listen => 100, LocalAddr => '127.0.0.1') or die $!;
my $port   = $server->sockport;
# The server that is asked by gRPC: nginx itself.
my $grpc = free_port();

my $call = qq(["http_call", "127.0.0.1:$port", [[":method", "POST"], [":path", "/audit"], [":authority", "a"]], "facts", [], 30000]);
my $told = <<'SCRIPT';
    "on_http_call_response": [
        ["log", "info", "told ${kind} ${context_id} of the call of ${caller}"],
        ["get_buffer_bytes", "call_response_body"],
        ["get_header_map_value", "request", ":path"]
    ],
    "on_grpc_receive": [["get_buffer_bytes", "grpc_message"]],
    "on_grpc_close": [["get_status"], ["log", "info", "closed for ${kind}"]]
SCRIPT

sub script {
    my ($callback, @steps) = @_;
    # Plugin contexts have some of these callbacks, too, and a body may come in several pieces.
    return qq({"$callback": [{"if": ["eq", "\${kind} \${count}", "http 1"], "then": [@{[ join ', ', @steps ]}]}], $told});
}

# Takes the next call that comes to the server.
sub accepted {
    my $asked = IO::Select->new($server)->can_read(30) ? $server->accept : return;
    my $request = '';
    while ($request !~ /facts\z/) {
        sysread $asked, $request, 4096, length $request or last;
    }
    return ($asked, $request);
}

sub answer {
    my ($asked, $body) = @_;
    print {$asked} "HTTP/1.1 200 OK\r\nContent-Length: @{[ length $body ]}\r\nConnection: close\r\n\r\n$body";
    close $asked;
    return;
}

my @native = qw(on_request_headers on_request_body on_response_headers on_response_body on_done on_log on_delete);
my @lua    = grep { !/request/ } @native;

my $grpc_server = <<"CONF";
    server {
        listen 127.0.0.1:$grpc http2;
        default_type application/grpc;
        location / {
            add_trailer grpc-status 0;
            content_by_lua_block { ngx.req.read_body() ngx.log(ngx.INFO, "asked by gRPC") ngx.print(ngx.req.get_body_data()) }
        }
    }
CONF

sub native {
    my (%o) = @_;
    my %scripts = (
        (map { $_ => script($_, $call) } @native),
        plain  => script('on_log', '["log", "info", "plain"]'),
        two    => qq({"on_request_headers": [$call, $call], $told}),
        unary  => script('on_log', qq(["grpc_call", "127.0.0.1:$grpc", "a.B", "Say", [], "hello"])),
        stream => script('on_log', qq(["grpc_stream", "127.0.0.1:$grpc", "a.B", "Say"], ["grpc_send", "\${last}", "streamed", 1])),
        trap   => qq({"on_request_headers": [["trap"]]}),
        pause  => qq({"on_request_headers": [$call, ["return", "pause"]], $told}),
        %{ $o{scripts} // {} },
    );
    return start_nginx(
        main_config => $o{main_config} // '',
        http_config => ($o{http_config} // '') . "wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls.wasm;\n$grpc_server",
        config      => join '', map { <<"CONF" } sort keys %scripts);
    location = /$_ {
        proxy_wasm hostcalls '$scripts{$_}';
        content_by_lua_block { ngx.req.read_body() if ngx.var.arg_slow then ngx.sleep(3600) end ngx.print("served") }
    }
CONF
}

sub lua {
    return start_nginx(
        http_config => $ProxyWasm::LuaSetup::WASM_VM . $ProxyWasm::LuaSetup::INIT_WORKER,
        config      => join '', map { <<"CONF" } @lua);
    location = /$_ {
        access_by_lua_block {
            ngx.ctx.plugin = configured("hostcalls", [=[@{[ script($_, $call) ]}]=])
            assert(wasm.on_http_request_headers(ngx.ctx.plugin))
        }
        header_filter_by_lua_block { assert(wasm.on_http_response_headers(ngx.ctx.plugin)) }
        body_filter_by_lua_block { assert(wasm.on_http_response_body(ngx.ctx.plugin)) }
        content_by_lua_block { ngx.print("served") }
    }
CONF
}

for my $path (['native', \&native, @native], ['Lua', \&lua, @lua]) {
    my ($name, $start, @callbacks) = @$path;
    my $s = $start->();
    for my $callback (@callbacks) {
        subtest "$name, a call from $callback" => sub {
            $s->mark_log;
            my $request = $s->connect;
            $request->send_request('POST', "/$callback", body => 'x');
            is $request->read_response->{body}, 'served', 'the request is served';
            my ($asked, $request_sent) = accepted();
            like $request_sent, qr{\APOST /audit HTTP/1.1\r\n.*\r\n\r\nfacts\z}s, 'the call is sent';
            ok $s->wait_for_log(qr/free http context/), 'the request is over';
            answer($asked, "heard $callback");
            ok $s->wait_for_log(qr/get_header_map_value request :path ->/), 'the plugin is called';
            my $log = $s->error_log;
            my ($plugin, $http) = $log =~ /told plugin (\d+) of the call of (\d+)/;
            isnt $plugin, $http, 'in its plugin context' or diag $log;
            like $log, qr/get_buffer_bytes call_response_body -> OK heard $callback/, 'with the answer';
            like $log, qr/get_header_map_value request :path -> (?!OK)/, 'and without the request';
        };
    }
    $s->stop;
}

subtest 'gRPC from on_log' => sub {
    my $s = native();
    is $s->get('/unary')->{body}, 'served', 'a request is served';
    ok $s->wait_for_log(qr/get_buffer_bytes grpc_message -> OK hello/), 'its call is answered';
    is $s->get('/stream')->{body}, 'served', 'another is served';
    ok $s->wait_for_log(qr/get_buffer_bytes grpc_message -> OK streamed/), 'its stream is, too';
    ok $s->wait_for_log(qr/closed for plugin/), 'and is closed by the server';
    $s->stop;
};

subtest 'no other request gets the id of a context whose calls are under way' => sub {
    my $s = native();
    $s->get('/on_log');
    my ($asked) = accepted();
    ok $s->wait_for_log(qr/free http context/), 'a request is over';
    my ($id) = $s->error_log =~ /create http context (\d+)/;
    $s->mark_log;
    $s->get('/on_log') for 1 .. 2;
    my @others = map { (accepted())[0] } 1 .. 2;
    my @ids    = $s->error_log =~ /create http context (\d+)/g;
    is scalar(grep { $_ == $id } @ids), 0, 'the next two have other ids' or diag "$id: @ids";
    answer($_, 'heard') for $asked, @others;
    ok $s->wait_for_log(qr/told plugin/, count => 3), 'all are answered';
    like $s->error_log, qr/of the call of $id\b/, 'the first by its own id';
    $s->stop;
};

subtest 'a request that has an instance for itself' => sub {
    my $s = native(http_config => 'wasm_isolation request;');
    is $s->get('/on_log')->{body}, 'served', 'is served';
    my ($asked, $request) = accepted();
    like $request, qr{\APOST /audit}, 'its call is sent';
    answer($asked, 'heard');
    is $s->get('/plain')->{body}, 'served', 'another is served';
    ok $s->wait_for_log(qr/run http callback callout id: 0/), 'the call is answered';
    unlike $s->error_log, qr/told/, 'to nobody';
    $s->stop;
};

subtest 'a request that goes on after the first answer leaves the others' => sub {
    my $s = native();
    is $s->get('/two')->{body}, 'served', 'the request does not wait';
    my @asked = map { (accepted())[0] } 1 .. 2;
    answer($_, 'heard') for @asked;
    ok $s->wait_for_log(qr/told plugin/, count => 2), 'the plugin gets both answers';
    $s->stop;
};

subtest 'an instance that fails takes its calls with it' => sub {
    my $s = native();
    $s->get('/on_log');
    my ($asked) = accepted();
    is $s->get('/trap')->{status}, 503, 'another request of the instance fails';
    is sysread($asked, my $byte, 1), 0, 'the connection of the call is closed';
    is $s->get('/plain')->{body}, 'served', 'the next instance serves';
    $s->stop;
};

subtest 'a client that leaves while its request waits for a call cancels it' => sub {
    my $s = native();
    my $client = $s->connect;
    $client->send_request('GET', '/pause');
    my ($asked) = accepted();
    $client->close;
    is sysread($asked, my $byte, 1), 0, 'the connection of the call is closed';
    $s->stop;
};

subtest 'a worker that quits waits for an answer' => sub {
    my $s = native();
    $s->get('/on_log');
    my ($asked) = accepted();
    my ($worker) = $s->worker_pids;
    $s->signal(QUIT => $worker);
    ok $s->wait_for_log(qr/gracefully shutting down/), 'it is told to quit';
    answer($asked, 'late');
    ok $s->wait_for_exit($worker), 'it exits';
    like $s->error_log, qr/get_buffer_bytes call_response_body -> OK late/, 'after the plugin was told';
    $s->stop;
};

subtest 'a request that ends a worker has its call sent' => sub {
    my $s = native();
    my ($worker) = $s->worker_pids;
    my $request = $s->connect;
    $request->send_request('POST', '/on_log', headers => ['Content-Length' => 1]);
    ok $s->wait_for_log(qr/create http context/), 'a request comes';
    $s->signal(QUIT => $worker);
    ok $s->wait_for_log(qr/gracefully shutting down/), 'the worker is told to quit';
    $request->send_bytes('x');
    is $request->read_response->{body}, 'served', 'the request is served';
    $request->close;
    my ($asked) = accepted();
    answer($asked, 'last');
    ok $s->wait_for_exit($worker), 'the worker exits';
    like $s->error_log, qr/get_buffer_bytes call_response_body -> OK last/, 'after the plugin was told';
    $s->stop;
};

for my $shutdown ('', 'worker_shutdown_timeout 100ms;') {
    subtest 'a worker does not wait for ever' . ($shutdown && " with $shutdown") => sub {
        my $s = native(main_config => $shutdown);
        $s->get('/on_log');
        my ($asked) = accepted();
        my ($worker) = $s->worker_pids;
        ok $s->reload, 'nginx reloads';
        ok $s->wait_for_exit($worker), 'the worker exits';
        is sysread($asked, my $byte, 1), 0, 'the connection of the call is closed';
        $s->stop;
    };
}

subtest 'worker_shutdown_timeout ends a request, and the worker does not wait for its call' => sub {
    my $s = native(main_config => 'worker_shutdown_timeout 100ms;');
    my ($worker) = $s->worker_pids;
    my $request = $s->connect;
    $request->send_request('GET', '/on_log?slow=1');
    ok $s->wait_for_log(qr/create http context/), 'a request comes';
    $s->signal(QUIT => $worker);
    ok $s->wait_for_exit($worker), 'the worker exits';
    like $s->error_log, qr/http_call .* -> OK/, 'though a call was made at the end';
    $s->stop;
};

done_testing;
