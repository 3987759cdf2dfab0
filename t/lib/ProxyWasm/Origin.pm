package ProxyWasm::Origin;

# A server to which a suite proxies, and whose part the suite itself plays: it accepts a connection,
# reads what has come so far, and answers when it likes. So a suite can say in which order client and
# server see the parts of a message.

use strict;
use warnings;
use IO::Socket::INET;
use IO::Select;
use Time::HiRes qw(time);
use ProxyWasm::Settings ();

sub new {
    my ($class) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64, ReuseAddr => 1) or die "listen: $!";
    return bless { listener => $listener }, $class;
}

sub port { $_[0]{listener}->sockport }

# The next connection; nothing if none comes.
sub accept {
    my ($self) = @_;
    return if !IO::Select->new($self->{listener})->can_read(10 * $ProxyWasm::Settings::Patience);
    my $sock = $self->{listener}->accept or die "accept: $!";
    return bless { sock => $sock, in => '' }, 'ProxyWasm::Origin::Connection';
}

# Whether nobody has connected.
sub is_idle { return !IO::Select->new($_[0]{listener})->can_read(0) }

package ProxyWasm::Origin::Connection;

# Reads until what has come matches, takes that, and returns what the first group has, or all of it;
# nothing if the connection ends before.
sub read_until {
    my ($self, $pattern) = @_;
    my $deadline = Time::HiRes::time + 10 * $ProxyWasm::Settings::Patience;
    while ($self->{in} !~ $pattern) {
        my $left = $deadline - Time::HiRes::time;
        return if $left <= 0 || !IO::Select->new($self->{sock})->can_read($left);
        sysread($self->{sock}, $self->{in}, 65536, length $self->{in}) or return;
    }
    $self->{in} =~ $pattern or return;
    my ($all, $part, $start) = ($&, $1, $-[0]);
    substr($self->{in}, $start, length $all) = '';
    return $part // $all;
}

sub read_head { return $_[0]->read_until(qr/\A.*?\r\n\r\n/s) }

# A chunk; '' at the end of the body.
sub read_chunk {
    my ($self) = @_;
    my $size = $self->read_until(qr/\A([0-9a-f]+)\r\n/) // return;
    my $bytes = $self->read_bytes(hex $size);
    $self->read_bytes(2);
    return $bytes;
}

# All chunks that are left.
sub read_chunks {
    my ($self) = @_;
    my ($all, $chunk) = ('');
    $all .= $chunk while defined($chunk = $self->read_chunk) && length $chunk;
    return defined $chunk ? $all : undef;
}

sub read_bytes {
    my ($self, $length) = @_;
    return $self->read_until(qr/\A.{$length}/s) if $length < 30_000;
    my $deadline = Time::HiRes::time + 10 * $ProxyWasm::Settings::Patience;
    while (length $self->{in} < $length) {
        my $left = $deadline - Time::HiRes::time;
        return if $left <= 0 || !IO::Select->new($self->{sock})->can_read($left);
        sysread($self->{sock}, $self->{in}, 65536, length $self->{in}) or return;
    }
    return substr $self->{in}, 0, $length, '';
}

# Whether the connection has ended, and nothing has come that was not read.
sub is_closed {
    my ($self) = @_;
    return !defined $self->read_until(qr/./s) && !length $self->{in};
}

sub send {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    return defined syswrite $self->{sock}, $bytes;
}

# Sends a whole response. The connection stays open.
sub respond {
    my ($self, $body, $status) = @_;
    return $self->send("HTTP/1.1 " . ($status // '200 OK') . "\r\nContent-Length: " . length($body) . "\r\n\r\n$body");
}

sub close { close $_[0]{sock} }

1;
