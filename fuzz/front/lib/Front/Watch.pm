package Front::Watch;

# Checks nginx whatever its clients did: its worker lives and answers, its log has no line that
# would fail a test, and nothing of the clients is left when they have gone.

use strict;
use warnings;
use JSON::PP ();
use ProxyWasm::Guard qw(bad_lines);
use ProxyWasm::Log;
use Time::HiRes qw(sleep time);

# What nginx says of `rewrite … break`, too, where an alias cuts the URI.
our $OF_ALIAS = qr/"alias" cannot be used in location .* where URI was rewritten/;

# A request may still be held, wait for a call or be lingering.
use constant DRAINED => 10;

# ports: of a server that has healthy plugins, by name
sub new {
    my ($class, %o) = @_;
    my $self = bless {%o}, $class;
    my $nginx = $self->{nginx};
    $self->{logs} = [map { ProxyWasm::Log->new($_) } $nginx->{nginx}->log_file, $nginx->{nginx}->stderr_file];
    ($self->{worker}) = $nginx->worker_pids;
    # What is opened once and kept: connections to the upstream among it.
    $self->_fresh($_) for 1 .. 3;
    $self->{descriptors} = $self->_descriptors;
    return $self;
}

# What is wrong, if anything.
sub complaints {
    my ($self) = @_;
    my @found = eval { $self->_complaints };
    push @found, "nginx does not answer: $@" if $@;
    push @found, $self->_log;
    return @found;
}

sub _complaints {
    my ($self) = @_;
    my $nginx = $self->{nginx};
    my @pids = $nginx->worker_pids;
    my @log = $self->_log;
    return (@log, "the worker $self->{worker} is gone: now @pids") if "@pids" ne $self->{worker};
    return (@log, $self->_fresh, $self->_drained);
}

sub _log {
    my ($self) = @_;
    my @lines = map { @{ $_->read_lines } } @{ $self->{logs} };
    my @bad = bad_lines(\@lines, [$OF_ALIAS]);
    # A sanitizer's report goes on.
    my ($report) = grep { $lines[$_] =~ /ERROR: \w+Sanitizer/ } 0 .. $#lines;
    return (@bad, defined $report ? @lines[$report .. $#lines] : ());
}

sub _fresh {
    my ($self) = @_;
    my $plain = $self->{nginx}->get('/plain');
    my @found = $plain->{body} eq 'plain' ? () : "a plain request is answered $plain->{status}, \"$plain->{body}\"";
    my $uri = '/buffered/?id=c0r0&up=L200.B200.E&';
    my $expected = substr "[$uri]" x 200, 0, 200;
    for my $name (sort keys %{ $self->{ports} }) {
        my $connection = ProxyWasm::Connection->new(port => $self->{ports}{$name});
        my $got = $connection->request('GET', $uri, close => 1);
        push @found, "a request with plugins ($name) is answered $got->{status}, \"$got->{body}\""
            if $got->{status} != 200 || $got->{body} ne $expected;
    }
    return @found;
}

sub _drained {
    my ($self) = @_;
    my $deadline = time + DRAINED * $ProxyWasm::Settings::Patience;
    my %left;
    do {
        my $status = JSON::PP::decode_json($self->{nginx}->get('/status')->{body});
        my ($active) = $self->{nginx}->get('/connections')->{body} =~ /Active connections: (\d+)/;
        my $contexts = 0;
        $contexts += $_->{http_contexts} for @{ $status->{plugins} };
        %left = (contexts => $contexts, calls => $status->{calls}, connections => $active - 1,
            descriptors => $self->_descriptors - $self->{descriptors} - 2 * $active - 40);
        $left{descriptors} = 0 if $left{descriptors} < 0;
        return if !grep { $_ > 0 } values %left;
        sleep 0.02;
    } while time < $deadline;
    return 'nothing runs, and there are left: ' . join ', ', map { "$left{$_} $_" } grep { $left{$_} } sort keys %left;
}

sub _descriptors {
    my ($self) = @_;
    my @open = glob "/proc/$self->{worker}/fd/*";
    return scalar @open;
}

1;
