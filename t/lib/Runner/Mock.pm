package Runner::Mock;

# The server of a block with tcp_listen: it answers one client with tcp_reply. It is a child
# process. Its socket listens before the fork, so no test has to wait for it.

use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();

my %running;

# Nothing for a block without one.
sub start {
    my ($class, $block) = @_;
    my $listen = $block->tcp_listen // return;
    my $reply  = $block->tcp_reply  // die "tcp_listen without tcp_reply\n";
    my $socket = _listen($listen);

    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM __DIE__);
        my $client;
        1 until $client = $socket->accept;
        sysread $client, my $asked, 65536;
        syswrite $client, $reply;
        POSIX::_exit(0);
    }
    close $socket;
    $running{$pid} = 1;
    return bless { pid => $pid }, $class;
}

sub stop {
    my ($self) = @_;
    kill 'KILL', $self->{pid};
    waitpid $self->{pid}, 0;
    delete $running{ $self->{pid} };
}

sub _listen {
    my ($target) = @_;
    my $socket
        = $target =~ /^\d+$/
        ? IO::Socket::INET->new(
            LocalHost => '127.0.0.1', LocalPort => $target, ReuseAddr => 1, Listen => 5)
        : IO::Socket::UNIX->new(Local => $target, Type => SOCK_STREAM, Listen => 5);
    return $socket || die "tcp_listen $target: $!\n";
}

my $owner = $$;

END {
    if ($$ == $owner) {
        kill 'KILL', $_ for keys %running;
    }
}

1;
