package Bench::Server;

# The nginx that is measured: the one of the test suites, with a configuration that adds as little
# as possible to the measured part. If its log has a line that would fail a test, the whole run
# fails.

use strict;
use warnings;
use File::Path qw(make_path remove_tree);
use ProxyWasm::Module qw(repository target_dir);
use ProxyWasm::Server qw(start_nginx);
use ProxyWasm::Settings ();
use Test::More ();

use Exporter 'import';
our @EXPORT_OK = qw(directory guest plugin start stop);

# Where everything goes that a run leaves.
sub directory { target_dir() . '/bench' }

# A guest of benches/guests, or a plugin that `make plugins` built.
sub guest { repository() . "/benches/guests/$_[0].wat" }

sub plugin {
    my ($name) = @_;
    my $path = ($ENV{TEST_NGINX_PLUGINS} // target_dir() . '/plugins') . "/$name.wasm";
    die "$path is not there: run make plugins\n" if !-e $path;
    return $path;
}

# Options of ProxyWasm::Server, of which only these have another default: log_level, workers, worker_connections.
sub start {
    my (%o) = @_;
    make_path(directory());
    $ProxyWasm::Settings::ServRoot = directory() . "/servroot-$$";
    my $http = "access_log off;\nkeepalive_requests 1000000;\n";
    return start_nginx(
        log_level => 'warn', workers => 1, worker_connections => 4096, no_root_location => 1, %o,
        http_config => $http . ($o{http_config} // ''),
    );
}

sub stop {
    my ($server) = @_;
    # nginx as a single process looks for signals only after an event, so one that came just before it waits would be lost.
    kill 'QUIT', $server->pid;
    eval { $server->connect(timeout => 1) };
    # Valgrind makes an end slow.
    $server->stop(timeout => 60);
    die "nginx complained, see above and in @{[$server->root]}\n" if !Test::More->builder->is_passing;
    remove_tree($server->root);
}

1;
