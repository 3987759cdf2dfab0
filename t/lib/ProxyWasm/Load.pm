package ProxyWasm::Load;

# Clients that ask for one path again and again while a test does something to nginx. Each is a
# process of its own and makes a new connection for each request, so that every failure is counted
# and no request is retried.

use strict;
use warnings;
use POSIX ();
use ProxyWasm::Connection;

my %running;
my $owner = $$;

# $o: port, path, clients, headers, timeout
sub start {
    my ($class, %o) = @_;
    my $self = bless { clients => [] }, $class;
    for (1 .. $o{clients} || 2) {
        my $pid = open my $counts, '-|';
        die "fork: $!\n" if !defined $pid;
        if (!$pid) {
            eval { _ask(\%o) };
            POSIX::_exit(0);
        }
        $running{$pid} = 1;
        push @{ $self->{clients} }, { pid => $pid, counts => $counts };
    }
    return $self;
}

# Ends the clients: {status or error text => how often}
sub stop {
    my ($self) = @_;
    my %total;
    kill 'TERM', map { $_->{pid} } @{ $self->{clients} };
    for my $client (@{ $self->{clients} }) {
        my $counts = $client->{counts};
        while (my $line = <$counts>) {
            my ($n, $what) = $line =~ /^(\d+) (.*)$/ or next;
            $total{$what} += $n;
        }
        close $counts;
        delete $running{ $client->{pid} };
    }
    $self->{clients} = [];
    return \%total;
}

sub _ask {
    my ($o) = @_;
    my $stop = 0;
    local $SIG{TERM} = sub { $stop = 1 };
    my %count;
    while (!$stop) {
        my $what = eval {
            my $connection = ProxyWasm::Connection->new(port => $o->{port}, timeout => $o->{timeout});
            my $res = $connection->request('GET', $o->{path}, headers => $o->{headers}, close => 1);
            $res ? $res->{status} : 'closed without an answer';
        } // "$@";
        $what =~ s/\s+/ /g;
        $count{$what}++;
    }
    print "$count{$_} $_\n" for sort keys %count;
    close STDOUT;
}

END {
    if ($$ == $owner) {
        kill 'KILL', $_ for keys %running;
    }
}

1;
