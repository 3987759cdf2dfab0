package ProxyWasm::Collector;

# A server in a process of its own for many uploads at once. When the end of a body has come, it answers
# with the body, or, if that is larger than 4 MB, with its length and MD5. Of both it leaves out < and >,
# by which a plugin has marked pieces. It leaves a connection that breaks.

use strict;
use warnings;
use Digest::MD5;
use IO::Select;
use IO::Socket::INET;

use constant LARGE => 4 << 20;

sub start {
    my ($class) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1024, ReuseAddr => 1) or die "listen: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM __DIE__);
        $SIG{PIPE} = 'IGNORE';
        serve($listener);
        exit;
    }
    return bless { port => $listener->sockport, pid => $pid, owner => $$ }, $class;
}

sub port { $_[0]{port} }

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};
    local $?;
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
}

sub serve {
    my ($listener) = @_;
    my ($readers, $writers, %peer) = (IO::Select->new($listener), IO::Select->new);
    my $leave = sub { $readers->remove($_[0]); $writers->remove($_[0]); delete $peer{ fileno $_[0] }; close $_[0] };
    while (1) {
        my ($ready, $writable) = IO::Select->select($readers, $writers, undef);
        for my $sock (@$ready) {
            if ($sock == $listener) {
                my $new = $listener->accept or next;
                $new->blocking(0);
                $readers->add($new);
                $peer{ fileno $new } = { in => '', body => '', size => 0, md5 => Digest::MD5->new };
                next;
            }
            my $peer = $peer{ fileno $sock } or next;
            my $got = sysread $sock, $peer->{in}, 262_144, length $peer->{in};
            next if !defined $got && $!{EAGAIN};
            if (!$got) { $leave->($sock); next }
            next if !take($peer);
            $peer->{out} = answer($peer);
            $readers->remove($sock);
            $writers->add($sock);
        }
        for my $sock (@$writable) {
            my $peer = defined fileno $sock && $peer{ fileno $sock } or next;
            my $put = syswrite $sock, $peer->{out};
            if (!defined $put) { $leave->($sock) if !$!{EAGAIN}; next }
            substr $peer->{out}, 0, $put, '';
            $leave->($sock) if !length $peer->{out};
        }
    }
}

# Takes what has come; true at the end of the body.
sub take {
    my ($peer) = @_;
    if (!$peer->{head}) {
        $peer->{in} =~ s/\A(.*?)\r\n\r\n//s or return;
        ($peer->{head}, $peer->{left}) = (1, $1 =~ /^Content-Length: (\d+)/mi);
        $peer->{has_length} = defined $peer->{left};
    }
    while (1) {
        if (!$peer->{left}) {
            return 1 if $peer->{has_length};
            $peer->{in} =~ s/\A\r?\n?([0-9a-f]+)\r\n//i or return;
            $peer->{left} = hex $1 or return 1;
        }
        length $peer->{in} or return;
        my $bytes = substr $peer->{in}, 0, $peer->{left}, '';
        $peer->{left} -= length $bytes;
        $bytes =~ tr/<>//d;
        $peer->{size} += length $bytes;
        $peer->{md5}->add($bytes);
        $peer->{body} .= $bytes if $peer->{size} <= LARGE;
    }
}

sub answer {
    my ($peer) = @_;
    my $body = $peer->{size} > LARGE ? "$peer->{size} " . $peer->{md5}->hexdigest : $peer->{body};
    return "HTTP/1.1 200 OK\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body";
}

1;
