package ProxyWasm::Guard;

# Fails a test whose log has a line that no test may cause: lines of nginx's three worst levels,
# workers killed by a signal, panics of the host, reports of a sanitizer or of valgrind. A test that
# expects such a line says so in its error_log. Reports of sanitizers are searched wherever they
# were written.

use strict;
use warnings;
use ProxyWasm::Log;
use ProxyWasm::Sanitizer qw(take_reports);

use Exporter 'import';
our @EXPORT_OK = qw(bad_lines);

my $BAD = qr{
      \[(?:alert|crit|emerg)\]
    | \bexited\ on\ signal\b
    | ^thread\ '[^']*'(?:\ \(\d+\))?\ panicked\ at
    | \bERROR:\ \w+Sanitizer\b
    | :\ runtime\ error:\ 
    | ^==\d+==
}x;

# Those of @$lines that no pattern of @$allowed asks for. A pattern that names a
# level, "[alert", asks for all lines of that level, as under Test::Nginx.
sub bad_lines {
    my ($lines, $allowed) = @_;
    my %level;
    for my $pattern (@$allowed) {
        $level{$1} = 1 while $pattern =~ /\[(alert|crit|emerg)/g;
    }
    my @reports = grep {
        my $report = $_;
        !grep { ProxyWasm::Log::line_matches($report, $_) } @$allowed;
    } take_reports();
    return @reports, grep {
        my $line = $_;
        $line =~ $BAD
            && !($line =~ /\[(alert|crit|emerg)\]/ && $level{$1})
            && !grep { ProxyWasm::Log::line_matches($line, $_) } @$allowed;
    } @$lines;
}

1;
