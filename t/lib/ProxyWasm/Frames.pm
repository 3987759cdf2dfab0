package ProxyWasm::Frames;

# Lists the frames of an HTTP/2 response's stream, which curl does not show.
#
#     frames_of($port, 'GET', '/t')    # [['HEADERS', ''], ['DATA', 'END_STREAM']]

use strict;
use warnings;

use ProxyWasm::Client qw(connect_to);

use Exporter 'import';
our @EXPORT_OK = qw(frames_of);

my %name = (0 => 'DATA', 1 => 'HEADERS', 3 => 'RST_STREAM');
my ($SETTINGS, $ACK, $HEADERS, $END_STREAM, $END_HEADERS) = (4, 1, 1, 1, 4);

sub frame {
    my ($type, $flags, $stream, $payload) = @_;
    return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $stream) . $payload;
}

# A field as a literal that no table has, RFC 7541 6.2.2.
sub field { return "\0" . join '', map { chr(length) . $_ } @_ }

sub read_exactly {
    my ($socket, $size) = @_;
    my $bytes = '';
    while (length $bytes < $size) {
        my $got = sysread $socket, $bytes, $size - length $bytes, length $bytes;
        die "the server closed the connection\n" if !$got;
    }
    return $bytes;
}

sub frames_of {
    my ($port, $method, $path) = @_;
    my $socket = connect_to('127.0.0.1', $port);
    my $fields = join '', map { field(@$_) } [':method', $method], [':scheme', 'http'], [':path', $path],
        [':authority', 'localhost'], ['te', 'trailers'];
    my $request = frame($SETTINGS, 0, 0, '') . frame($HEADERS, $END_STREAM | $END_HEADERS, 1, $fields);
    syswrite $socket, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n$request";
    local $SIG{ALRM} = sub { die "the stream does not end\n" };
    alarm 10;
    my @frames;
    while (1) {
        my ($size, $type, $flags, $stream) = unpack 'a3CCN', read_exactly($socket, 9);
        read_exactly($socket, unpack 'N', "\0$size");
        syswrite $socket, frame($SETTINGS, $ACK, 0, '') if $type == $SETTINGS && !($flags & $ACK);
        next if $stream != 1 || !$name{$type};
        push @frames, [$name{$type}, $type < 3 && $flags & $END_STREAM ? 'END_STREAM' : ''];
        last if $type == 3 || $frames[-1][1];
    }
    alarm 0;
    return \@frames;
}

1;
