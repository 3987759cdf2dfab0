package ProxyWasm::Mock;

# The scripted servers of a block: tcp_listen and udp_listen answer one client with
# tcp_reply / udp_reply and keep what it sent for tcp_query / udp_query. Each is a
# child process that listens before it is forked, so nothing waits for it.

use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Time::HiRes qw(sleep);
use ProxyWasm::Settings ();

my %running;

# A mock for $kind ('tcp' or 'udp') if the block asks for one.
sub start {
    my ($class, $kind, $block, $parse_time) = @_;
    my $listen = $block->${ \"${kind}_listen" };
    return if !defined $listen;
    my $reply = $block->${ \"${kind}_reply" };
    die "${kind}_listen without ${kind}_reply\n"
        if !defined $reply && !defined $block->tcp_shutdown;

    my $self = bless {
        kind  => $kind,
        reply => $reply,
        query => ProxyWasm::Settings::server_root() . "/logs/$kind.query",
        delay => $parse_time->($block->${ \"${kind}_reply_delay" }),
        block => $block,
    }, $class;
    unlink $self->{query};
    my $sock = $self->_listen($listen);

    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM __DIE__);
        my $ok = eval { $kind eq 'tcp' ? $self->_serve_tcp($sock) : $self->_serve_udp($sock); 1 };
        print STDERR "# $kind mock: $@" if !$ok;
        POSIX::_exit($ok ? 0 : 1);
    }
    close $sock;
    $self->{pid} = $pid;
    $running{$pid} = 1;
    return $self;
}

# What the client sent, as far as it has come; '' if it has not.
sub query {
    my ($self) = @_;
    open my $in, '<', $self->{query} or return '';
    binmode $in;
    local $/;
    return scalar(<$in>) // '';
}

sub stop {
    my ($self) = @_;
    kill 'KILL', $self->{pid};
    waitpid $self->{pid}, 0;
    delete $running{ $self->{pid} };
    unlink $self->{unix} if $self->{unix};
}

sub _listen {
    my ($self, $target) = @_;
    my $tcp = $self->{kind} eq 'tcp';
    my $sock;
    if ($target =~ /^\d+$/) {
        $sock = IO::Socket::INET->new(
            LocalHost => '127.0.0.1', LocalPort => $target, Proto => $self->{kind},
            ReuseAddr => 1, ($tcp ? (Listen => 5) : ()));
    }
    elsif ($target =~ /\.sock$/) {
        unlink $target;
        $sock = IO::Socket::UNIX->new(
            Local => $target, Type => $tcp ? SOCK_STREAM : SOCK_DGRAM, ($tcp ? (Listen => 5) : ()));
        $self->{unix} = $target;
    }
    else {
        die "$self->{kind}_listen: a port or a path ending in .sock expected, not $target\n";
    }
    return $sock || die "$self->{kind}_listen $target: $!\n";
}

sub _serve_tcp {
    my ($self, $sock) = @_;
    my $block = $self->{block};
    my $want  = $block->tcp_query_len // length($block->tcp_query // '');
    my $client;
    1 until $client = $sock->accept;

    my $how = $block->tcp_shutdown;
    if (defined $how) {
        sleep $block->tcp_shutdown_delay if $block->tcp_shutdown_delay;
        $client->shutdown($how);
    }

    my $got = '';
    if (!defined $how || $how == 1) {
        # One read when nothing says how much is to come.
        while (1) {
            my $n = sysread $client, $got, 65536, length $got;
            die "read: $!\n" if !defined $n;
            $self->_keep($got);
            last if !$n || length $got >= ($want || 1);
        }
    }
    sleep $self->{delay} if $self->{delay};
    if (!defined $how || $how == 0) {
        local $SIG{PIPE} = 'IGNORE';
        syswrite_all($client, $_) for $self->_replies($got);
    }
    sleep 1 while defined $block->tcp_no_close;
    close $client;
}

sub _serve_udp {
    my ($self, $sock) = @_;
    my $got  = '';
    my $from = $sock->recv($got, 65536);
    $self->_keep($got);
    sleep $self->{delay} if $self->{delay};
    $sock->send($_, 0, $from) for $self->_replies($got);
}

sub _replies {
    my ($self, $got) = @_;
    my $reply = $self->{reply};
    $reply = $reply->($got) if ref $reply eq 'CODE';
    return ref $reply eq 'ARRAY' ? @$reply : defined $reply ? $reply : ();
}

# Written at once, so that the test sees a query whose client still waits.
sub _keep {
    my ($self, $bytes) = @_;
    open my $out, '>', "$self->{query}.part" or die "$self->{query}: $!\n";
    binmode $out;
    print {$out} $bytes;
    close $out;
    rename "$self->{query}.part", $self->{query};
}

sub syswrite_all {
    my ($sock, $bytes) = @_;
    while (length $bytes) {
        my $n = syswrite $sock, $bytes;
        return if !defined $n;
        substr $bytes, 0, $n, '';
    }
}

my $owner = $$;

END {
    if ($$ == $owner) {
        kill 'KILL', $_ for keys %running;
    }
}

1;
