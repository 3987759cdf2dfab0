# A file is sent while the client's body is still to come, and a plugin holds the response too long.
# nginx reads such a body to drop it, and where the client stops sending it hands the request back
# more often than it should: under an upstream that an error_page leads to, it would free it.

use lib '.';
use t::ProxyWasm;
use IO::Select ();
use IO::Socket::INET ();

# What is freed is overwritten, so that its use shows.
$ENV{MALLOC_PERTURB_} = 165;

# It takes connections, and says nothing.
my $upstream = IO::Socket::INET->new(Listen => 9, LocalAddr => '127.0.0.1') or die $!;
my $port     = $upstream->sockport;

my $s = start_nginx(
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;',
    user_files  => ">>> file.txt\nhello\n",
    config      => <<"E",
    wasm_request_body never;
    wasm_pause_timeout 50ms;
    lingering_timeout 50ms;
    location = /headers {
        proxy_wasm hostcalls '{"on_response_headers": [["return", "pause"]]}';
        error_page 504 = /fallback;
        alias html/file.txt;
    }
    location = /body {
        proxy_wasm hostcalls '{"on_response_body": [["return", "pause"]]}';
        error_page 504 = /fallback;
        alias html/file.txt;
    }
    location = /fallback { proxy_pass http://127.0.0.1:$port; }
E
);
my ($worker) = $s->worker_pids;

sub is_answered {
    my ($path, $stops) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $s->port) or die $!;
    print $socket "GET $path HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc";
    ok +IO::Select->new($socket, $upstream)->can_read(20), "$path, $stops: it is answered";
    $stops eq 'half-closes' ? shutdown $socket, 1 : print $socket 'def';
    my $got = join '', <$socket>;
    like $got, qr{^HTTP/1.1 504 .*<center>nginx}s, "$path, $stops: by nginx's own page";
    is_deeply [$s->worker_pids], [$worker], "$path, $stops: the worker lives";
}

for my $path ('/headers', '/body') {
    is_answered($path, $_) for 'half-closes', 'is silent';
}
my $fallback = $s->connect;
$fallback->send_request('GET', '/body');
ok +IO::Select->new($upstream)->can_read(20), 'without a body to come, the error_page is asked for';
$fallback->close;
$s->stop(allow => ['[error']);
done_testing;
