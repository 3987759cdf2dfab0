package Bench::Report;

# Prints the results as a table in Markdown for people, and as JSON for programs.

use strict;
use warnings;
use JSON::PP ();

# Sections are [title, rows]; a row's base may stand in any of them.
sub new {
    my ($class, @sections) = @_;
    my %rows = map { ($_->{key} => $_) } map { @{ $_->[1] } } @sections;
    return bless { sections => \@sections, rows => \%rows }, $class;
}

sub markdown {
    my ($self) = @_;
    my $text = '';
    for my $section (@{ $self->{sections} }) {
        my ($title, $rows) = @$section;
        $text .= "### $title\n\n| | measured | compared | budget | |\n|---|---:|---:|---:|---|\n";
        $text .= join('', map { $self->_line($_) } @$rows) . "\n";
    }
    return $text;
}

sub _line {
    my ($self, $row) = @_;
    my $base     = $self->_base($row);
    my $compared = !$base ? '' : sprintf '%s %s', _relative($row, $base), $base->{key};
    my $budget   = defined $row->{limit} ? _number($row->{limit}) : '';
    return sprintf "| %s | %s %s | %s | %s | %s |\n", "`$row->{key}` $row->{title}", _number($row->value), $row->{unit},
        $compared, $budget, $self->_mark($row);
}

sub _relative {
    my ($row, $base) = @_;
    my $counts = $row->counts($base);
    return $row->{per} ? sprintf('%.2f ×', $counts) : ($counts < 0 ? '−' : '+') . _number(abs $counts) . ' over';
}

sub _mark {
    my ($self, $row) = @_;
    return ''           if !defined $row->{limit};
    return 'ok'         if !$row->is_over_budget($self->_base($row));
    return 'over, a time' if $row->{timing};
    return '**over**';
}

sub json {
    my ($self) = @_;
    my %result;
    for my $row (values %{ $self->{rows} }) {
        my $base = $self->_base($row);
        $result{ $row->{key} } = {
            title => $row->{title}, unit => $row->{unit}, value => 0 + $row->value,
            ($base ? (base => $base->{key}, counts => 0 + $row->counts($base)) : ()),
            (defined $row->{limit} ? (budget => 0 + $row->{limit}) : ()),
            ($row->{timing} ? (timing => JSON::PP::true) : ()),
        };
    }
    return JSON::PP->new->canonical->pretty->encode(\%result);
}

# Rows that fail the run.
sub over_budget {
    my ($self) = @_;
    return grep { !$_->{timing} && $_->is_over_budget($self->_base($_)) } map { @{ $_->[1] } } @{ $self->{sections} };
}

sub _base {
    my ($self, $row) = @_;
    return defined $row->base ? $self->{rows}{ $row->base } : undef;
}

# Counts in thousands, small ones with what is behind the point.
sub _number {
    my ($number) = @_;
    return sprintf '%.3g', $number if $number != int $number && $number < 100;
    my $text = sprintf '%.0f', $number;
    1 while $text =~ s/^(\d+)(\d{3})/$1,$2/;
    return $text;
}

1;
