package ProxyWasm::Client;

# A raw TCP client: it sends packets as they are, and reads until the server closes.
# ProxyWasm::Response interprets the bytes.

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Errno qw(EAGAIN EINTR);
use Time::HiRes qw(sleep time);

use Exporter 'import';
our @EXPORT_OK = qw(connect_to exchange);

sub connect_to {
    my ($address, $port, $timeout) = @_;
    my $deadline = time + ($timeout || 3);
    while (1) {
        my $sock = IO::Socket::INET->new(
            PeerAddr => $address, PeerPort => $port, Proto => 'tcp', Timeout => $timeout || 3);
        return $sock if $sock;
        die "cannot connect to $address:$port: $!\n" if time > $deadline;
        sleep 0.01;
    }
}

# Sends the packets of $o{packets} and returns {data, timed_out, error}. The timeout
# is for each wait, not for the whole.
sub exchange {
    my (%o) = @_;
    my $sock = connect_to(@o{qw(address port timeout)});
    $sock->blocking(0);
    local $SIG{PIPE} = 'IGNORE';

    my $result = { data => '', timed_out => 0 };
    my @packets = @{ $o{packets} };
    my $out     = shift @packets;
    my $sending = 1;

    while (1) {
        $! = 0;
        my ($readable, $writable) = IO::Select->select(
            IO::Select->new($sock), $sending ? IO::Select->new($sock) : undef,
            undef, $o{timeout});
        if (!$readable) {
            next if $!{EINTR};
            $result->{timed_out} = 1;
            last;
        }
        last if @$readable && !_read($sock, $result);
        next if !@$writable || !$sending;

        if (!_write($sock, \$out, $result)) {
            $sending = 0;    # refused midway; an answer may still be there to read
        }
        elsif (!length $out) {
            if (@packets) {
                sleep $o{middle_delay} if $o{middle_delay};
                $out = shift @packets;
            }
            else {
                $sending = 0;
            }
        }
    }
    close $sock;
    return $result;
}

sub _read {
    my ($sock, $result) = @_;
    my $got = sysread $sock, $result->{data}, 65536, length $result->{data};
    return 1 if $got;
    return 1 if !defined $got && ($!{EAGAIN} || $!{EINTR});
    $result->{error} = "read: $!" if !defined $got;
    return 0;
}

sub _write {
    my ($sock, $out, $result) = @_;
    return 1 if !length $$out;
    my $put = syswrite $sock, $$out;
    if (!defined $put) {
        return 1 if $!{EAGAIN} || $!{EINTR};
        $result->{error} = "write: $!";
        return 0;
    }
    substr $$out, 0, $put, '';
    return 1;
}

1;
