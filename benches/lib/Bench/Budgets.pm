package Bench::Budgets;

# Reads the budget of each row from benches/budgets: one line `KEY LIMIT` for each, with comments.

use strict;
use warnings;

sub read_file {
    my ($class, $path) = @_;
    my %limits;
    open my $in, '<', $path or die "$path: $!\n";
    while (my $line = <$in>) {
        next if $line =~ /^\s*(?:#|$)/;
        my ($key, $limit) = $line =~ /^(\S+)\s+([\d._]+)\s*(?:#.*)?$/ or die "$path:$.: not `KEY LIMIT`: $line";
        die "$path:$.: $key has a budget already\n" if exists $limits{$key};
        $limits{$key} = $limit =~ tr/_//dr;
    }
    return bless \%limits, $class;
}

# Undefined where there is none.
sub limit { $_[0]{ $_[1] } }

sub keys { sort keys %{ $_[0] } }

1;
