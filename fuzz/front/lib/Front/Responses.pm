package Front::Responses;

# Reads the responses, and checks that each is for its client: bytes that name another request are
# another client's data, or a response that was taken for the next one's.

use strict;
use warnings;

use Exporter 'import';
our @EXPORT_OK = qw(complaints is_complete);

my $TAG = qr/\bid=c(\d+)r(\d+)&/;

# What is wrong with what a connection got.
sub complaints {
    my ($c) = @_;
    # What was broken on its way may name another.
    my @foreign = grep { index($c->{said}, "id=c$_&") < 0 } _foreign($c->{got}, qr/^$c->{number}r/);
    my @found = map { "got what is another connection's: id=c$_" } @foreign;
    push @found, _streams($c) if $c->{http2} && $c->{kind} !~ /mutated/;
    push @found, _pipelined($c) if $c->{clean};
    push @found, 'a response never came, or never ended' if $c->{silent};
    return @found;
}

# Whether all responses of a clean connection are there.
sub is_complete {
    my ($c) = @_;
    return 1 if !$c->{clean};
    my ($responses, $over) = _responses($c);
    return $over || @$responses == @{ $c->{clean} };
}

sub _foreign {
    my ($bytes, $own) = @_;
    my %seen;
    while ($bytes =~ /$TAG/g) { $seen{"$1r$2"} = 1 }
    return grep { $_ !~ $own } sort keys %seen;
}

sub _pipelined {
    my ($c) = @_;
    my ($responses, undef, $wrong) = _responses($c);
    my @found = $wrong ? $wrong : ();
    for my $n (1 .. @$responses) {
        push @found, map { "response $n has what is another's: id=c$_" }
            _foreign($responses->[$n - 1], qr/^$c->{number}r$n$/);
    }
    return @found;
}

# The responses so far; whether no more are to be expected; and what cannot be a response.
sub _responses {
    my ($c) = @_;
    my ($at, @responses) = (0);
    for my $request (@{ $c->{clean} }) {
        my $rest = \substr $c->{got}, $at;
        last if !length $$rest;
        return (\@responses, 1, 'not a response: ' . _shown($$rest)) if $$rest !~ m{\AH(?:TTP/1\.[01] \d{3}|.{0,11}\z)}s;
        my ($head) = $$rest =~ /\A(.*?\r\n)\r\n/s or last;
        my ($status) = $head =~ /\A\S+ (\d+)/;
        # What follows a switch of protocols, or a status of the upstream's that is none, is nobody's to tell.
        return (\@responses, 1) if $status < 200;
        my $size = _size($head, $status, $request, \substr $$rest, length($head) + 2);
        return ([@responses, $$rest], 1) if !defined $size;
        last if $size < 0 || length $$rest < length($head) + 2 + $size;
        push @responses, substr $$rest, 0, length($head) + 2 + $size;
        $at += length $responses[-1];
        return (\@responses, 1) if $head =~ /^connection: close/mi;
    }
    my $left = substr $c->{got}, $at;
    if (@responses == @{ $c->{clean} } && length $left) {
        return (\@responses, 1, 'more than there are requests: ' . _shown($left));
    }
    return (\@responses, 0);
}

# Bytes of a body; less than 0 where they are not all there, none where it ends with the connection.
sub _size {
    my ($head, $status, $request, $rest) = @_;
    return 0 if $request->{method} eq 'HEAD' || $status =~ /^(?:204|304)$/;
    return _chunked($rest) if $head =~ /^transfer-encoding: chunked/mi;
    return $1 if $head =~ /^content-length: (\d+)/mi;
    return undef;
}

sub _chunked {
    my ($bytes) = @_;
    my $at = 0;
    while (1) {
        pos($$bytes) = $at;
        $$bytes =~ /\G([0-9a-f]+)\r\n/gi or return -1;
        my $size = hex $1;
        $at = pos($$bytes) + $size + 2;
        next if $size;
        pos($$bytes) = $at - 2;
        return $$bytes =~ /\G(?:[^\r\n]+\r\n)*\r\n/g ? pos $$bytes : -1;
    }
}

sub _streams {
    my ($c) = @_;
    my ($at, %data) = (0);
    while ($at + 9 <= length $c->{got}) {
        my ($high, $low, $type, undef, $stream) = unpack 'CnCCN', substr $c->{got}, $at, 9;
        my $size = $high << 16 | $low;
        $data{$stream} .= substr $c->{got}, $at + 9, $size if $type == 0 && $at + 9 <= length $c->{got};
        $at += 9 + $size;
    }
    return map {
        my $stream = $_;
        map { "stream $stream has what is another's: id=c$_" } _foreign($data{$stream}, qr/^$c->{number}r$stream$/);
    } sort keys %data;
}

sub _shown {
    my ($bytes) = @_;
    (my $shown = substr $bytes, 0, 120) =~ s/([^ -~])/sprintf '\x%02x', ord $1/ge;
    return $shown;
}

1;
