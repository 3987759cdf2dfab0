package ProxyWasm::Skip;

# Whether a block is to be left out: skip_nginx, skip_nginx2, skip_openssl,
# skip_eval, skip_slave's absence, todo and todo_nginx. Facts of the nginx under
# test (version, modules built in) come from here too.

use strict;
use warnings;
use ProxyWasm::Settings ();

use Exporter 'import';
our @EXPORT_OK = qw(nginx_info skip_of);

my $info;

# {version => 1.022001, openssl => …, configure => text of nginx -V}
sub nginx_info {
    return $info if $info;
    my $binary = $ProxyWasm::Settings::Binary;
    my $text   = `'$binary' -V 2>&1`;
    die "cannot run $binary -V: $text\n" if $? != 0;
    my ($version) = $text =~ m{^nginx version: \w+/(\d+(?:\.\d+)+)}m
        or die "cannot read the version of $binary: $text\n";
    my ($openssl) = $text =~ /built with OpenSSL (\d+\.\d+\.\d+[a-z]?)/;
    return $info = {
        version   => _number($version),
        openssl   => defined $openssl ? _number($openssl) : undef,
        configure => $text,
    };
}

# (number of tests to skip, reason) or nothing.
sub skip_of {
    my ($block) = @_;

    if (defined(my $spec = $block->skip_eval)) {
        my ($n, $code) = $spec =~ /^\s*(\d+)\s*:\s*(.*)/s or die "bad skip_eval: $spec\n";
        my $skip = eval "package main; $code";
        die "skip_eval: $@" if $@;
        return ($n, 'skip_eval') if $skip;
    }
    my $version = qr/(?:[<>]=?|==)\s*\d+(?:\.\d+)+[a-z]?/;
    if (defined(my $spec = $block->skip_nginx)) {
        my ($n, $cond, $why) = $spec =~ /^\s*(\d+)\s*:\s*($version)(?:\s*:\s*(.*?))?\s*$/
            or die "bad skip_nginx: $spec\n";
        return ($n, $why || "nginx version $cond") if _holds(nginx_info()->{version}, $cond);
    }
    elsif (defined(my $two = $block->skip_nginx2)) {
        my ($n, $a, $op, $b, $why)
            = $two =~ /^\s*(\d+)\s*:\s*($version)\s*(or|and)\s*($version)(?:\s*:\s*(.*?))?\s*$/
            or die "bad skip_nginx2: $two\n";
        my @holds = map { _holds(nginx_info()->{version}, $_) } $a, $b;
        return ($n, $why || "nginx version $a $op $b")
            if $op eq 'or' ? $holds[0] || $holds[1] : $holds[0] && $holds[1];
    }
    if (defined(my $spec = $block->skip_openssl)) {
        my ($n, $cond, $why) = $spec =~ /^\s*(\d+)\s*:\s*($version)(?:\s*:\s*(.*?))?\s*$/
            or die "bad skip_openssl: $spec\n";
        my $ours = nginx_info()->{openssl};
        return ($n, $why || "OpenSSL version $cond") if !defined $ours || _holds($ours, $cond);
    }
    if (defined(my $spec = $block->todo)) {
        my ($n, $why) = $spec =~ /^\s*(\d+)\s*:\s*(.*)/s or die "bad todo: $spec\n";
        return ($n, "TODO $why");
    }
    return;
}

sub _holds {
    my ($ours, $condition) = @_;
    my ($op, $theirs) = $condition =~ /^(\S*?[<>=]+)\s*(\S+)$/;
    my $cmp = $ours <=> _number($theirs);
    return $op eq '<' ? $cmp < 0 : $op eq '<=' ? $cmp <= 0 : $op eq '>' ? $cmp > 0
        : $op eq '>=' ? $cmp >= 0 : $cmp == 0;
}

sub _number {
    my ($version) = @_;
    my ($a, $b, $c, $letter) = $version =~ /^(\d+)\.(\d+)(?:\.(\d+))?(?:\.\d+)*([a-z])?/;
    return $a * 1e9 + $b * 1e6 + ($c // 0) * 1e3 + ($letter ? ord($letter) - ord('a') + 1 : 0);
}

1;
