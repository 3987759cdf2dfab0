package Bench::Row;

# One row of the table, and how to measure it.
#
#     key      names it in benches/budgets, in results.json, on the command line, and its profile
#     title    what was measured
#     measure  a function that answers the value
#     unit     of the value; instructions if not said
#     over     the key of another row: the difference to it is what counts
#     per      the key of another row: the quotient is what counts
#     timing   true: it is not the same twice, and fails no run
#     limit    the budget, for what counts; benches/run sets it

use strict;
use warnings;

sub new {
    my ($class, %o) = @_;
    return bless { unit => 'instructions', %o }, $class;
}

sub base { $_[0]{over} // $_[0]{per} }

# Measured once, however often it is asked for.
sub value { $_[0]{value} //= $_[0]{measure}->() }

# What is compared with the budget, given the row it stands on.
sub counts {
    my ($self, $base) = @_;
    return $self->value - $base->value if $self->{over};
    return $self->value / $base->value if $self->{per};
    return $self->value;
}

sub is_over_budget {
    my ($self, $base) = @_;
    return defined $self->{limit} && $self->counts($base) > $self->{limit};
}

1;
