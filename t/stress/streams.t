# Many uploads at once that stream through a plugin which changes each piece: random sizes, in chunks and
# with lengths, some reset. What is not reset arrives whole and comes back, memory is bounded, nothing is
# left. And a large upload takes no memory.
#
# TEST_NGINX_STREAMS is the number of streams, TEST_NGINX_UPLOAD the size of the large upload in MB.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Collector;
use ProxyWasm::Settings ();
use Digest::MD5;
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time);

my $streams = $ENV{TEST_NGINX_STREAMS} || 60;
my $upload  = ($ENV{TEST_NGINX_UPLOAD} || 24) << 20;
$SIG{PIPE} = 'IGNORE';

my $collector = ProxyWasm::Collector->start;
my $port      = $collector->port;
my $s = start_nginx(
    worker_connections => 8192,
    log_level          => 'warn',
    main_config        => 'worker_rlimit_nofile 20000;',
    http_config        => 'wasm_plugin scripted $TEST_NGINX_PLUGINS/hostcalls.wasm; wasm_plugin go $TEST_NGINX_PLUGINS/go-streams.wasm;
        wasm_plugin rust $TEST_NGINX_PLUGINS/rust-streams.wasm;
        wasm_plugin upper $TEST_NGINX_PLUGINS/c-upper.wasm;',
    config             => <<"E",
        proxy_http_version 1.1; proxy_request_buffering off;
        location = /counts { client_max_body_size 0; proxy_wasm rust '{}'; proxy_wasm go '{}'; proxy_pass http://127.0.0.1:$port; }
        location = /upper { client_max_body_size 0; proxy_wasm upper; proxy_pass http://127.0.0.1:$port; }
        location = /changes {
            client_max_body_size 0;
            proxy_wasm scripted '{
                "on_request_body": [{"if": ["eq", "\${body_size}", "0"], "then": [], "else": [{"op": "set_buffer_bytes", "args": ["request_body", "<", 0, 0], "quiet": true}]}],
                "on_response_body": [{"if": ["eq", "\${body_size}", "0"], "then": [], "else": [{"op": "set_buffer_bytes", "args": ["response_body", ">", 0, 0], "quiet": true}]}]
            }';
            proxy_pass http://127.0.0.1:$port;
        }
        location = /status { proxy_wasm off; wasm_status; }
E
);
my ($worker) = $s->worker_pids;

# The memory of the worker that is its own, in KB.
sub memory {
    open my $in, '<', "/proc/$worker/smaps_rollup" or return 0;
    my ($private) = map { /^Private_Dirty:\s+(\d+)/ ? $1 : () } <$in>;
    return $private;
}

sub stream {
    my ($path, $length, $breaks_at) = @_;
    my $sock = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $s->port) or die "connect: $!";
    $sock->blocking(0);
    my $chunked = rand() < 0.5;
    my $framing = $chunked ? 'Transfer-Encoding: chunked' : "Content-Length: $length";
    return {
        sock => $sock, length => $length, left => $length, breaks_at => $breaks_at, in => '', sent => 0, chunked => $chunked,
        md5 => Digest::MD5->new, body => '', is_upper => $path eq '/upper',
        out => "POST $path HTTP/1.1\r\nHost: x\r\n$framing\r\nConnection: close\r\n\r\n",
    };
}

my $letters = join '', map { chr(ord('a') + $_ % 23) } 0 .. 50_000;

sub fill {
    my ($stream) = @_;
    my $size = 1 + int rand 32_000;
    $size = $stream->{left} if $size > $stream->{left};
    my $bytes = substr $letters, int rand 23, $size;
    $stream->{left} -= $size;
    my $seen = $stream->{is_upper} ? uc $bytes : $bytes;
    $stream->{md5}->add($seen);
    $stream->{body} .= $seen if $stream->{length} <= ProxyWasm::Collector::LARGE;
    $stream->{out} .= !$stream->{chunked} ? $bytes : $size ? sprintf("%x\r\n%s\r\n", $size, $bytes) : '';
    $stream->{out} .= "0\r\n\r\n" if $stream->{chunked} && !$stream->{left};
    $stream->{filled} = !$stream->{left};
}

