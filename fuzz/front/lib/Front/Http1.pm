package Front::Http1;

# Makes connections that speak HTTP/1, correctly or not.

use strict;
use warnings;
use Front::Request qw(any request);

my %KINDS = (
    pipeline => 5, alone => 3, slow => 2, leaves => 4, cut => 3, mutated => 3, deaf => 2, half => 2, odd => 4, chunks => 3,
    expects => 1, upgrades => 1,
);
my @KINDS = map { ($_) x $KINDS{$_} } sort keys %KINDS;

# {kind, steps, clean => [requests] if every response can be told from the next}
sub connection {
    my (%o) = @_;
    my $kind = any(@KINDS);
    no strict 'refs';
    return { kind => "HTTP/1 $kind", %{ &{"_$kind"}(\%o) } };
}

sub _requests {
    my ($o, $n) = @_;
    return map { request(%$o, id => "c$o->{number}r$_") } 1 .. $n;
}

sub _wire {
    my ($request, %o) = @_;
    my $version = $o{version} // 'HTTP/1.1';
    my @fields = (['Host', 'front.example'], @{ $request->{fields} });
    my $body = $request->{body};
    if (defined $body && $o{chunked}) {
        push @fields, ['Transfer-Encoding', 'chunked'];
        $body = chunked($body);
    }
    elsif (defined $body) {
        push @fields, ['Content-Length', length $body];
    }
    push @fields, ['Connection', $o{connection}] if $o{connection};
    push @fields, @{ $o{fields} || [] };
    return join '', "$request->{method} $request->{uri} $version\r\n", (map { "$_->[0]: $_->[1]\r\n" } @fields), "\r\n", $body // '';
}

sub chunked {
    my ($body) = @_;
    my $chunks = '';
    while (length $body) {
        my $piece = substr $body, 0, any(1, 7, 1000, 70_000), '';
        $chunks .= sprintf "%x\r\n%s\r\n", length $piece, $piece;
    }
    return $chunks . "0\r\n" . any('', '', "X-Trailer: t\r\n") . "\r\n";
}

# A stream of requests, in pieces of any size, with or without time between.
sub _pieces {
    my ($bytes, $longest) = @_;
    my @steps;
    while (length $bytes) {
        push @steps, ['send', substr $bytes, 0, 1 + int rand any(3, 50, 2000, 70_000), ''];
        push @steps, ['wait', rand $longest] if rand() < 0.3 && @steps < 60;
    }
    return @steps;
}

sub _pipeline {
    my ($o) = @_;
    my @requests = _requests($o, 2 + int rand 5);
    my $bytes = join '', map { _wire($_, chunked => rand() < 0.3) } @requests;
    return { steps => [rand() < 0.5 ? ['send', $bytes] : _pieces($bytes, 0.03)], clean => \@requests };
}

sub _alone {
    my ($o) = @_;
    my ($request) = _requests($o, 1);
    my @how = any([], [connection => 'close'], [version => 'HTTP/1.0'], [version => 'HTTP/1.0', connection => 'keep-alive']);
    return { steps => [['send', _wire($request, @{ $how[0] })]], clean => [$request] };
}

sub _slow {
    my ($o) = @_;
    my ($request) = _requests($o, 1);
    return { steps => [_pieces(_wire($request), 0.2)] };
}

sub _leaves {
    my ($o) = @_;
    my $bytes = join '', map { _wire($_) } _requests($o, 1 + int rand 3);
    return { steps => [['send', $bytes], ['wait', any(0, 0.005, 0.05, 0.15, 0.35)], [any(qw(reset close))]] };
}

sub _cut {
    my ($o) = @_;
    my $bytes = join '', map { _wire($_, chunked => rand() < 0.5) } _requests($o, 1 + int rand 2);
    my $part = substr $bytes, 0, int rand length $bytes;
    return { steps => [['send', $part], ['wait', any(0, 0.01, 0.1)], [any(qw(reset close shut))]] };
}

sub _half {
    my ($o) = @_;
    my $bytes = join '', map { _wire($_) } _requests($o, 1 + int rand 2);
    return { steps => [['send', $bytes], ['wait', any(0, 0.01, 0.1)], ['shut']] };
}

sub _mutated {
    my ($o) = @_;
    my $bytes = join '', map { _wire($_, chunked => rand() < 0.5) } _requests($o, 1 + int rand 3);
    return { steps => [['send', mutate($bytes)]] };
}

# Does not take what it asked for, then does, or leaves.
sub _deaf {
    my ($o) = @_;
    my $bytes = join '', map { _wire($_) } _requests($o, 1 + int rand 4);
    return { small => 1, steps => [
        ['deaf'], ['send', $bytes], ['wait', any(0.1, 0.5, 1.5)], any(['hear'], ['reset'], ['close']), ['wait', 0.01],
    ] };
}

