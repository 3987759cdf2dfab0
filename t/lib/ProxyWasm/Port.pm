package ProxyWasm::Port;

# Finds free TCP ports and keeps them, so that several test files can run at once.
#
# A socket that is bound and never listens reserves a port. nginx and the mock upstreams bind with
# SO_REUSEADDR, so Linux allows them the same port; another reservation binds without it, and is
# refused. It needs no lock file and no clean-up: the reservation ends with the process.

use strict;
use warnings;
use Socket qw(PF_INET SOCK_STREAM SOL_SOCKET SO_REUSEADDR INADDR_ANY sockaddr_in);

use Exporter 'import';
our @EXPORT_OK = qw(reserve_port);

my %held;

sub reserve_port {
    for (1 .. 1000) {
        # Below the kernel's range for outgoing connections (32768 and up).
        my $port = 10_000 + int rand 22_000;
        socket(my $sock, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
        bind($sock, sockaddr_in($port, INADDR_ANY)) or next;
        setsockopt($sock, SOL_SOCKET, SO_REUSEADDR, 1) or die "setsockopt: $!\n";
        $held{$port} = $sock;
        return $port;
    }
    die "no free TCP port found\n";
}

1;