# Whether the response of a stream that was not reset is right.
sub is_right {
    my ($stream) = @_;
    my ($head, $body) = split /\r\n\r\n/, $stream->{in}, 2;
    $body //= '';
    if ($head =~ /Transfer-Encoding: chunked/i) {
        my ($rest, $whole) = ($body, '');
        while ($rest =~ s/\A([0-9a-f]+)\r\n//i && hex $1) {
            $whole .= substr $rest, 0, hex $1, '';
            $rest =~ s/\A\r\n//;
        }
        $body = $whole;
    }
    $body =~ tr/<>//d;
    my $expected = $stream->{length} > ProxyWasm::Collector::LARGE
        ? "$stream->{length} " . $stream->{md5}->hexdigest : $stream->{body};
    $expected = uc $expected if $stream->{is_upper};
    return $head =~ m{\AHTTP/1.1 200 } && $body eq $expected;
}

# Carries streams, so many at once. Returns how many went wrong.
sub carry {
    my ($at_once, @todo) = @_;
    my ($readers, $writers, %running) = (IO::Select->new, IO::Select->new);
    my ($wrong, $deadline) = (0, time + 300 * $ProxyWasm::Settings::Patience);
    my $end = sub {
        my ($stream) = @_;
        $readers->remove($stream->{sock});
        $writers->remove($stream->{sock});
        delete $running{ fileno $stream->{sock} };
        close $stream->{sock};
        $wrong++ if !defined $stream->{breaks_at} && !is_right($stream);
    };
    while ((@todo || %running) && time < $deadline) {
        while (@todo && keys %running < $at_once) {
            my $stream = stream(shift(@todo)->@*);
            $running{ fileno $stream->{sock} } = $stream;
            $_->add($stream->{sock}) for $readers, $writers;
        }
        my ($ready, $writable) = IO::Select->select($readers, $writers, undef, 1);
        for my $sock (@{ $ready // [] }) {
            my $stream = $running{ fileno $sock } or next;
            my $got = sysread $sock, $stream->{in}, 65536, length $stream->{in};
            $end->($stream) if !$got && !(!defined $got && $!{EAGAIN});
        }
        for my $sock (@{ $writable // [] }) {
            my $stream = defined fileno $sock && $running{ fileno $sock } or next;
            fill($stream) if !length $stream->{out} && !$stream->{filled};
            if (!length $stream->{out}) { $writers->remove($sock); next }
            my $put = syswrite $sock, $stream->{out};
            if (!defined $put) { $writers->remove($sock) if !$!{EAGAIN}; next }
            $stream->{sent} += $put;
            substr $stream->{out}, 0, $put, '';
            $end->($stream) if defined $stream->{breaks_at} && $stream->{sent} >= $stream->{breaks_at};
        }
    }
    return $wrong + keys(%running) + @todo;
}

sub left { return $s->get('/status')->{body} =~ /"http_contexts": ?(\d+)/ ? $1 : () }

srand($ENV{TEST_NGINX_SEED} // 1);
for my $path ('/counts', '/changes', '/upper') {
    is carry(1, [$path, 5 << 20]), 0, "$path: an upload";
    my $before = memory();
    is carry(1, [$path, $upload]), 0, "$path: a large one";
    cmp_ok memory() - $before, '<', 12 << 10, "$path: takes no memory for it" or diag memory() . " KB, before $before";
}

my @some = map { my $length = int rand() ** 3 * 400_000; ['/changes', $length, rand() < 0.2 ? int rand $length + 100 : undef] } 1 .. $streams;
my $before = memory();
is carry($streams, @some), 0, "$streams streams at once, some reset: the others are whole";
cmp_ok memory() - $before, '<', 20_000 + 1200 * $streams, 'with bounded memory' or diag memory() . " KB, before $before";
my $deadline = time + 30 * $ProxyWasm::Settings::Patience;
select undef, undef, undef, 0.02 while left() && time < $deadline;
is left(), 0, 'no context is left';
$s->stop(allow => [qr/\[(?:error|warn)\]/]);
done_testing;