sub _chunks {
    my ($o) = @_;
    my ($request) = _requests($o, 1);
    my $head = "POST $request->{uri} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    my $wrong = _chunks_wrong("id=$request->{id}&" x any(0, 1, 100));
    return { steps => [_pieces($head . $wrong, 0.05), any(['wait', 0.01], ['shut'], ['reset'])] };
}

sub _chunks_wrong {
    my ($body) = @_;
    my $chunks = chunked($body);
    return any(
        mutate($chunks), "zz\r\nx\r\n0\r\n\r\n", "ffffffffffffffff\r\nx", "5\r\nabc", "5;a=b\r\nabcde\r\n0\r\n\r\n", "0\r\n",
        "-1\r\n\r\n", "3\nabc\n0\n\n", "00000000000000000005\r\nabcde\r\n0\r\n\r\n",
    );
}

sub _expects {
    my ($o) = @_;
    my ($request) = _requests($o, 1);
    @$request{qw(method body)} = ('POST', 'x' x 500);
    my $bytes = _wire($request, fields => [['Expect', any('100-continue', '100-Continue', 'other')]]);
    my $head = substr $bytes, 0, length($bytes) - 500, '';
    return { steps => [['send', $head], ['wait', any(0, 0.05, 0.4)], any(['send', $bytes], ['reset'], ['shut'], ['send', 'x'])] };
}

sub _upgrades {
    my ($o) = @_;
    my ($request) = _requests($o, 1);
    my $fields = any(
        [['Upgrade', 'websocket']], [['Upgrade', 'h2c'], ['HTTP2-Settings', 'AAMAAABkAAQAAP__']], [['Upgrade', "TLS/1.0"]]);
    return { steps => [
        ['send', _wire($request, connection => 'Upgrade', fields => $fields)], ['send', "\x81\x05hello"], ['wait', 0.05],
        any(['reset'], ['shut'], ['wait', 0.1]),
    ] };
}

sub _odd {
    my ($o) = @_;
    my ($request) = _requests($o, 1);
    my $uri = $request->{uri};
    my $wire = _wire($request);
    my @odd = (
        "GET / HTTP/1.1\r\n\r\n", "CONNECT front.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        "TRACE $uri HTTP/1.1\r\nHost: x\r\n\r\n", "GET $uri HTTP/3.7\r\nHost: x\r\n\r\n", "GET $uri HTTP/1.1\nHost: x\n\n",
        "GET http://other.example$uri HTTP/1.1\r\nHost: x\r\n\r\n", "get $uri HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" . 'x' x 200, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
        "GET $uri" . 'x' x 40_000 . " HTTP/1.1\r\nHost: x\r\n\r\n", "POST $uri HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "GET $uri HTTP/1.1\r\nHost: x\r\n" . join('', map { "X-$_: y\r\n" } 1 .. 900) . "\r\n",
        "GET $uri HTTP/1.1\r\nHost: x\r\nX-Large: " . 'x' x 40_000 . "\r\n\r\n", "GET $uri HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "POST $uri HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST $uri HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST $uri HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", "GET $uri HTTP/1.1\r\n: x\r\nHost: x\r\n\r\n",
        "GET $uri HTTP/1.1\r\nHost: x\r\nA\0B: c\r\n\r\n", "GET $uri HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n", "\r\n\r\n$wire",
        "POST $uri HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\nabc", "$wire\0\0\0", "GET $uri#x HTTP/1.1\r\n\r\n",
        "GET  $uri  HTTP/1.1 \r\nHost: x\r\n\r\n", "GET $uri HTTP/1.1\r\nHost: [::1\r\n\r\n", "GET /../../etc HTTP/1.0\r\n\r\n",
    );
    push @odd, ("GET $uri\r\n") x 6 if !$o->{without}{'0.9'};
    return { steps => [['send', any(@odd)]] };
}

# Bytes that are not quite those.
sub mutate {
    my ($bytes) = @_;
    for (1 .. 1 + int rand 4) {
        my $at = int rand length($bytes) || 0;
        my $kind = int rand 5;
        if    ($kind == 0) { substr $bytes, $at, 1, chr int rand 256 }
        elsif ($kind == 1) { substr $bytes, $at, 0, any("\r\n", "\n", "\r", "\0", ' ', ':', "\xff", '%00', '0') }
        elsif ($kind == 2) { substr $bytes, $at, 1 + int rand 20, '' }
        elsif ($kind == 3) { substr $bytes, $at, 0, substr $bytes, int rand length($bytes) || 0, 1 + int rand 100 }
        else               { substr $bytes, $at, length $bytes, '' }
        last if $bytes eq '';
    }
    return $bytes;
}

1;
