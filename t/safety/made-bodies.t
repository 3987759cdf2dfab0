# Bodies that a plugin makes are larger than what came: a byte becomes megabytes, again and again. What nginx keeps as a whole
# goes to a file, as what comes from clients does. What a client or a server does not take counts for the plugin.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Collector;
use ProxyWasm::Http2;
use ProxyWasm::Origin;
use Digest::MD5 'md5_hex';

# What is not taken must be more than the system's buffers have room for.
use constant { PIECE => 1_000_000, PIECES => 24, LARGE => 7_500_000 };

my $collector = ProxyWasm::Collector->start;
my $origin    = ProxyWasm::Origin->new;
my ($h2_port, $small_port, $back) = map { free_port() } 1 .. 3;

sub makes {
    my ($which, $size) = @_;
    return qq({"on_$which": [{"if": ["not", ["eq", "\${body_size}", "0"]], "then": [
        {"op": "set_buffer_bytes", "args": ["$which", {"repeat": ["a", $size]}], "quiet": true}]}]});
}

my $upload = "client_body_buffer_size 16k; wasm_request_body stream; proxy_wasm grows '@{[makes('request_body', PIECE)]}'; proxy_pass http://127.0.0.1:@{[$collector->port]};";
my $s = start_nginx(
    http_config => <<"E",
        wasm_plugin grows \$TEST_NGINX_PLUGINS/hostcalls.wasm;
        wasm_plugin response \$TEST_NGINX_PLUGINS/hostcalls.wasm host_memory=32m;
        wasm_plugin request \$TEST_NGINX_PLUGINS/hostcalls.wasm host_memory=32m;
        server { listen 127.0.0.1:$h2_port http2; location / { $upload } }
        server {
            listen 127.0.0.1:$small_port sndbuf=16k;
            location /response { proxy_wasm response '@{[makes('response_body', LARGE)]}'; proxy_pass http://127.0.0.1:$back; }
            location /request {
                proxy_wasm request '@{[makes('request_body', LARGE)]}';
                proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://127.0.0.1:@{[$origin->port]};
            }
        }
        server { listen 127.0.0.1:$back; return 200 x; }
E
    config => "location = /upload { $upload } location = /status { wasm_status; }",
);
my ($worker) = $s->worker_pids;

# The memory of the worker that is its own, in bytes.
sub memory {
    open my $in, '<', "/proc/$worker/smaps_rollup" or return 0;
    my ($private) = map { /^Private_Dirty:\s+(\d+)/ ? $1 : () } <$in>;
    return $private << 10;
}

sub host_memory { return $s->get('/status')->{body} =~ /^  "host_memory": (\d+)/m ? $1 : -1 }

# Waits until the host keeps so many bytes.
sub keeps {
    my ($is_right) = @_;
    for (1 .. 2000) {
        return 1 if $is_right->(host_memory());
        select undef, undef, undef, 0.005;
    }
    return 0;
}

# The server got a body of so many pieces.
sub arrived {
    my ($body, $pieces, $name) = @_;
    $body = length($body) . ' ' . md5_hex($body) if $body !~ / /;
    my $made = 'a' x ($pieces * PIECE);
    is $body, length($made) . ' ' . md5_hex($made), "$name arrives as it was made";
}

# Sends a body byte by byte. Returns how much the memory of the worker has grown meanwhile.
sub grows_by {
    my ($send) = @_;
    my ($before, $most) = (memory(), 0);
    for my $piece (1 .. PIECES) {
        $send->($piece);
        # Who is answered after this client has sent its byte came after it.
        $s->get('/status');
        $most = memory() if memory() > $most;
    }
    return $most - $before;
}

subtest 'a request that nginx reads as a whole' => sub {
    my $c = $s->connect;
    push @{ $c->{methods} }, ('POST') x 2;
    $c->send_bytes("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: @{[PIECES]}\r\n\r\n");
    cmp_ok grows_by(sub { $c->send_bytes('x') }), '<', 5 * PIECE, 'takes little memory';
    arrived($c->read_response->{body}, PIECES, 'the body');
    $c->send_bytes("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
    arrived($c->read_response->{body}, 1, 'a body of one piece');
};

subtest 'over HTTP/2' => sub {
    my $c = ProxyWasm::Http2->new(port => $h2_port);
    $c->send_request('POST', '/', 'x', unfinished => 1);
    cmp_ok grows_by(sub { $c->send_data('x', 0) }), '<', 5 * PIECE, 'takes little memory';
    $c->send_data('x', 1);
    my ($length) = $c->read_response->{body} =~ /^(\d+) /;
    # Bytes that come together are one piece.
    is $length % PIECE, 0, 'what arrives has whole pieces';
    cmp_ok $length, '>', PIECE, 'and several';
};

for my $which (qw(response request)) {
    subtest "what nobody takes of a $which" => sub {
        my @clients = map { ProxyWasm::Connection->new(port => $small_port) } 1 .. 10;
        for my $c (@clients) {
            $c->send_bytes("POST /$which HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nx");
            $c->send_bytes('x') if $which eq 'response';
        }
        ok keeps(sub { $_[0] >= 3 * LARGE }), 'counts for the plugin';
        cmp_ok host_memory(), '<=', 32 << 20, 'up to its limit';
        ok $s->wait_for_log(qr/plugin "$which" is refused \d+ bytes past wasm_host_memory/), 'which is told';
        $_->close for @clients;
        ok keeps(sub { $_[0] == 0 }), 'all is given back';
    };
}

$s->stop;
done_testing;
