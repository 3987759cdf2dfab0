package Runner::Socket;

# Stands in for Test::Nginx::Socket where that is not installed. Test::Base reads the blocks; this
# file starts nginx for each, sends its requests, checks the responses and stops nginx. The results
# are meant to equal those of Test::Nginx. It has only the sections and switches that the suites
# here use.

use strict;
use warnings;
use Test::Base -base;
use Test::More ();
use List::Util ();
use Time::HiRes qw(sleep);
use ProxyWasm::Client qw(exchange);
use ProxyWasm::Conf qw(expand_env make_root write_conf write_user_files);
use ProxyWasm::Guard qw(bad_lines);
use ProxyWasm::Log;
use ProxyWasm::LogChecks qw(patterns check_error_log check_access_log check_shutdown_log);
use ProxyWasm::Process;
use ProxyWasm::Response qw(parse_response);
use ProxyWasm::Settings;
use ProxyWasm::Skip qw(skip_of);
use Runner::Checks qw(check_response);
use Runner::Curl qw(curl);
use Runner::Mock;
use Runner::Request qw(requests_of);

use constant STOP_DEADLINE => 30 * $ProxyWasm::Settings::Patience;

our @EXPORT = (qw(run_tests add_block_preprocessor), @ProxyWasm::Settings::EXPORT);

my (@preprocessors, $nginx, $error_log, $access_log, $previous);

sub add_block_preprocessor (&) { unshift @preprocessors, shift }

sub run_tests () {
    my @blocks = Test::Base::blocks();
    @blocks = List::Util::shuffle(@blocks) if !$ProxyWasm::Settings::NoShuffle;
    for my $block (@blocks) {
        _run_block($block);
    }
    _finish($previous) if $previous;
}

sub _run_block {
    my ($block) = @_;
    my $name = "$0 " . $block->name;
    my $ok = eval {
        $_->($block) for @preprocessors;
        return 1 if defined $block->SKIP;
        # A block without a config, its own or a preprocessor's, goes on with the nginx of the one before.
        _finish($previous) if $previous && defined $block->config;
        $block->set_value(name => $name);
        local $ProxyWasm::Settings::LogLevel = $block->log_level || $ProxyWasm::Settings::LogLevel;
        _run($block);
        1;
    };
    if (!$ok) {
        chomp(my $error = $@);
        Test::More::fail("$name - $error");
        Test::More::diag($error);
        _finish($block);
    }
}

sub _run {
    my ($block) = @_;
    my $name = $block->name;

    if (my ($tests, $reason) = skip_of($block)) {
        SKIP: { Test::More::skip("$name - $reason", $tests) }
        return;
    }

    if (defined $block->config) {
        return if !_start($block);
    }
    elsif (!$nginx) {
        die "no --- config, and no nginx of an earlier block\n";
    }
    $previous = $block;

    my $mock  = Runner::Mock->start($block);
    my $ok    = eval { _requests($block); 1 };
    my $error = $@;
    $mock->stop if $mock;
    die $error if !$ok;
}

# True when nginx is up for the block's requests.
sub _start {
    my ($block) = @_;
    my $root   = server_root();
    my $ports  = {};
    my $expand = sub { expand_env($_[0], {}, $ports) };
    make_root($root);
    write_user_files($root, scalar $block->user_files, $expand);
    my $conf = write_conf({
        ProxyWasm::Settings::conf_options(),
        (map { ($_ => $expand->(scalar $block->$_)) }
            qw(main_config http_config config post_main_config)),
        listen_options => defined $block->http2 ? ' http2' : '',
    });

    $nginx = ProxyWasm::Process->new(
        binary => $ProxyWasm::Settings::Binary, root => $root, conf => $conf);
    $error_log  = ProxyWasm::Log->new($nginx->log_file);
    $access_log = ProxyWasm::Log->new("$root/logs/access.log");

    if (defined $block->must_die) {
        _must_die($block);
        undef $nginx;
        return 0;
    }
    return 1 if $nginx->start;
    my $said = join '', @{ ProxyWasm::Log->new($nginx->stderr_file)->read_lines };
    undef $nginx;
    die "nginx did not start: $said\n";
}

