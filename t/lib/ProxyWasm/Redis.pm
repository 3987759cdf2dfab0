package ProxyWasm::Redis;

# A redis-server beside nginx. Commands can be sent to it without a plugin, to look at what it has.

use strict;
use warnings;
use File::Temp ();
use IO::Socket::INET ();
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);
use ProxyWasm::Port qw(reserve_port);
use ProxyWasm::Settings ();

use Exporter 'import';
our @EXPORT_OK = qw(redis_binary start_redis command);

# Empty where there is none: scripts/deps installs one.
sub redis_binary {
    my ($binary) = grep { -x } map { "$_/redis-server" } split /:/, $ENV{PATH};
    return $binary // '';
}

# Starts one with these options: start_redis(requirepass => 'secret').
sub start_redis {
    my (@options) = @_;
    my $dir  = File::Temp->newdir;
    my $self = bless { port => reserve_port(), dir => $dir, owner => $$ }, __PACKAGE__;
    my @all  = (port => $self->{port}, bind => '127.0.0.1', save => '', dir => "$dir", logfile => "$dir/log", @options);
    my @arguments;
    while (my ($name, $value) = splice @all, 0, 2) { push @arguments, "--$name", split / /, $value, -1 }
    $self->{pid} = fork // die "fork: $!\n";
    if (!$self->{pid}) { exec redis_binary(), @arguments or die "redis-server: $!\n" }
    my $deadline = time + 30 * $ProxyWasm::Settings::Patience;
    while (!$self->_connect) {
        die "redis-server has ended: see its options\n" if waitpid($self->{pid}, WNOHANG) > 0;
        die "redis-server did not start\n" if time > $deadline;
        sleep 0.02;
    }
    return $self;
}

sub port { return $_[0]{port} }

# The server's answer, up to 4096 bytes of it. Commands for a server with a password begin by AUTH.
sub ask {
    my ($self, @arguments) = @_;
    my $socket = $self->_connect or die "no connection to redis-server: $!\n";
    print $socket command(@arguments);
    sysread $socket, my $reply, 4096;
    return $reply;
}

# The bytes of a command.
sub command {
    my (@arguments) = @_;
    return '*' . @arguments . "\r\n" . join '', map { '$' . length($_) . "\r\n$_\r\n" } @arguments;
}

sub _connect { return IO::Socket::INET->new(PeerAddr => "127.0.0.1:$_[0]{port}") }

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner} || !$self->{pid};
    local ($?, $!);
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
}

1;
