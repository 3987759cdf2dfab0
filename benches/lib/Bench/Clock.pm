package Bench::Clock;

# Measures times, for people to read. They fail no run.

use strict;
use warnings;

use Exporter 'import';
our @EXPORT_OK = qw(cpu_time least);

# Milliseconds that a process spends on a processor during $work; of all threads it is the first.
sub cpu_time {
    my ($pid, $work) = @_;
    my $before = _nanoseconds($pid);
    $work->();
    return (_nanoseconds($pid) - $before) / 1e6;
}

# The least of some measurements: whatever else the machine does only adds.
sub least {
    my ($times, $measure) = @_;
    my $least;
    for (1 .. $times) {
        my $value = $measure->();
        $least = $value if !defined $least || $value < $least;
    }
    return $least;
}

sub _nanoseconds {
    my ($pid) = @_;
    open my $in, '<', "/proc/$pid/schedstat" or die "/proc/$pid/schedstat: $!\n";
    return (split ' ', <$in>)[0];
}

1;
