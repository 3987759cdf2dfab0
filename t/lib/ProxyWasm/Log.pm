package ProxyWasm::Log;

# Reads a log while nginx writes it. Each read returns the lines since the last one, and waits for
# the expected line instead of sleeping.

use strict;
use warnings;
use Time::HiRes qw(sleep time);

use constant STEP => 0.005;

sub new {
    my ($class, $path) = @_;
    return bless { path => $path, pos => 0 }, $class;
}

sub mark { $_[0]{pos} = -s $_[0]{path} || 0 }

# The lines since the last read, as an array reference. Reads on until $enough,
# given that reference, is true or $timeout is over.
sub read_lines {
    my ($self, %opt) = @_;
    my $deadline = time + ($opt{timeout} || 0);
    my $lines    = [];
    while (1) {
        push @$lines, $self->_more;
        last if !$opt{enough} || $opt{enough}->($lines) || time >= $deadline;
        sleep STEP;
    }
    return $lines;
}

# A line that is not whole yet stays for the next read.
sub _more {
    my ($self) = @_;
    open my $in, '<', $self->{path} or return;
    seek $in, $self->{pos}, 0;
    my $text = do { local $/; <$in> } // '';
    $text =~ s/[^\n]*\z//;
    $self->{pos} += length $text;
    return split /(?<=\n)/, $text;
}

# A pattern is a qr// or a plain text to be found.
sub line_matches {
    my ($line, $pattern) = @_;
    return ref $pattern ? $line =~ /$pattern/ : index($line, $pattern) >= 0;
}

1;
