package ProxyWasm::Settings;

# The switches of a test file (workers, log_level …), under the names and with the defaults of
# Test::Nginx, and the paths on disk. It is state only: nothing here starts, writes or checks
# anything.

use strict;
use warnings;
use Cwd ();
use ProxyWasm::Port qw(reserve_port);

use Exporter 'import';
our @EXPORT = qw(
    workers worker_connections master_on master_off log_level timeout
    no_long_string no_shuffle no_root_location server_root html_dir
);

our $Binary       = $ENV{TEST_NGINX_BINARY}         || 'nginx';
our $ServRoot     = $ENV{TEST_NGINX_SERVROOT}       || Cwd::getcwd() . "/t/servroot-$$";
our $ServerPort   = $ENV{TEST_NGINX_SERVER_PORT}    || $ENV{TEST_NGINX_PORT} || reserve_port();
our $LogLevel     = $ENV{TEST_NGINX_LOG_LEVEL}      || 'debug';
our $Master       = $ENV{TEST_NGINX_MASTER_PROCESS} || 'off';
our $Verbose      = $ENV{TEST_NGINX_VERBOSE};
our $NoShuffle    = $ENV{TEST_NGINX_NO_SHUFFLE};
# How many times longer than usual everything may take.
our $Patience     = $ENV{TEST_NGINX_USE_VALGRIND} ? 20 : $ENV{TEST_NGINX_EMULATED} ? 10 : $ENV{TEST_NGINX_SANITIZED} ? 3 : 1;
our $Timeout      = ($ENV{TEST_NGINX_TIMEOUT} || 3) * $Patience;
our $Workers      = 1;
our $Connections  = 64;
our $ServerName   = 'localhost';
our ($NoLongString, $NoRootLocation);

$ENV{TEST_NGINX_SERVER_PORT} = $ServerPort;
$ENV{TEST_NGINX_SERVER_ROOT} = $ServRoot;

# A switch that reads without an argument and sets with one.
sub _accessor {
    my ($name, $ref) = @_;
    no strict 'refs';
    *$name = sub (@) { $$ref = shift if @_; return $$ref };
}

_accessor(workers            => \$Workers);
_accessor(worker_connections => \$Connections);
_accessor(log_level          => \$LogLevel);
_accessor(timeout            => \$Timeout);

sub master_on ()        { $Master         = 'on' }
sub master_off ()       { $Master         = 'off' }
sub no_long_string ()   { $NoLongString   = 1 }
sub no_shuffle ()       { $NoShuffle      = 1 }
sub no_root_location () { $NoRootLocation = 1 }
sub server_root ()      { $ServRoot }
sub html_dir ()         { "$ServRoot/html" }

# What ProxyWasm::Conf needs to know that no block says.
sub conf_options {
    return (
        root             => $ServRoot,
        port             => $ServerPort,
        workers          => $Workers,
        connections      => $Connections,
        master           => $Master,
        log_level        => $LogLevel,
        server_name      => $ServerName,
        no_root_location => $NoRootLocation,
        listen_options   => '',
    );
}

1;
