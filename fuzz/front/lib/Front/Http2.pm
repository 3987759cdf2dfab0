package Front::Http2;

# Makes connections that speak HTTP/2. It writes the frames by itself, because many must be wrong.

use strict;
use warnings;
use Front::Http1 ();
use Front::Request qw(any request);

use constant { DATA => 0, HEADERS => 1, PRIORITY => 2, RST_STREAM => 3, SETTINGS => 4, PUSH => 5, PING => 6, GOAWAY => 7,
    WINDOW_UPDATE => 8, CONTINUATION => 9 };
use constant { END_STREAM => 1, END_HEADERS => 4, PADDED => 8, WITH_PRIORITY => 32 };
use constant PREFACE => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

my %KINDS = (streams => 6, resets => 8, starved => 4, flood => 3, noise => 2, mutated => 3, leaves => 4, half => 2, odd => 2, deaf => 2);
my @KINDS = map { ($_) x $KINDS{$_} } sort keys %KINDS;

# {kind, steps, http2 => 1}
sub connection {
    my (%o) = @_;
    my $kind = any(@KINDS);
    no strict 'refs';
    return { kind => "HTTP/2 $kind", http2 => 1, %{ &{"_$kind"}(\%o) } };
}

sub frame {
    my ($type, $flags, $stream, $payload) = @_;
    return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $stream) . $payload;
}

sub _settings { return frame(SETTINGS, 0, 0, join '', map { pack 'nN', @$_ } @_) }

sub _start { return ['send', PREFACE . _settings(@_) . frame(WINDOW_UPDATE, 0, 0, pack 'N', 0x3fffffff)] }

# A literal that is not indexed, without Huffman.
sub _literal { return "\0" . join '', map { _integer(length) . $_ } @_ }

sub _integer {
    my ($n) = @_;
    return chr $n if $n < 127;
    my $bytes = "\x7f";
    for ($n -= 127; $n >= 128; $n >>= 7) { $bytes .= chr(128 | $n & 127) }
    return $bytes . chr $n;
}

sub _block {
    my ($request) = @_;
    my @fields = ([':method', $request->{method}], [':scheme', 'http'], [':path', $request->{uri}], [':authority', 'front.example']);
    @fields = reverse @fields if rand() < 0.05;
    splice @fields, rand @fields, 1 if rand() < 0.03;
    push @fields, @{ $request->{fields} };
    push @fields, ['content-length', length $request->{body}] if defined $request->{body} && rand() < 0.6;
    return join '', map { _literal(@$_) } @fields;
}

# HEADERS, with or without CONTINUATION, padding and priority.
sub _headers {
    my ($stream, $block, $end) = @_;
    my ($flags, $before, $after) = ($end, '', '');
    ($flags, $before, $after) = ($flags | PADDED, chr 5, "\0" x 5) if rand() < 0.1;
    ($flags, $before) = ($flags | WITH_PRIORITY, $before . pack 'NC', any(0, 1, $stream + 2), int rand 256) if rand() < 0.1;
    return frame(HEADERS, $flags | END_HEADERS, $stream, $before . $block . $after) if rand() < 0.8;
    my $rest = substr $block, int rand length $block, length $block, '';
    my $frames = frame(HEADERS, $flags, $stream, $before . $block . $after);
    while (length $rest > 5 && rand() < 0.5) {
        $frames .= frame(CONTINUATION, 0, $stream, substr $rest, 0, int rand length $rest, '');
    }
    return $frames . frame(CONTINUATION, END_HEADERS, $stream, $rest);
}

# The steps of one request. Its number is the stream's, so that each response can be told.
sub _stream {
    my ($o, $stream) = @_;
    my $request = request(%$o, id => "c$o->{number}r$stream");
    my $body = $request->{body};
    my @steps = ['send', _headers($stream, _block($request), defined $body ? 0 : END_STREAM)];
    return @steps if !defined $body;
    do {
        push @steps, ['wait', rand 0.05] if rand() < 0.3;
        my $piece = substr $body, 0, any(1, 500, 16384), '';
        my $end = length $body || rand() < 0.1 ? 0 : END_STREAM;
        push @steps, ['send', frame(DATA, $end, $stream, $piece)];
    } while (length $body && @steps < 40);
    # Left open, or ended by trailers.
    push @steps, ['send', _headers($stream, _literal('x-trailer', 't'), END_STREAM)] if rand() < 0.1;
    return @steps;
}

# Several lists of steps as one, each in its order.
sub _woven {
    my (@lists) = grep { @$_ } @_;
    my @steps;
    while (@lists) {
        my $list = any(@lists);
        push @steps, shift @$list;
        @lists = grep { @$_ } @lists;
    }
    return @steps;
}

sub _some {
    my ($o, $most) = @_;
    return map { [_stream($o, 2 * $_ - 1)] } 1 .. 1 + int rand $most;
}

# Streams have to be opened in their order.
sub _opened {
    my (@streams) = @_;
    return ((map { shift @$_ } @streams), _woven(@streams));
}

sub _streams {
    my ($o) = @_;
    return { steps => [_start([4, 0x100000]), _opened(_some($o, 8))] };
}

