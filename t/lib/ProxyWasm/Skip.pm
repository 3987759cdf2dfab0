package ProxyWasm::Skip;

# Decides whether to leave out a block: skip_nginx, skip_eval. It also has facts about the nginx
# under test: its version, and the modules built in.

use strict;
use warnings;
use ProxyWasm::Settings ();

use Exporter 'import';
our @EXPORT_OK = qw(nginx_info skip_of);

my $info;

# {version => a number to compare, configure => text of nginx -V}
sub nginx_info {
    return $info if $info;
    my $binary = $ProxyWasm::Settings::Binary;
    my $text   = `'$binary' -V 2>&1`;
    die "cannot run $binary -V: $text\n" if $? != 0;
    my ($version) = $text =~ m{^nginx version: \w+/(\d+(?:\.\d+)+)}m
        or die "cannot read the version of $binary: $text\n";
    return $info = { version => _number($version), configure => $text };
}

# (number of tests to skip, reason) or nothing.
sub skip_of {
    my ($block) = @_;
    if (my ($tests, $code) = ($block->skip_eval // '') =~ /^\s*(\d+)\s*:\s*(.*)/s) {
        my $skip = eval "package main; $code";
        die "skip_eval: $@" if $@;
        return ($tests, 'skip_eval') if $skip;
    }
    my $spec = $block->skip_nginx // return;
    my ($tests, $operator, $version, $why)
        = $spec =~ /^\s*(\d+)\s*:\s*([<>]=?|==)\s*(\d+(?:\.\d+)+)(?:\s*:\s*(.*?))?\s*$/
        or die "bad skip_nginx: $spec\n";
    my $compared = nginx_info()->{version} <=> _number($version);
    my $holds    = { '<' => $compared < 0, '<=' => $compared <= 0, '==' => $compared == 0,
        '>=' => $compared >= 0, '>' => $compared > 0 }->{$operator};
    return $holds ? ($tests, $why || "nginx version $operator $version") : ();
}

sub _number {
    my ($a, $b, $c) = split /\./, $_[0];
    return $a * 1e6 + $b * 1e3 + ($c // 0);
}

1;
