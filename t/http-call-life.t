# How long calls live: with their requests, over kept connections, and until a worker has quit.

use lib '.';
use t::ProxyWasm;
use IO::Socket::INET ();
use Time::HiRes qw(time);

my $upstream = free_port();

# Asks $path three times at once, and answers when all three have come: the request counts them, in a field.
sub three {
    my ($path, $timeout) = @_;
    my $call = qq(["http_call", "127.0.0.1:$upstream", [[":path", "$path"]], "", [], $timeout]);
    return <<"CONF";
        proxy_wasm hostcalls '{
            "on_request_headers": [$call, $call, $call, ["return", "pause"]],
            "on_http_call_response": [
                ["add_header_map_value", "request", "x-answers", "1"],
                ["get_header_map_pairs", "request"],
                {"if": ["contains", "\${last}", "x-answers: 1 | x-answers: 1 | x-answers: 1"],
                 "then": [["send_local_response", 200, "all"]]}
            ]
        }';
CONF
}

my $s = start_nginx(
    main_config        => 'worker_rlimit_nofile 8192;',
    worker_connections => 4096,
    http_config => <<"CONF",
    wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls.wasm;
    server {
        listen 127.0.0.1:$upstream backlog=1024;
        keepalive_requests 100000;
        location /slow { content_by_lua_block { ngx.sleep(0.3) ngx.print(ngx.var.connection) } }
        location /slower { content_by_lua_block { ngx.sleep(2) } }
        location /connection { return 200 "\$connection"; }
        location /close { keepalive_timeout 0; return 200 "\$connection"; }
    }
CONF
    config => "location /three { @{[three('/slow', 5000)]} }\n"
        . "location /slower { @{[three('/slower', 1000)]} }\n"
        . 'location /plain { return 200 plain; }'
        . join '', map { <<"CONF" } qw(connection close),
    location /$_ {
        proxy_wasm hostcalls '{
            "on_request_headers": [["http_call", "127.0.0.1:$upstream", [[":path", "/$_"]]], ["return", "pause"]],
            "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["send_local_response", 200, "\${last}"]]
        }';
    }
CONF
);

subtest 'connections are kept' => sub {
    my $first = $s->get('/connection')->{body};
    like $first, qr/^\d+$/, 'a connection';
    is $s->get('/connection')->{body}, $first, 'serves the next call';
    isnt $s->get('/close')->{body}, $s->get('/close')->{body}, 'unless the server closes it';
};

subtest 'calls run at once' => sub {
    my $started = time;
    is $s->get('/three')->{body}, 'all', 'three of 0.3 s';
    cmp_ok time - $started, '<', 0.8, 'take the time of one';
};

subtest 'a worker never waits' => sub {
    my @clients = map {
        my $c = $s->connect;
        $c->send_request('GET', '/three');
        $c;
    } 1 .. 200;
    my $started = time;
    is $s->get('/plain')->{body}, 'plain', 'other requests are served meanwhile';
    cmp_ok time - $started, '<', 0.3, 'at once';
    is scalar(grep { ($_->read_response->{body} // '') eq 'all' } @clients), 200, '200 requests with 3 calls each';
    cmp_ok time - $started, '<', 3, 'in the time of one, and what 600 responses cost';
};

subtest 'calls of a client that has left are cancelled' => sub {
    $s->mark_log;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $s->port) or die $!;
    print $socket "GET /slower HTTP/1.1\r\nHost: a\r\n\r\n";
    ok $s->wait_for_log(qr/register http call callout id/, count => 3), 'three are made';
    close $socket;
    ok $s->wait_for_log(qr/client prematurely closed connection/), 'the client leaves';
    is $s->get('/connection')->{status}, 200, 'others are served';
    unlike $s->error_log, qr/timeout, uri/, 'nothing is told of them';
};

subtest 'a worker that quits finishes its calls' => sub {
    my $c = $s->connect;
    $c->send_request('GET', '/three');
    ok $s->wait_for_log(qr/register http call/), 'calls are under way';
    my ($worker) = $s->worker_pids;
    $s->signal(QUIT => $worker);
    is $c->read_response->{body}, 'all', 'and answered';
    ok $s->wait_for_exit($worker), 'then it exits';
};

$s->stop;
done_testing;
