package ProxyWasm::Settings;

# The switches of a test file (workers, log_level, repeat_each …) under the names
# and with the defaults of Test::Nginx, and where things are on disk. State only:
# nothing here starts, writes or checks anything.

use strict;
use warnings;
use Cwd ();
use ProxyWasm::Port qw(reserve_port);

use Exporter 'import';
our @EXPORT = qw(
    repeat_each workers worker_connections master_on master_off
    master_process_enabled log_level timeout no_long_string no_shuffle
    no_root_location no_nginx_manager use_hup check_accum_error_log
    config_preamble env_to_nginx server_name server_addr server_root html_dir
    server_port server_port_for_client
);

our $Binary       = $ENV{TEST_NGINX_BINARY}         || 'nginx';
our $ServRoot     = $ENV{TEST_NGINX_SERVROOT}       || Cwd::getcwd() . "/t/servroot-$$";
our $ServerPort   = $ENV{TEST_NGINX_SERVER_PORT}    || $ENV{TEST_NGINX_PORT} || reserve_port();
our $ClientPort   = $ENV{TEST_NGINX_CLIENT_PORT}    || $ServerPort;
our $Timeout      = $ENV{TEST_NGINX_TIMEOUT}        || 3;
our $LogLevel     = $ENV{TEST_NGINX_LOG_LEVEL}      || 'debug';
our $Master       = $ENV{TEST_NGINX_MASTER_PROCESS} || 'off';
our $EventType    = $ENV{TEST_NGINX_EVENT_TYPE};
our $WorkerUser   = $ENV{TEST_NGINX_WORKER_USER};
our $UseHttp2     = $ENV{TEST_NGINX_USE_HTTP2};
our $Verbose      = $ENV{TEST_NGINX_VERBOSE};
our $NoShuffle    = $ENV{TEST_NGINX_NO_SHUFFLE};
our $AccumLog     = $ENV{TEST_NGINX_CHECK_ACCUM_ERR_LOG};
our $LoadModules  = $ENV{TEST_NGINX_LOAD_MODULES};
# How many times longer than usual everything may take.
our $Patience     = $ENV{TEST_NGINX_USE_VALGRIND} ? 20 : 1;
our $RepeatEach   = 1;
our $Workers      = 1;
our $Connections  = 64;
our $ServerAddr   = '127.0.0.1';
our $ServerName   = 'localhost';
our $Preamble     = '';
our @Env;
our ($NoLongString, $NoRootLocation, $NoManager);

$ENV{TEST_NGINX_SERVER_PORT} = $ServerPort;
$ENV{TEST_NGINX_SERVER_ROOT} = $ServRoot;

# A switch that reads without an argument and sets with one.
sub _accessor {
    my ($name, $ref) = @_;
    no strict 'refs';
    *$name = sub (@) { $$ref = shift if @_; return $$ref };
}

_accessor(repeat_each            => \$RepeatEach);
_accessor(workers                => \$Workers);
_accessor(worker_connections     => \$Connections);
_accessor(log_level              => \$LogLevel);
_accessor(timeout                => \$Timeout);
_accessor(server_name            => \$ServerName);
_accessor(server_addr            => \$ServerAddr);
_accessor(server_port            => \$ServerPort);
_accessor(server_port_for_client => \$ClientPort);
_accessor(config_preamble        => \$Preamble);

sub master_on ()             { $Master         = 'on' }
sub master_off ()            { $Master         = 'off' }
sub no_long_string ()        { $NoLongString   = 1 }
sub no_shuffle ()            { $NoShuffle      = 1 }
sub no_root_location ()      { $NoRootLocation = 1 }
sub no_nginx_manager ()      { $NoManager      = 1 }
sub check_accum_error_log () { $AccumLog       = 1 }
sub server_root ()           { $ServRoot }
sub html_dir ()              { "$ServRoot/html" }

# Every block gets a fresh nginx here, so there is no reload to choose instead.
sub use_hup () { }

sub master_process_enabled (@) {
    $Master = shift() ? 'on' : 'off' if @_;
    return $Master;
}

sub env_to_nginx (@) {
    push @Env, @_;
}

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
        preamble         => $Preamble,
        no_root_location => $NoRootLocation,
        env              => \@Env,
        load_modules     => $LoadModules,
        event_type       => $EventType,
        user             => $WorkerUser,
        listen_options   => '',
    );
}

1;
