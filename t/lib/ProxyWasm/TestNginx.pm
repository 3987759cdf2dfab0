package ProxyWasm::TestNginx;

# Adds to the real Test::Nginx::Socket what these suites need: bad lines in the log fail the block,
# and the lines of a failed start are in the log even if nginx was compiled to write them elsewhere.
# It is not used with this project's own runner.

use strict;
use warnings;
use File::Path qw(make_path);
use Test::More ();
use ProxyWasm::Guard qw(bad_lines);
use ProxyWasm::Log;
use ProxyWasm::LogChecks qw(patterns);
use ProxyWasm::Skip qw(nginx_info);

# Variables of the real runner, which is not loaded when this file is compiled alone.
no warnings 'once';

use Exporter 'import';
our @EXPORT_OK = qw(amend fit_http2 has_temp_paths);

sub amend {
    my ($root) = @_;
    _guard_log();
    $Test::Nginx::Util::NginxBinary = _wrapper($root, $Test::Nginx::Util::NginxBinary)
        if nginx_info()->{configure} =~ m{--error-log-path=(?:stderr|/)};
}

# Whether this Test::Nginx writes the *_temp_path directives, as it does since 0.31.
sub has_temp_paths {
    my $path = $INC{'Test/Nginx/Util.pm'};
    open my $in, '<', $path or die "$path: $!\n";
    return scalar grep { /\bfastcgi_temp_path\b/ } <$in>;
}

# For a block with HTTP/2, Test::Nginx writes "http2 on;" from nginx 1.19.9 on, which has that
# directive only since 1.25.1. In between, it is told of a version before either.
my $version;

sub fit_http2 {
    my ($block) = @_;
    $version //= $Test::Nginx::Util::NginxVersion;
    my $between = $version >= 1.019009 && $version < 1.025001;
    $Test::Nginx::Util::NginxVersion = $between && defined $block->http2 ? '1.019008' : $version;
}

sub _guard_log {
    my $helper = $Test::Nginx::Util::RunTestHelper;
    $Test::Nginx::Util::RunTestHelper = sub {
        my ($block) = @_;
        $helper->(@_);
        my @allowed = map { patterns(scalar $block->$_) }
            qw(error_log no_error_log grep_error_log shutdown_error_log);
        my $lines = ProxyWasm::Log->new($Test::Nginx::Util::ErrLogFile)->read_lines;
        my @bad   = bad_lines($lines, \@allowed) or return;
        Test::More::fail($block->name . ' - lines in error.log that the block did not ask for');
        Test::More::diag(@bad);
    };
}

# An nginx that is told by -e where to log from the first line on.
sub _wrapper {
    my ($root, $binary) = @_;
    make_path("$root-bin");
    my $path = "$root-bin/nginx";
    open my $out, '>', $path or die "$path: $!\n";
    print {$out} "#!/bin/sh\nexec '$binary' -e '$root/logs/error.log' \"\$\@\"\n";
    close $out;
    chmod 0755, $path;
    return $path;
}

1;
