package ProxyWasm::ConfigCheck;

# --- check_config: passes the block's configuration to "nginx -t" instead of starting nginx.
# error_log and no_error_log check its output. must_die expects it to fail (a number: with that exit
# code); otherwise it must pass. It works under either runner: the check is done here, then the
# block is marked SKIP.

use strict;
use warnings;
use Test::More ();
use ProxyWasm::Conf qw(expand_env make_root write_conf write_user_files);
use ProxyWasm::Log;
use ProxyWasm::LogChecks qw(patterns check_lines);
use ProxyWasm::Process;
use ProxyWasm::Settings ();

use Exporter 'import';
our @EXPORT_OK = qw(run_check_config);

sub run_check_config {
    my ($block, %options) = @_;
    my $name = "$0 " . $block->name;
    my $root   = $options{root};
    my $ports  = {};
    my $expand = sub { expand_env($_[0], {}, $ports) };

    make_root($root);
    write_user_files($root, scalar $block->user_files, $expand);
    my $conf = write_conf({
        %options,
        (map { ($_ => $expand->(scalar $block->$_)) }
            qw(main_config http_config config post_main_config)),
        log_level => $block->log_level // $options{log_level},
    });
    my $nginx = ProxyWasm::Process->new(
        binary => $ProxyWasm::Settings::Binary, root => $root, conf => $conf);
    my $status = $nginx->check_config;
    my $lines  = ProxyWasm::Log->new($nginx->stderr_file)->read_lines;

    my $must_die = $block->must_die;
    my $ok
        = $status & 127
        ? Test::More::fail("$name - nginx -t was killed by signal " . ($status & 127))
        : !defined $must_die
        ? Test::More::is($status >> 8, 0, "$name - nginx -t passes")
        : $must_die =~ /^\d+$/
        ? Test::More::is($status >> 8, $must_die, "$name - nginx -t fails with the expected exit code")
        : Test::More::isnt($status, 0, "$name - nginx -t fails as expected");
    Test::More::diag(@$lines) if !$ok;

    check_lines({ name => $name }, $lines, 'the output of nginx -t',
        [patterns(scalar $block->error_log)], [patterns(scalar $block->no_error_log)], '');
    $block->set_value(SKIP => 1);
}

1;
