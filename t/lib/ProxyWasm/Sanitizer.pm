package ProxyWasm::Sanitizer;

# Finds the sanitizers' reports of an instrumented nginx (TEST_NGINX_SANITIZED, scripts/sanitize).
# Its processes write them to files of their own, even if their logs are lost. Guard takes the
# reports when it reads a log; reports that come later fail the suite at its end.

use strict;
use warnings;
use Cwd ();
use File::Path ();

use Exporter 'import';
our @EXPORT_OK = qw(reports take_reports);

my $owner = $$;
my ($folder, @reports);

if ($ENV{TEST_NGINX_SANITIZED}) {
    $folder = ($ENV{TEST_NGINX_SERVROOT} || Cwd::getcwd() . "/t/servroot-$$") . '-reports';
    File::Path::make_path($folder);
    # Of whatever user a process is.
    chmod 01777, $folder;
    for my $name (qw(ASAN_OPTIONS UBSAN_OPTIONS)) {
        $ENV{$name} = join ':', grep { length } $ENV{$name} // '', "log_path=$folder/report";
    }
}

# Those that came since the last look, each a text.
sub take_reports {
    return if !defined $folder;
    my @new;
    for my $file (sort glob "$folder/report.*") {
        open my $in, '<', $file or die "$file: $!\n";
        local $/;
        push @new, scalar <$in>;
        unlink $file;
    }
    push @reports, @new;
    return @new;
}

# All that were taken.
sub reports { return @reports }

END {
    if ($$ == $owner && defined $folder) {
        my $late = join '', take_reports();
        rmdir $folder;
        if (length $late) {
            print {*STDERR} "# a sanitizer's report that no test asked for:\n", $late =~ s/^/# /gmr;
            $? ||= 1;
        }
    }
}

1;
