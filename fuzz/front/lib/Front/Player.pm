package Front::Player;

# Plays connections, many at a time, in one thread. A connection is {number, port, steps, small, clean}; a step is
#
#     ['send', BYTES]   ['wait', SECONDS]   ['shut'] (its half)   ['reset']   ['close']
#     ['deaf'] (takes nothing from here on)   ['hear']
#
# The received bytes are in {got}, the sent bytes in {said}, and {ended} tells whether the server
# closed the connection. After its steps a connection stays until the server closes it or is silent.

use strict;
use warnings;
use Errno qw(EAGAIN EINPROGRESS EINTR EWOULDBLOCK);
use IO::Select;
use Socket qw(PF_INET SOCK_STREAM SOL_SOCKET SO_LINGER SO_RCVBUF inet_aton sockaddr_in SHUT_WR);
use Time::HiRes qw(time);

use constant { AT_ONCE => 48, SILENCE => 0.4, MOST => 4 << 20 };

# A clean connection waits for its responses: they come, or the server hangs.
use constant PATIENCE => 30;

sub play {
    my ($patience, @connections) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my %open;
    while (@connections || %open) {
        while (@connections && keys %open < AT_ONCE) {
            my $c = shift @connections;
            $open{ $c->{number} } = $c if _open($c);
        }
        _turn(\%open, $patience);
        for my $number (keys %open) {
            delete $open{$number} if !$open{$number}{socket};
        }
    }
}

sub _open {
    my ($c) = @_;
    socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
    setsockopt($socket, SOL_SOCKET, SO_RCVBUF, 4096) if $c->{small};
    $socket->blocking(0);
    @$c{qw(socket said got out due deaf at)} = ($socket, '', '', '', 0, 0, time);
    connect($socket, sockaddr_in($c->{port}, inet_aton('127.0.0.1'))) || $!{EINPROGRESS} or die "connect: $!\n";
    return 1;
}

sub _turn {
    my ($open, $patience) = @_;
    my ($reading, $writing, %of) = (IO::Select->new, IO::Select->new);
    my $now = time;
    for my $c (values %$open) {
        _steps($c, $now);
        my $socket = $c->{socket} or next;
        $of{ fileno $socket } = $c;
        $reading->add($socket) if !$c->{deaf};
        $writing->add($socket) if length $c->{out};
    }
    return if !%of;
    my ($readable, $writable) = IO::Select->select($reading, $writing, undef, 0.005);
    _write($of{ fileno $_ }) for @{ $writable || [] };
    for my $socket (@{ $readable || [] }) {
        _read($of{ fileno $socket });
    }
    for my $c (grep { $_->{socket} && !@{ $_->{steps} } && !length $_->{out} } values %of) {
        my $longest = $c->{clean} ? PATIENCE : SILENCE;
        my $complete = $c->{clean} && _is_complete($c);
        next if time - $c->{at} < $longest * $patience && !$complete;
        $c->{silent} = $c->{clean} && !$complete;
        _end($c);
    }
}

# Asked again only when more has come.
sub _is_complete {
    my ($c) = @_;
    my $size = length $c->{got};
    @$c{qw(looked is_complete)} = ($size, $c->{complete}->($c)) if $size != ($c->{looked} // -1);
    return $c->{is_complete};
}

sub _steps {
    my ($c, $now) = @_;
    while ($c->{socket} && @{ $c->{steps} } && !length $c->{out} && $c->{due} <= $now) {
        my ($what, $with) = @{ shift @{ $c->{steps} } };
        $c->{at} = $now;
        if    ($what eq 'send')  { $c->{out} = $with }
        elsif ($what eq 'wait')  { $c->{due} = $now + $with }
        elsif ($what eq 'deaf')  { $c->{deaf} = 1 }
        elsif ($what eq 'hear')  { $c->{deaf} = 0 }
        elsif ($what eq 'shut')  { shutdown $c->{socket}, SHUT_WR }
        elsif ($what eq 'close') { _end($c) }
        elsif ($what eq 'reset') {
            setsockopt $c->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
            _end($c);
        }
    }
}

sub _write {
    my ($c) = @_;
    my $put = syswrite $c->{socket}, $c->{out};
    return if !defined $put && ($!{EAGAIN} || $!{EINTR});
    # The server takes no more: what else was to be said is not.
    if (!defined $put) {
        @$c{qw(out steps)} = ('', []);
        return;
    }
    $c->{said} .= substr $c->{out}, 0, $put, '';
    $c->{at} = time;
}

sub _read {
    my ($c) = @_;
    return if !$c->{socket};
    my $got = sysread $c->{socket}, $c->{got}, 256 << 10, length $c->{got};
    return if !defined $got && ($!{EAGAIN} || $!{EINTR});
    $c->{at} = time;
    $c->{ended} = 1 if !$got;
    _end($c) if !$got || length $c->{got} > MOST;
}

sub _end {
    my ($c) = @_;
    close delete $c->{socket};
    $c->{steps} = [];
}

1;
