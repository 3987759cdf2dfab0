package ProxyWasm::LogChecks;

# Checks the logs against a block: error_log, no_error_log, grep_error_log, access_log,
# shutdown_error_log and their opposites. As under Test::Nginx, each check reads the lines since the
# check before it, and each pattern is one test.

use strict;
use warnings;
use List::Util qw(all min);
use Test::LongString ();
use Test::More ();
use ProxyWasm::Log;
use ProxyWasm::Settings ();

use Exporter 'import';
our @EXPORT_OK = qw(
    patterns check_error_log check_access_log check_shutdown_log check_lines same_string);

# A section's patterns: a qr//, a list of them (undef for none), or one text a line.
sub patterns {
    my ($value) = @_;
    return if !defined $value;
    return $value if ref $value eq 'Regexp';
    return grep { defined } @$value if ref $value eq 'ARRAY';
    chomp $value;
    return split /\n+/, $value;
}

# Long strings are shown around the first difference, unless no_long_string.
sub same_string {
    my ($got, $expected, $name) = @_;
    return Test::More::like($got, $expected, $name) if ref $expected eq 'Regexp';
    return Test::More::is($got, $expected, $name)   if $ProxyWasm::Settings::NoLongString;
    return Test::LongString::is_string($got, $expected, $name);
}

# $at as in Runner::Checks; $log a ProxyWasm::Log; $settle waits for nginx to
# have nothing more to do. Returns the lines looked at.
sub check_error_log {
    my ($at, $log, $settle) = @_;
    my $block = $at->{block};
    my @want  = patterns(scalar $block->error_log);
    my ($grep, $grep_out) = _grep_sections($at);

    $settle->();
    my $lines = $log->read_lines(
        timeout => $ProxyWasm::Settings::Timeout,
        enough  => sub {
            my ($seen) = @_;
            return 0 if !all { my $p = $_; grep { ProxyWasm::Log::line_matches($_, $p) } @$seen } @want;
            return 1 if !defined $grep;
            my $out = _grep($seen, $grep);
            return ref $grep_out ? $out =~ $grep_out : $out eq $grep_out;
        },
    );

    if (defined $grep) {
        same_string(_grep($lines, $grep), $grep_out,
            "$at->{name} - grep_error_log_out (req $at->{index})");
    }
    check_lines($at, $lines, 'error.log', \@want,
        [patterns(scalar $block->no_error_log)], "(req $at->{index})");
    return $lines;
}

sub check_access_log {
    my ($at, $log) = @_;
    my $block = $at->{block};
    my @want   = patterns(scalar $block->access_log);
    my @refuse = patterns(scalar $block->no_access_log);
    return if !@want && !@refuse;
    $log->{pos} = 0;    # all of it, each time, as under Test::Nginx
    my $lines = $log->read_lines(
        timeout => $ProxyWasm::Settings::Timeout,
        enough  => sub {
            my ($seen) = @_;
            return all { my $p = $_; grep { ProxyWasm::Log::line_matches($_, $p) } @$seen } @want;
        },
    );
    check_lines($at, $lines, 'access.log', \@want, \@refuse, "(req $at->{index})");
}

# After nginx has gone: what its processes logged on their way out.
sub check_shutdown_log {
    my ($at, $log) = @_;
    my $block = $at->{block};
    check_lines($at, $log->read_lines, 'error.log',
        [patterns(scalar $block->shutdown_error_log)],
        [patterns(scalar $block->no_shutdown_error_log)], 'at shutdown');
}

sub check_lines {
    my ($at, $lines, $file, $want, $refuse, $when) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 2;
    for my $pattern (@$want) {
        my $found = grep { ProxyWasm::Log::line_matches($_, $pattern) } @$lines;
        Test::More::ok($found,
            "$at->{name} - pattern \"$pattern\" "
            . ($found ? 'matches' : 'should match') . " a line in $file $when")
            || _show($file, $lines);
    }
    for my $pattern (@$refuse) {
        my ($at_line) = grep { ProxyWasm::Log::line_matches($lines->[$_], $pattern) } 0 .. $#$lines;
        my $name = "$at->{name} - pattern \"$pattern\" should not match a line in $file $when";
        Test::More::ok(!defined $at_line, $name)
            || _show($file, [@$lines[$at_line .. min($at_line + 10, $#$lines)]]);
    }
}

# The end of what was searched, without debug lines, so that a failure explains itself.
sub _show {
    my ($file, $lines) = @_;
    my @shown = grep { !/ \[debug\] / } @$lines;
    @shown = @shown[-30 .. -1] if @shown > 30;
    Test::More::diag(@shown ? ("$file:\n", @shown) : "nothing was written to $file");
    return;
}

# (pattern, expected output)
sub _grep_sections {
    my ($at) = @_;
    my $grep = $at->{block}->grep_error_log;
    my $out  = $at->{block}->grep_error_log_out;
    if (!defined $grep) {
        die "grep_error_log_out without grep_error_log\n" if defined $out;
        return;
    }
    die "grep_error_log without grep_error_log_out\n" if !defined $out;
    return ($grep, $out);
}

sub _grep {
    my ($lines, $pattern) = @_;
    my $re  = ref $pattern ? $pattern : qr/\Q$pattern\E/;
    my $out = '';
    for my $line (@$lines) {
        next if $line !~ $re;
        my $match = substr $line, $-[0], $+[0] - $-[0];
        $out .= "$match\n" if $match !~ /\n/;
    }
    return $out;
}

1;
