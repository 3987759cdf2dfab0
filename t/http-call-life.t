# How long calls live: with their requests, over kept connections, and until a worker has quit; on both paths, and made by either client.
# That calls run at once is told by a server that answers only when all have come.

use lib '.';
use t::ProxyWasm;
use IO::Socket::INET ();
use ProxyWasm::LuaSetup;

use constant REQUESTS => 200;

my $upstream = free_port();

# What a plugin does that asks $path three times at once, and lets the request go when all three have answered: the request counts
# them, in a field.
sub three {
    my ($path, $timeout) = @_;
    my $call = qq(["http_call", "127.0.0.1:$upstream", [[":method", "GET"], [":authority", "127.0.0.1:$upstream"], [":path", "$path"]], "", [], $timeout]);
    return <<"SCRIPT";
{"on_request_headers": [$call, $call, $call, ["return", "pause"]],
 "on_http_call_response": [
    ["add_header_map_value", "request", "x-answers", "\${num_headers}"],
    ["get_header_map_pairs", "request"],
    {"if": ["contains", "\${last}", "x-answers: 6 | x-answers: 6 | x-answers: 6"], "then": [["send_local_response", 200, "all"]]},
    {"if": ["contains", "\${last}", "x-answers: 3 | x-answers: 3 | x-answers: 3"], "then": [["send_local_response", 200, "none"]]},
    {"if": ["contains", "\${last}", "x-answers: 0 | x-answers: 0 | x-answers: 0"], "then": [["send_local_response", 200, "none"]]}]}
SCRIPT
}

