# A client that goes away, in any state of its request: proxy_on_done, proxy_on_log and
# proxy_on_delete run once each, and nothing stays behind.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Upstream qw(upstream);

sub pausing {
    my ($callback) = @_;
    return qq{proxy_wasm hostcalls '{"trace": true, "$callback": [["return", "pause"]]}';\n};
}

my $proxied = 'proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT';
my $traced  = q{proxy_wasm hostcalls '{"trace": true}';};
my $changing = q{proxy_wasm hostcalls '{"trace": true, "on_response_body": [["set_buffer_bytes", "response_body", "1", 0, 1]]}';};

my %conf = (
    user_files  => ">>> t.txt\nhello\n",
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm; proxy_cache_path cache keys_zone=kept:1m;' . upstream(),
    config      => <<"E",
        location /request-headers { @{[pausing('on_request_headers')]} $proxied/echo; }
        location /request-body { @{[pausing('on_request_body')]} $proxied/echo; }
        location /response-headers { @{[pausing('on_response_headers')]} $proxied/headers; }
        location /response-headers/ignoring {
            @{[pausing('on_response_headers')]} proxy_ignore_client_abort on; $proxied/headers;
        }
        location /response-headers/t.txt { @{[pausing('on_response_headers')]} alias html/t.txt; }
        location /response-body { @{[pausing('on_response_body')]} $proxied/headers; }
        location /response-body/ignoring {
            @{[pausing('on_response_body')]} proxy_ignore_client_abort on; $proxied/headers;
        }
        location /response-body/t.txt { @{[pausing('on_response_body')]} alias html/t.txt; }
        location /cached {
            proxy_cache kept;
            proxy_cache_valid any 1h;
            proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/late;
        }
        location /late { content_by_lua_block {
            ngx.log(ngx.ERR, "at the upstream")
            ngx.sleep(0.2)
            ngx.header["X-Accel-Redirect"] = "/request-headers"
        } }
        location /page { error_page 404 = /request-headers; return 404; }
        location /upload { $traced $proxied/echo; }
        location /download { $traced $proxied/zeros?20000; }
        location /download/changed { $changing $proxied/zeros?20000; }
        location /download/unbuffered { $changing proxy_buffering off; $proxied/zeros?20000; }
E
);

my $s = start_nginx(%conf);

# Runs $client, which leaves when the log has a line like $seen.
sub leaves {
    my ($state, $seen, $client) = @_;
    subtest $state => sub {
        $s->mark_log;
        $client->(sub { ok $s->wait_for_log($seen), 'gets that far' });
        ok $s->wait_for_log(qr/on_delete \d+\b/), 'is noticed';
        my ($log, %times) = $s->error_log;
        $times{$1}++ while $log =~ /\b(on_done|on_log|on_delete) \d+\b/g;
        is_deeply \%times, { on_done => 1, on_log => 1, on_delete => 1 }, 'and ended once' or diag explain \%times;
    };
}

sub sending {
    my ($method, $path, $body) = @_;
    return sub {
        my ($seen) = @_;
        my $c = $s->connect;
        $c->send_request($method, $path, defined $body ? (body => $body) : ());
        $seen->();
        $c->close;
    };
}

leaves 'mid-upload', qr/on_request_headers \d+/, sub {
    my ($seen) = @_;
    my $c = $s->connect;
    $c->send_request('POST', '/upload', headers => ['Content-Length' => 100], body => 'half');
    $seen->();
    $c->close;
};
leaves "paused on $_->[0]", qr/$_->[1] \d+/, sending($_->[2], $_->[3], 'hello')
    for ['request headers', 'on_request_headers', POST => '/request-headers'],
        ['request body', 'on_request_body', POST => '/request-body'],
        ['response headers', 'on_response_headers', POST => '/response-headers'],
        ['response headers of a file', 'on_response_headers', GET => '/response-headers/t.txt'],
        ['response body', 'on_response_body', POST => '/response-body'],
        ['response body of a file', 'on_response_body', GET => '/response-body/t.txt'];
# Its end is there before nginx reads the request: no event tells it again.
sub leaving_at_once {
    my ($method, $path, $body) = @_;
    return sub {
        my ($seen) = @_;
        my ($worker) = $s->worker_pids;
        kill 'STOP', $worker;
        my $c = $s->connect;
        $c->send_request($method, $path, defined $body ? (body => $body) : ());
        shutdown $c->{sock}, 1;
        kill 'CONT', $worker;
        $seen->();
    };
}

leaves "at once, $_->[0]", qr/$_->[1] \d+/, leaving_at_once($_->[2], $_->[3], 'hello')
    for ['request headers', 'on_request_headers', POST => '/request-headers'],
        ['request body', 'on_request_body', POST => '/request-body'],
        ['response headers', 'on_response_headers', POST => '/response-headers/ignoring'],
        ['response headers of a file', 'on_response_headers', GET => '/response-headers/t.txt'],
        ['response body', 'on_response_body', POST => '/response-body/ignoring'],
        ['response body of a file', 'on_response_body', GET => '/response-body/t.txt'],
        ['an error page', 'on_request_headers', GET => '/page'];

# What is cached is fetched to its end, whether the client has left or not.
leaves 'before what a cached upstream leads to', qr/at the upstream/, sending(GET => '/cached');

leaves "mid-download, $_", qr/on_response_body \d+/, sending(GET => $_)
    for qw(/download /download/changed /download/unbuffered);

$s->stop;
$s = start_nginx(%conf, http2 => 1);

leaves "HTTP/2, paused in $_", qr/$_ \d+/, sub {
    my ($seen) = @_;
    (my $path = $_) =~ s/^on_(\w+)_(\w+)$/$1-$2/;
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
        exec 'curl', '-s', '--http2-prior-knowledge', '--data', 'hello', 'http://127.0.0.1:' . $s->port . "/$path";
    }
    $seen->();
    kill 'KILL', $pid;
    waitpid $pid, 0;
} for qw(on_request_headers on_request_body on_response_headers on_response_body);

$s->stop;
done_testing;