sub _must_die {
    my ($block) = @_;
    my $name    = $block->name;
    my $started = $nginx->start;
    my $status  = $started ? 0 : $nginx->{status};

    if ($status & 127) {
        Test::More::fail("$name - nginx was killed by signal " . ($status & 127));
    }
    elsif ($block->must_die =~ /^\d+$/) {
        Test::More::is($status >> 8, $block->must_die, "$name - die with the expected exit code");
    }
    else {
        Test::More::isnt($status, 0, "$name - die as expected");
    }
    $nginx->stop(ProxyWasm::Settings::timeout()) if $started;
    check_error_log({ block => $block, name => $name, index => 0 }, $error_log, sub { });
}

# Takes the nginx of a block down, then looks at what only then is in its log.
sub _finish {
    my ($block) = @_;
    undef $previous;
    return if !$nginx;
    my $name  = $block->name;
    my $clean = $nginx->stop(STOP_DEADLINE);
    Test::More::diag("$name - nginx did not stop by itself within "
        . STOP_DEADLINE . " s and was killed") if !$clean;

    check_shutdown_log({ block => $block, name => $name }, $error_log)
        if defined $block->shutdown_error_log || defined $block->no_shutdown_error_log;

    my @allowed = map { patterns(scalar $block->$_) }
        qw(error_log no_error_log grep_error_log shutdown_error_log no_shutdown_error_log);
    my @lines = map { @{ ProxyWasm::Log->new($_)->read_lines } }
        $nginx->log_file, $nginx->stderr_file;
    if (my @bad = bad_lines(\@lines, \@allowed)) {
        Test::More::fail("$name - lines in error.log that the block did not ask for");
        Test::More::diag(@bad);
    }
    undef $nginx;
}

sub _requests {
    my ($block)   = @_;
    my $name      = $block->name;
    my @requests  = requests_of($block);
    my $pipelined = $block->pipelined_requests;
    my $responses = $pipelined ? @$pipelined : @requests;
    my %at = (block => $block, name => $name, many => $responses > 1 || $pipelined);

    my ($bytes, $head);
    for my $i (0 .. $responses - 1) {
        $at{index} = $i;
        ($bytes, $head) = _send($block, $requests[$i]) if !$pipelined || $i == 0;
        my $rest = defined $block->ignore_response ? undef : _check(\%at, $bytes, $head);
        if ($pipelined && $i < $#$pipelined) {
            $bytes = $rest // '';
        }
        elsif (defined $rest && length $rest) {
            $rest =~ s/([^\x20-\x7e])/sprintf '\x%02x', ord $1/ge;
            Test::More::diag("$name - unexpected bytes after the response: $rest");
        }

        sleep $block->wait if $block->wait;
        check_error_log(\%at, $error_log, sub { $nginx->settle });
        check_access_log(\%at, $access_log) if !defined $block->ignore_response;
    }
}

sub _send {
    my ($block, $packets) = @_;
    my $name  = $block->name;
    my $bytes = join '', @$packets;
    my $head  = $bytes =~ /^\s*HEAD\s/;

    if (defined $block->http2) {
        my ($out, $err) = curl($bytes);
        Test::More::fail("$name - curl: $err") if length $err && !length $out;
        Test::More::diag("$name - curl: $err") if length $err && length $out;
        return ($out, $head);
    }

    my $result = exchange(
        address      => '127.0.0.1',
        port         => $ProxyWasm::Settings::ServerPort,
        packets      => $packets,
        middle_delay => scalar $block->raw_request_middle_delay,
        timeout      => $ProxyWasm::Settings::Timeout,
    );
    Test::More::fail("ERROR: client socket timed out - $name") if $result->{timed_out};
    Test::More::diag("$name - $result->{error}") if $result->{error};
    Test::More::diag("$name - received:\n$result->{data}") if $ProxyWasm::Settings::Verbose;
    return ($result->{data}, $head);
}

# Checks one response and returns the bytes that follow it.
sub _check {
    my ($at, $bytes, $head) = @_;
    my ($res, $raw_headers, $rest) = parse_response($bytes, $head,
        sub { Test::More::diag("$at->{name} - $_[0]") });
    check_response($at, $res, $raw_headers);
    return $rest;
}

1;