# Answers with what the server says.
sub asking {
    my ($path) = @_;
    return <<"SCRIPT";
{"on_request_headers": [["http_call", "127.0.0.1:$upstream", [[":method", "GET"], [":authority", "127.0.0.1:$upstream"], [":path", "$path"]]], ["return", "pause"]],
 "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["send_local_response", 200, "\${last}"]]}
SCRIPT
}

my %scripts = (
    connection => asking('/connection'),
    close      => asking('/close'),
    three => three('/together?' . 3 * REQUESTS, 30_000),
    gate  => three('/gate', 30_000),
    never => three('/never', 500),
    left  => three('/never', 30_000),
);

# The server of the calls is a server of the same worker.
my $servers = <<"CONF";
    server {
        listen 127.0.0.1:$upstream backlog=2048;
        keepalive_requests 100000;
        lua_check_client_abort on;
        # Answers when as many have come as its argument says.
        location /together { content_by_lua_block {
            arrived = (arrived or 0) + 1
            gate = gate or require("ngx.semaphore").new(0)
            if arrived == tonumber(ngx.var.args) then
                gate:post(arrived)
                arrived = 0
            end
            gate:wait(30)
            ngx.print("x")
        } }
        location = /arrived { content_by_lua_block { ngx.print(arrived or 0) } }
        # Answers when it is opened.
        location = /gate { content_by_lua_block {
            ngx.log(ngx.INFO, "come to the server")
            opened = opened or require("ngx.semaphore").new(0)
            opened:wait(30)
            ngx.print("x")
        } }
        # Opens it with the end of a body: a request that a worker which quits still has.
        location = /open { content_by_lua_block { ngx.log(ngx.INFO, "come to the server") ngx.req.read_body() opened:post(3) } }
        # Ends when the call does.
        location = /never { content_by_lua_block { ngx.log(ngx.INFO, "come to the server") ngx.sleep(3600) } }
        location = /connection { return 200 "\$connection"; }
        location = /close { keepalive_timeout 0; return 200 "\$connection"; }
    }
    lua_socket_pool_size 32;
CONF

my $inspect = <<"CONF";
    location /plain { return 200 plain; }
    location /arrived { proxy_pass http://127.0.0.1:$upstream; }
    location /open { proxy_request_buffering off; proxy_pass http://127.0.0.1:$upstream; }
    location = /status { wasm_status; }
CONF

# valgrind keeps descriptors for itself, so that the limit cannot be raised.
my %common = (
    main_config => $ENV{TEST_NGINX_USE_VALGRIND} ? '' : 'worker_rlimit_nofile 8192;',
    worker_connections => 4096,
);

sub native {
    return start_nginx(%common,
        http_config => "wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls.wasm;\n$servers",
        config      => join('', $inspect, map { "location /$_ { proxy_wasm hostcalls '$scripts{$_}'; }\n" } sort keys %scripts));
}

sub lua {
    my ($http_config) = @_;
    return start_nginx(%common,
        http_config => join('', $http_config, $ProxyWasm::LuaSetup::WASM_VM, $ProxyWasm::LuaSetup::INIT_WORKER, $servers),
        config      => join '', $inspect, map { <<"CONF" } sort keys %scripts);
    location /$_ {
        lua_check_client_abort on;
        access_by_lua_block { assert(wasm.on_http_request_headers(configured("hostcalls", [=[$scripts{$_}]=]))) }
        content_by_lua_block { ngx.print("not reached") }
    }
CONF
}

# How many files and sockets a process has open.
sub open_files {
    my ($pid) = @_;
    return scalar grep { !/\.\.?$/ } glob "/proc/$pid/fd/*";
}

sub contexts {
    my ($s) = @_;
    my ($contexts) = $s->get('/status')->{body} =~ /"http_contexts": (\d+)/;
    return $contexts;
}

sub wait_until {
    my ($condition) = @_;
    for (1 .. 2000) {
        return 1 if $condition->();
        select undef, undef, undef, 0.005;
    }
    return 0;
}

sub at_once {
    my ($s) = @_;
    my @clients = map { $s->connect(timeout => 30) } 1 .. REQUESTS;
    $_->send_request('GET', '/three') for @clients[1 .. $#clients];
    ok wait_until(sub { $s->get('/arrived')->{body} == 3 * (REQUESTS - 1) }), 'all calls of all but one request are at the server at once';
    is $s->get('/plain')->{body}, 'plain', 'the worker serves others meanwhile';
    is contexts($s), REQUESTS - 1, 'the requests wait';
    $clients[0]->send_request('GET', '/three');
    my %bodies;
    $bodies{ $_->read_response->{body} // '' }++ for @clients;
    is_deeply \%bodies, { all => REQUESTS }, 'the calls of the last let all of them go on';
}

my %paths = (
    'native'                    => sub { native() },
    'Lua, with our client'      => sub { lua('') },
    'Lua, through resty.http'   => sub { lua(ProxyWasm::LuaSetup::resty_http()) },
);

for my $path (sort keys %paths) {
    subtest $path => sub {
        my $s = $paths{$path}->();
        my ($worker) = $s->worker_pids;

        subtest 'connections are kept' => sub {
            my $first = $s->get('/connection')->{body};
            like $first, qr/^\d+$/, 'a connection';
            is $s->get('/connection')->{body}, $first, 'serves the next call';
            isnt $s->get('/close')->{body}, $s->get('/close')->{body}, 'unless the server closes it';
        };

        subtest REQUESTS . ' requests with three calls each' => sub {
            at_once($s);
            is contexts($s), 0, 'no context is left';
            my $open = open_files($worker);
            at_once($s);
            is contexts($s), 0, 'nor after as many again';
            ok wait_until(sub { open_files($worker) <= $open }), 'and no more connections';
        };

        subtest 'calls of a client that has left are cancelled' => sub {
            $s->mark_log;
            my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $s->port) or die $!;
            print $socket "GET /left HTTP/1.1\r\nHost: a\r\n\r\n";
            # One that has not come yet could be taken by the next worker, who does not see that its client has gone.
            ok $s->wait_for_log(qr/come to the server/, count => 3), 'three are made';
            close $socket;
            ok $s->wait_for_log(qr/client prematurely closed connection/), 'the client leaves';
            ok $s->wait_for_log(qr/free http context/), 'the request ends';
            unlike $s->error_log, qr/run http callback/, 'nothing is told of them';
        };

        subtest 'a worker that quits finishes its calls' => sub {
            $s->mark_log;
            my ($opener, $answered, $timed_out) = map { $s->connect } 1 .. 3;
            $opener->send_request('POST', '/open', headers => ['Content-Length' => 1]);
            $answered->send_request('GET', '/gate');
            $timed_out->send_request('GET', '/never');
            # A worker that quits takes no connection any more, not even its own.
            ok $s->wait_for_log(qr/come to the server/, count => 7), 'all calls have come to the server';
            $s->signal(QUIT => $worker);
            ok $s->wait_for_log(qr/gracefully shutting down/), 'it is told to quit';
            is $timed_out->read_response->{body}, 'none', 'calls that nobody answers time out';
            $opener->send_bytes('x');
            is $opener->read_response->{status}, 200, 'the server answers the others';
            $opener->close;
            is $answered->read_response->{body}, 'all', 'calls that are answered are told of';
            ok $s->wait_for_exit($worker), 'then it exits';
        };

        $s->stop;
    };
}

done_testing;
