package ProxyWasm::Server;

# An nginx for plain Perl tests, which reload it under load, kill a worker, stop it and read its
# log. The head of t/ProxyWasm.pm shows how to use it. Waits are for events (a line, a pid) with a
# deadline, never for a fixed time.

use strict;
use warnings;
use Test::More ();
use Time::HiRes qw(sleep time);
use ProxyWasm::Conf qw(expand_env make_root write_conf write_user_files);
use ProxyWasm::Client ();
use ProxyWasm::Connection;
use ProxyWasm::Guard qw(bad_lines);
use ProxyWasm::Load;
use ProxyWasm::Log;
use ProxyWasm::Module qw(find_libraries preamble);
use ProxyWasm::Port qw(reserve_port);
use ProxyWasm::Process;
use ProxyWasm::Settings ();

use Exporter 'import';
our @EXPORT_OK = qw(start_nginx);

use constant { STEP => 0.005, DEADLINE => 30 * $ProxyWasm::Settings::Patience };

my $count = 0;

sub start_nginx {
    my (%o) = @_;
    my $self = bless {
        root  => ProxyWasm::Settings::server_root() . '-s' . ++$count,
        port  => $o{port} || reserve_port(),
        ports => {},
        conf  => {%o},
        since => 0,
        owner => $$,
    }, __PACKAGE__;

    make_root($self->{root});
    write_user_files($self->{root}, $o{user_files}, sub { $self->expand($_[0]) });
    $self->{nginx} = ProxyWasm::Process->new(
        binary => $o{binary} // $ProxyWasm::Settings::Binary,
        root   => $self->{root},
        conf   => $self->_write_conf,
        start_timeout => $o{start_timeout},
    );
    if ($self->{nginx}->start) {
        $self->_wait(sub { $self->worker_pids >= $self->{conf}{workers} })
            if $self->_master eq 'on';
        return $self;
    }
    $self->{exit_code} = $self->{nginx}{status} >> 8;
    return $self if $o{must_die};
    die 'nginx did not start: ' . $self->stderr . "\n";
}

sub port        { $_[0]{port} }
sub root        { $_[0]{root} }
sub html_dir    { "$_[0]{root}/html" }
sub pid         { $_[0]{nginx}->pid }
sub alive       { $_[0]{nginx}->alive }
sub exit_code   { $_[0]{exit_code} }
sub worker_pids { $_[0]{nginx}->worker_pids }

# $TEST_NGINX_* as in configurations, with this server's own port and paths.
sub expand {
    my ($self, $text) = @_;
    return expand_env($text, {
        TEST_NGINX_SERVER_PORT => $self->{port},
        TEST_NGINX_SERVER_ROOT => $self->{root},
        TEST_NGINX_SERVROOT    => $self->{root},
        TEST_NGINX_HTML_DIR    => $self->html_dir,
    }, $self->{ports});
}

# -- requests ---------------------------------------------------------------

# {status, reason, headers => {lowercased name => value}, header_list, body, …}
sub get {
    my ($self, $path, @headers) = @_;
    return $self->request('GET', $path, headers => \@headers);
}

# The first response to a GET that $suits->($response) is true for, asked for again and again, or else the last one. For what not
# every worker has yet: any of them may answer.
sub get_until {
    my ($self, $suits, $path, @headers) = @_;
    my $response;
    $self->_wait(sub { $response = $self->get($path, @headers); return $suits->($response) });
    return $response;
}

sub post {
    my ($self, $path, $body, @headers) = @_;
    return $self->request('POST', $path, headers => \@headers, body => $body);
}

sub request {
    my ($self, $method, $path, %o) = @_;
    my $connection = $self->connect(timeout => $o{timeout});
    $connection->send_request($method, $path, close => 1, %o);
    return $connection->read_response;
}

# A connection that is kept: ->request(…), or ->send_request(…) now and
# ->read_response later.
sub connect {
    my ($self, %o) = @_;
    return ProxyWasm::Connection->new(port => $self->{port}, timeout => $o{timeout});
}

