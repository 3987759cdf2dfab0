# A client that leaves after a plugin held its request: nginx watches the client in a way of its own while a request waits, and
# another once an upstream has it. A request that went on from a hold is no longer watched in the first way, which frees it under
# the upstream.

use lib '.';
use t::ProxyWasm;
use IO::Socket::INET ();

# What is freed is overwritten, so that its use shows.
$ENV{MALLOC_PERTURB_} = 165;

my $s = start_nginx(
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;',
    lua         => 1,
    config      => <<'E',
    wasm_pause_timeout 50ms;
    # The client may leave: these upstreams go on, and do not watch it.
    proxy_ignore_client_abort on;
    location /late {
        proxy_wasm hostcalls '{"on_request_headers": [["return", "pause"]]}';
        error_page 504 = @slow;
    }
    location @slow {
        rewrite ^ /slow break;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT;
    }
    location /slow { content_by_lua_block { ngx.log(ngx.ERR, "at the upstream") ngx.sleep(0.3) ngx.print("slow") } }
    location /plain { return 200 plain; }
    location = /status { wasm_status; }
E
);
my ($worker) = $s->worker_pids;

sub contexts { return ($s->get('/status')->{body} =~ /"http_contexts": (\d+)/)[0] }

is $s->get('/late')->{body}, 'slow', 'the page of a request that was held too long comes from an upstream';

for my $leaves ('closes', 'resets') {
    $s->mark_log;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $s->port) or die $!;
    print $socket "GET /late HTTP/1.1\r\nHost: a\r\n\r\n";
    ok $s->wait_for_log(qr/at the upstream/), "$leaves: the request is at the upstream";
    setsockopt $socket, Socket::SOL_SOCKET(), Socket::SO_LINGER(), pack 'ii', 1, 0 if $leaves eq 'resets';
    close $socket;
    # The upstream's answer is longer away than the notice that the client has gone.
    ok $s->wait_for_log(qr/free http context/), "$leaves: the request ends";
    is $s->get('/plain')->{body}, 'plain', "$leaves: the worker answers others";
}
is_deeply [$s->worker_pids], [$worker], 'and lives';
$s->stop(allow => ['[error']);
done_testing;
