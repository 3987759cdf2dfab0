package t::ProxyWasm;

# The module that every suite under t/ loads. Suites are written in the language of
# Test::Nginx::Socket, which runs them where it is installed (0.30 or newer, found by PERL5LIB).
# Where it is not, or if TEST_NGINX_OWN_RUNNER is set, t/lib/Runner stands in for it.
# t/lib/ProxyWasm has what the project adds to either.
#
#     use lib '.';
#     use t::ProxyWasm 'no_plan';
#     run_tests();
#     __DATA__
#     === TEST 1: a plugin answers
#     --- config
#     ...
#
# Added to what Test::Nginx knows, under either runner:
#
#   a block loads our module, with Lua when it uses Lua;   --- no_module: not ours
#   --- lua                  load Lua though nothing in the block shows it is used
#   --- check_config         run "nginx -t" instead: error_log looks at its output,
#                            must_die wants it to fail
#   $TEST_NGINX_PLUGINS      directory of compiled plugins
#   $TEST_NGINX_HTML_DIR     where user_files are
#   $TEST_NGINX_UPSTREAM_PORT  a free port for tcp_listen or a server of the block
#   $TEST_NGINX_* is expanded in every section of plain text, not in configs only
#
# A block fails when its log has an [alert], [crit] or [emerg] line, a worker killed
# by a signal or a panic that its error_log does not ask for.
#
# start_nginx checks the same when it is stopped.
#
# Defaults: log_level info, master process on, one worker, no shuffle. Each file has
# its own port and server root (t/servroot-<pid>, kept if the file fails), so that
# prove -j works.
#
# For what one block cannot say (reload, killed workers, load) there is
#
#     my $s = start_nginx(config => '...', workers => 4);
#     is $s->get('/x', 'X-Name' => 'value')->{status}, 200;
#     ok $s->reload;                          # HUP, old workers retired
#     ok $s->wait_for_log(qr/freed/);
#     my $load = $s->start_load('/x');        # clients in the background
#     is_deeply [keys %{ $load->stop }], [200];
#     $s->stop;                               # fails on bad lines in the log
#     done_testing;
#
# with the options of ProxyWasm::Server::start_nginx: main_config, http_config,
# config, post_main_config, user_files, workers, user, log_level, lua, no_module, http2,
# env.

use strict;
use warnings;

use Cwd ();
use File::Basename ();
use File::Path ();
use Test::More ();

my ($owner, $our_root);

# Runs after the runner's own END, which stops nginx: it was compiled before it.
END {
    if ($owner && $$ == $owner && $our_root) {
        my $passed = !$? && Test::More->builder->is_passing;
        local $?;
        File::Path::remove_tree(grep { -d } glob "$our_root $our_root-*") if $passed;
    }
}

our $Runner;

BEGIN {
    $owner = $$;
    # An END block runs on these signals only if they end Perl in the usual way.
    $SIG{INT}  = sub { exit 130 };
    $SIG{TERM} = sub { exit 143 };

    require lib;
    lib->import(File::Basename::dirname(__FILE__) . '/lib');
    require ProxyWasm::Port;

    if (!$ENV{TEST_NGINX_SERVROOT}) {
        $our_root = $ENV{TEST_NGINX_SERVROOT} = Cwd::getcwd() . "/t/servroot-$$";
    }
    # Before what starts servers: its END looks for reports after theirs has stopped them.
    require ProxyWasm::Sanitizer;
    $ENV{TEST_NGINX_SERVER_PORT}   ||= ProxyWasm::Port::reserve_port();
    $ENV{TEST_NGINX_UPSTREAM_PORT} ||= ProxyWasm::Port::reserve_port();

    $Runner = 'Test::Nginx::Socket';
    if ($ENV{TEST_NGINX_OWN_RUNNER} || !eval { require Test::Nginx::Socket; 1 }) {
        die $@ if $@ && $@ !~ m{^Can't locate Test/Nginx/Socket\.pm};
        $Runner = 'Runner::Socket';
        require Runner::Socket;
    }
    $Runner->import(-package => __PACKAGE__);
}

use ProxyWasm::ConfigCheck qw(run_check_config);
use ProxyWasm::Module qw(find_libraries preamble target_dir);
use ProxyWasm::Server qw(start_nginx);
use ProxyWasm::Skip qw(skip_of);
use ProxyWasm::TestNginx ();

$ENV{TEST_NGINX_PLUGINS} //= target_dir() . '/plugins';
$ENV{TEST_NGINX_HTML_DIR}   = html_dir();

ProxyWasm::TestNginx::amend(server_root()) if $Runner eq 'Test::Nginx::Socket';

log_level($ENV{TEST_NGINX_LOG_LEVEL} || 'info');
master_on() if !$ENV{TEST_NGINX_MASTER_PROCESS};
no_shuffle();

sub import {
    my ($class, @args) = @_;
    my $caller = caller;
    $Runner->import(-package => $caller, @args);
    no strict 'refs';
    *{"${caller}::$_"} = \&{"Test::More::$_"} for qw(done_testing note subtest explain);
    *{"${caller}::start_nginx"} = \&start_nginx;
    *{"${caller}::free_port"}   = \&ProxyWasm::Port::reserve_port;
}

my $runner_has_temp_paths
    = $Runner eq 'Test::Nginx::Socket' && ProxyWasm::TestNginx::has_temp_paths();

# Those that the runner expands itself, with ports of its own choosing.
my %runner_expands = map { $_ => 1 }
    qw(main_config http_config config post_main_config user_files);

add_block_preprocessor(sub {
    my ($block) = @_;
    return if defined $block->SKIP || defined $block->check_config && skip_of($block);
    ProxyWasm::TestNginx::fit_http2($block) if $Runner eq 'Test::Nginx::Socket';

    # A check has a root of its own: an nginx may still be running in the other.
    my $root = server_root() . (defined $block->check_config ? '-check' : '');
    local @ENV{qw(TEST_NGINX_SERVER_ROOT TEST_NGINX_HTML_DIR)} = ($root, "$root/html");

    for my $section (@{ $block->{_section_order}[0] || [] }) {
        my $text = $block->$section;
        next if $runner_expands{$section} || !defined $text || ref $text;
        $text =~ s/\$(TEST_NGINX_[_A-Z0-9]+)/$ENV{$1} \/\/ "\$$1"/ge or next;
        $block->set_value($section, $text);
    }

    return if !defined $block->config && !defined $block->check_config;
    my %sections = map { ($_ => scalar $block->$_) } qw(main_config http_config config);
    my ($main, $http) = preamble(
        %sections, lua => defined $block->lua, no_module => defined $block->no_module,
        has_temp_paths => $runner_has_temp_paths && !defined $block->check_config);
    $block->set_value(main_config => $main . ($sections{main_config} // ''));
    $block->set_value(http_config => find_libraries($http . ($sections{http_config} // '')));

    if (defined $block->check_config) {
        run_check_config($block, ProxyWasm::Settings::conf_options(),
            root => $root, log_level => log_level());
    }
});

1;