# Sends bytes as they are, and answers what comes until the server closes.
sub raw {
    my ($self, $bytes, %o) = @_;
    my $timeout = ($o{timeout} || 10) * $ProxyWasm::Settings::Patience;
    my @to = (address => '127.0.0.1', port => $o{port} // $self->{port}, timeout => $timeout);
    my $got = ProxyWasm::Client::exchange(@to, packets => [$bytes]);
    return $got->{data} . ($got->{timed_out} ? ' (timed out)' : '');
}

# Clients that ask $path until ->stop, which says what they got: {200 => 1234}.
sub start_load {
    my ($self, $path, %o) = @_;
    return ProxyWasm::Load->start(port => $self->{port}, path => $path, %o);
}

# -- life -------------------------------------------------------------------

# HUP, with a new configuration if one is given. True once the new workers are there
# and the old ones take no more connections; false if nginx refused the configuration.
sub reload {
    my ($self, %conf) = @_;
    if (%conf) {
        $self->{conf} = { %{ $self->{conf} }, %conf };
        $self->_write_conf;
    }
    my %old = map { $_ => 1 } $self->worker_pids;
    my $log = ProxyWasm::Log->new($self->{nginx}->log_file);
    $log->mark;
    $self->signal('HUP');
    my $refused = 0;
    $self->_wait(sub {
        return 1 if $refused = grep { /\[emerg\]/ } @{ $log->read_lines };
        my @now = $self->worker_pids;
        return @now >= $self->{conf}{workers} && !grep { $old{$_} } @now;
    }) or die "nginx did not reload within " . DEADLINE . " s\n";
    return !$refused;
}

# "nginx -t" on this configuration, for a server that did not start: its exit code and
# the lines it printed.
sub check_config {
    my ($self) = @_;
    my $status = $self->{nginx}->check_config;
    return ($status >> 8, split /^/, $self->stderr);
}

# To the master, or to a worker: $s->signal(KILL => ($s->worker_pids)[0]).
sub signal {
    my ($self, $signal, $pid) = @_;
    $pid //= $self->pid or die "nginx is not running\n";
    return kill $signal, $pid;
}

# Waits until $pid is gone, workers of an older configuration too.
sub wait_for_exit {
    my ($self, $pid, $timeout) = @_;
    return $self->_wait(sub { !kill(0, $pid) }, $timeout);
}

# Waits until a process, by default the master, sleeps: it has then done what it was woken for, and
# the kernel has counted the time that this took.
sub wait_until_asleep {
    my ($self, $pid) = @_;
    $pid //= $self->pid;
    return $self->_wait(sub {
        open my $status, '<', "/proc/$pid/status" or return 0;
        return join('', <$status>) =~ /^State:\s+S/m;
    });
}

# Waits for $n workers (default: as configured), none of them in @$without.
sub wait_for_workers {
    my ($self, $n, $without) = @_;
    my %not = map { $_ => 1 } @{ $without || [] };
    $n ||= $self->{conf}{workers};
    return $self->_wait(sub {
        my @now = $self->worker_pids;
        return @now >= $n && !grep { $not{$_} } @now;
    });
}

# Graceful (QUIT), by force after {timeout} seconds. Fails the test if that was
# needed, or for bad lines in the log that {allow}, a list of patterns, does not name.
sub stop {
    my ($self, %o) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $timeout = $o{timeout} // DEADLINE;
    my $clean   = $self->{nginx}->stop($timeout);
    Test::More::fail("nginx did not stop by itself within $timeout s") if !$clean;
    my $status = $self->{nginx}{status};
    $self->{exit_code} = $status >> 8 if defined $status;

    my @lines = map { @{ ProxyWasm::Log->new($_)->read_lines } }
        $self->{nginx}->log_file, $self->{nginx}->stderr_file;
    if (my @bad = bad_lines(\@lines, $o{allow} || [])) {
        Test::More::fail('lines in error.log that the test did not allow');
        Test::More::diag(@bad);
    }
    return $clean;
}

# -- log --------------------------------------------------------------------

# From here on, error_log and wait_for_log see only what comes.
sub mark_log {
    my ($self) = @_;
    $self->{since} = -s $self->{nginx}->log_file || 0;
}

sub error_log {
    my ($self) = @_;
    my $log = ProxyWasm::Log->new($self->{nginx}->log_file);
    $log->{pos} = $self->{since};
    return join '', @{ $log->read_lines };
}

# The first line that matches, or nothing after $timeout seconds. {count} asks for
# that many lines, and then the last of them is returned.
sub wait_for_log {
    my ($self, $pattern, %o) = @_;
    my $log = ProxyWasm::Log->new($self->{nginx}->log_file);
    $log->{pos} = $self->{since};
    my @found;
    my $count = $o{count} || 1;
    $self->_wait(sub {
        push @found, grep { ProxyWasm::Log::line_matches($_, $pattern) } @{ $log->read_lines };
        return @found >= $count;
    }, $o{timeout}) or return;
    return $found[$count - 1];
}

sub stderr {
    my ($self) = @_;
    return join '', @{ ProxyWasm::Log->new($self->{nginx}->stderr_file)->read_lines };
}

# -- inside -----------------------------------------------------------------

sub _master { $_[0]{conf}{master} // 'on' }

sub _write_conf {
    my ($self) = @_;
    my $o = $self->{conf};
    $o->{workers} ||= 1;
    my ($main, $http) = preamble(%$o);
    return write_conf({
        root             => $self->{root},
        port             => $self->{port},
        workers          => $o->{workers},
        connections      => $o->{worker_connections} || 256,
        master           => $self->_master,
        log_level        => $o->{log_level} // 'info',
        server_name      => 'localhost',
        no_root_location => $o->{no_root_location},
        listen_options   => $o->{http2} ? ' http2' : '',
        main_config      => $self->expand($main . ($o->{main_config} // '')),
        http_config      => $self->expand(find_libraries($http . ($o->{http_config} // ''))),
        config           => $self->expand($o->{config} // ''),
        post_main_config => $self->expand($o->{post_main_config} // ''),
        env              => $o->{env},
        user             => $o->{user},
    });
}

sub _wait {
    my ($self, $condition, $timeout) = @_;
    my $deadline = time + ($timeout // DEADLINE);
    while (1) {
        return 1 if $condition->();
        return 0 if time > $deadline;
        sleep STEP;
    }
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};    # a forked child lets go of its copy
    local ($?, $@, $!);
    $self->{nginx}->stop(0) if $self->{nginx};
}

1;
