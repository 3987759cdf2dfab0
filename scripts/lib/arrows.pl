# Compares the imports between the rooms of a crate with the order in scripts/lib/arrows. Called by
# lint-arrows.
#
# A room is the name after `crate::`: `host` is src/host.rs and all of src/host/. Tests may import
# anything.

use strict;
use warnings;

my ($order_file) = @ARGV;
my (%orders, %known_upward, $crate);
open my $in, '<', $order_file or die "$order_file: $!\n";
while (my $line = <$in>) {
    $line =~ s/#.*//;
    if ($line =~ /^\[(\S+)\]/) { $crate = $1 }
    elsif ($line =~ /^(\S+) -> (.+?)\s*$/) { $known_upward{$crate}{"$1 -> $_"} = 1 for split ' ', $2 }
    elsif ($line =~ /\S/) { push @{$orders{$crate}}, split ' ', $line }
}

my @faults;
for my $crate (sort keys %orders) {
    my %level;
    @level{@{$orders{$crate}}} = 0 .. $#{$orders{$crate}};
    my $known = $known_upward{$crate} // {};
    my %seen;
    for my $file (split /\n/, `git ls-files -co --exclude-standard '$crate/*.rs'`) {
        next if $file =~ m{/tests(/|\.rs$)} or !-e $file;
        my @path = split m{/}, substr($file, 1 + length $crate) =~ s/\.rs$//r;
        my $room = $path[0];
        next if $room eq 'lib';
        if (!exists $level{$room}) { push @faults, "$file: the room \"$room\" is not in $order_file"; next }
        for my $target (imports(source($file), @path)) {
            next if $target eq $room or !exists $level{$target};
            $seen{"$room -> $target"} = $file if $level{$target} < $level{$room};
        }
    }
    push @faults, map { "$seen{$_}: $crate: $_ runs upward" } grep { !$known->{$_} } sort keys %seen;
    push @faults, map { "$order_file: $crate: $_ is gone: take it out" } grep { !$seen{$_} } sort keys %$known;
}
print "$_\n" for @faults;
exit !!@faults;

# Without comments, strings and the tests beside the code.
sub source {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    my $text = do { local $/; <$in> };
    $text =~ s/^#\[cfg\(test\)\]\n(?:pub(?:\(\w+\))? )?(?:mod \w+ \{.*|(?:mod|use) [^;]*;\n)//msg;
    $text =~ s{//[^\n]*|"(?:[^"\\]|\\.)*"}{}g;
    return $text;
}

# The rooms that a file names: in `use`, and by paths in its code.
sub imports {
    my ($text, @path) = @_;
    my @named = map { expand('', $_) } $text =~ /\buse ([^;]+);/g;
    push @named, $text =~ /\b((?:crate|super)(?:::\w+)+)/g;
    my %rooms;
    for my $named (@named) {
        my @parts = split /::/, $named =~ s/\s+//gr;
        my @base = @path;
        if ($parts[0] eq 'crate') { shift @parts; @base = () }
        elsif ($parts[0] eq 'super') { while (@parts && $parts[0] eq 'super') { shift @parts; pop @base } }
        else { next }
        my ($room) = (@base, @parts);
        $rooms{$room} = 1 if defined $room;
    }
    return keys %rooms;
}

# Each path of a `use` with braces.
sub expand {
    my ($before, $tree) = @_;
    $tree =~ s/^\s+|\s+$//g;
    return "$before$tree" if $tree !~ /^([^{]*)\{(.*)\}$/s;
    my ($prefix, $inner, $depth, @parts) = ("$before$1", $2, 0, '');
    for my $char (split //, $inner) {
        $depth++ if $char eq '{';
        $depth-- if $char eq '}';
        if ($char eq ',' && !$depth) { push @parts, '' } else { $parts[-1] .= $char }
    }
    return map { expand($prefix, $_) } grep { /\S/ } @parts;
}