# Each stream is reset somewhere on its way.
sub _resets {
    my ($o) = @_;
    my @streams = _some($o, 12);
    my @resets = map {
        [['wait', any(0, 0, 0.001, 0.02, 0.08, 0.3)], ['send', frame(RST_STREAM, 0, 2 * $_ - 1, pack 'N', any(0, 1, 5, 8))]]
    } grep { rand() < 0.8 } 1 .. @streams;
    my @steps = rand() < 0.5 ? (_opened(@streams), _woven(@resets)) : map { (@$_, @{ shift(@resets) || [] }) } @streams;
    return { steps => [_start([4, any(0, 100, 65535, 0x100000)]), @steps] };
}

# No window, then a little, or none.
sub _starved {
    my ($o) = @_;
    my @streams = _some($o, 5);
    my $ids = @streams;
    my @windows = map {
        [map { ['send', frame(WINDOW_UPDATE, 0, $_, pack 'N', any(1, 10, 5000, 0x7fffffff, 0))], ['wait', rand 0.1] } 1 .. rand 4]
    } map { 2 * $_ - 1 } 1 .. $ids;
    my $end = any(['send', _settings([4, 0xfffff])], ['reset'], ['close'], ['wait', 1.5], ['send', frame(GOAWAY, 0, 0, pack 'NN', 0, 0)]);
    return { steps => [['send', PREFACE . _settings([4, any(0, 1, 20)])], _opened(@streams), _woven(@windows), $end] };
}

sub _flood {
    my ($o) = @_;
    my $n = any(10, 100, 1500);
    my @flood = (
        frame(PING, 0, 0, '12345678') x $n, _settings([3, 100]) x $n, frame(PRIORITY, 0, 1, pack 'NC', 3, 1) x $n,
        frame(DATA, 0, 1, '') x $n, frame(WINDOW_UPDATE, 0, 1, pack 'N', 1) x $n, frame(RST_STREAM, 0, 1, pack 'N', 8) x $n,
        frame(SETTINGS, 1, 0, '') x $n, frame(HEADERS, 0, 1, _literal('a', 'b')) . frame(CONTINUATION, 0, 1, _literal('a', 'b')) x $n,
        frame(HEADERS, 0, 1, '') . frame(CONTINUATION, 0, 1, '') x $n, frame(GOAWAY, 0, 0, pack 'NN', 0, 0) x $n,
        join('', map { frame(HEADERS, 5, 2 * $_ + 1, _literal(':method', 'GET')) } 100 .. 100 + $n),
        join('', map { frame(PRIORITY, 0, 2 * $_ + 1, pack 'NC', 2 * $_ - 1, 1) } 100 .. 100 + $n),
        join('', map { frame(PRIORITY, 0, 1, pack 'NC', $_, 1) } 1 .. $n),
    );
    my @streams = _some($o, 2);
    return { steps => [_start(), _opened(@streams), ['send', any(@flood)], ['wait', 0.02], any(['reset'], ['wait', 0.1])] };
}

sub _noise {
    my ($o) = @_;
    my @noise = map {
        my $payload = join '', map { chr int rand 256 } 1 .. any(0, 1, 4, 5, 8, 9, 50);
        ['send', frame(int rand 12, int rand 256, any(0, 1, 2, 3, 5, 0x7fffffff, 0x80000001), $payload)];
    } 1 .. 1 + int rand 6;
    return { steps => [_start(), _opened(_some($o, 3)), @noise] };
}

sub _mutated {
    my ($o) = @_;
    my $bytes = join '', map { $_->[0] eq 'send' ? $_->[1] : () } _start(), _opened(_some($o, 3));
    return { steps => [['send', Front::Http1::mutate($bytes)]] };
}

sub _leaves {
    my ($o) = @_;
    return { steps => [_start(), _opened(_some($o, 6)), ['wait', any(0, 0.005, 0.05, 0.2, 0.4)], [any(qw(reset close))]] };
}

sub _half {
    my ($o) = @_;
    return { steps => [_start(), _opened(_some($o, 4)), ['wait', any(0, 0.01, 0.1)], ['shut']] };
}

sub _deaf {
    my ($o) = @_;
    return { small => 1, steps => [
        ['deaf'], _start([4, 0x100000]), _opened(_some($o, 5)), ['wait', any(0.1, 1.5)], any(['hear'], ['reset'], ['close']), ['wait', 0.01],
    ] };
}

sub _odd {
    my ($o) = @_;
    my ($first) = _some($o, 1);
    my $head = $first->[0][1];
    my @odd = (
        [['send', "GET / HTTP/1.1\r\nHost: x\r\n\r\n"]], [['send', PREFACE]], [['send', substr PREFACE, 0, 10], ['shut']],
        [['send', PREFACE . $head]], [_start(), ['send', $head x 2]], [_start([1, 0], [5, 1])], [_start([2, 9])],
        [_start(), ['send', frame(HEADERS, 5, 2, _literal(':method', 'GET'))]],
        [_start(), ['send', frame(PUSH, 4, 1, pack 'N', 2)]], [_start(), ['send', "\xff" x 9]],
        [_start(), ['send', frame(HEADERS, 5, 1, "\x82\x86\x84\xff\xff\xff\xff\xff\xff")]],
        [_start(), ['send', frame(HEADERS, 5, 1, "\x82\x86\x84\x41\x8cx")]], [_start(), ['send', $head], ['send', frame(DATA, 1, 1, 'x' x 100)]],
        [_start(), ['send', $head], ['send', frame(WINDOW_UPDATE, 0, 1, pack 'N', 0x7fffffff) x 2]],
        [_start(), ['send', frame(HEADERS, 5, 1, join '', map { _literal("x-$_", 'y' x 30) } 1 .. 400)]],
    );
    return { steps => any(@odd) };
}

1;
