package ProxyWasm::Process;

# One nginx as a child process: starts it, checks it, signals it, stops it, and finds its workers. A
# start has succeeded when the pid file exists (nginx writes it after every module's init), and has
# failed when waitpid says so. Nothing here waits for a fixed time.

use strict;
use warnings;
use POSIX ();
use Time::HiRes qw(sleep time);

use ProxyWasm::Settings ();

use constant { STEP => 0.003, START_DEADLINE => 60 * $ProxyWasm::Settings::Patience };

# What nginx prints on a terminal. Its log takes over once the configuration is read.
sub stderr_file { "$_[0]{root}/logs/stderr.log" }
sub log_file    { "$_[0]{root}/logs/error.log" }
sub pid         { $_[0]{pid} }

my %running;

sub new {
    my ($class, %args) = @_;    # binary, root, conf, start_timeout
    return bless {%args}, $class;
}

# True when nginx runs; else {status} holds its wait status.
sub start {
    my ($self) = @_;
    my $pid_file = "$self->{root}/logs/nginx.pid";
    unlink $pid_file;
    $self->_spawn;
    my $timeout  = $self->{start_timeout} // START_DEADLINE;
    my $deadline = time + $timeout;
    while (time < $deadline) {
        return 0 if !$self->alive;
        return 1 if -s $pid_file;
        sleep STEP;
    }
    $self->stop(0);
    die "nginx did not start within $timeout s\n";
}

# Runs nginx -t and returns its wait status.
sub check_config {
    my ($self) = @_;
    $self->_spawn('-t');
    my $deadline = time + START_DEADLINE;
    while ($self->alive) {
        if (time > $deadline) {
            $self->stop(0);
            die "nginx -t did not end within " . START_DEADLINE . " s\n";
        }
        sleep STEP;
    }
    return $self->{status};
}

sub alive {
    my ($self) = @_;
    my $pid = $self->{pid} or return 0;
    my $got = waitpid $pid, POSIX::WNOHANG();
    return 1 if $got == 0;
    $self->{status} = $got == $pid ? $? : -1;
    delete $self->{pid};
    delete $running{$pid};
    return 0;
}

sub signal {
    my ($self, $signal) = @_;
    return $self->{pid} ? kill($signal, $self->{pid}) : 0;
}

# Graceful within $timeout seconds, else killed. False when it had to be killed.
sub stop {
    my ($self, $timeout) = @_;
    return 1 if !$self->alive;
    my $group = $self->{pid};
    if ($timeout) {
        $self->signal('QUIT');
        my $deadline = time + $timeout;
        sleep STEP while $self->alive && time < $deadline;
    }
    my $clean = !$self->{pid};
    # Workers share the master's process group: none outlives it.
    kill 'KILL', -$group;
    sleep STEP while $self->alive;
    return $clean;
}

# The workers that take requests: those of an older configuration call themselves
# "shutting down" and are left out. In scalar context, how many.
sub worker_pids {
    my ($self) = @_;
    return if !$self->{pid};
    my @pids = $ENV{TEST_NGINX_EMULATED} ? $self->_workers_of_log : grep {
        my $title = _slurp("/proc/$_/cmdline");
        # Under valgrind nginx cannot set its title.
        _wrapper() || $title =~ /^nginx: worker process(?! is shutting down)/;
    } $self->_children;
    return sort { $a <=> $b } @pids if wantarray;
    return scalar @pids;
}

# Under qemu nginx cannot set its title either: its log tells the workers from other processes, and which of them are leaving.
sub _workers_of_log {
    my ($self) = @_;
    my %is_worker;
    for (split /^/, _slurp($self->log_file)) {
        $is_worker{$1} = 1 if /: start worker process (\d+)$/;
        delete $is_worker{$1} if / (\d+)#\d+: gracefully shutting down$/;
    }
    return grep { $is_worker{$_} } $self->_children;
}

# Waits until no worker has work at hand and the log has stopped growing.
sub settle {
    my ($self) = @_;
    my $size     = -1;
    my $deadline = time + 1;
    while (time < $deadline && $self->{pid}) {
        my $now  = -s $self->log_file || 0;
        my @busy = grep { _slurp("/proc/$_/stat") =~ /\) [RD] / } $self->_children, $self->{pid};
        return if $now == $size && !@busy;
        $size = $now;
        sleep 0.01;
    }
}

sub _children {
    my ($self) = @_;
    my $listed = _slurp("/proc/$self->{pid}/task/$self->{pid}/children");
    return split ' ', $listed if length $listed;
    # A kernel may be built without that file.
    my @pids;
    for my $stat (glob '/proc/[0-9]*/stat') {
        push @pids, $1 if _slurp($stat) =~ /^(\d+) \(.*\) \S (\d+) /s && $2 == $self->{pid};
    }
    return @pids;
}

sub _spawn {
    my ($self, @args) = @_;
    # Lines of a start that fails must land in the log whatever path was compiled in.
    my @cmd = (
        _wrapper(), $self->{binary}, '-p', "$self->{root}/", '-c', $self->{conf},
        '-e', $self->log_file, @args
    );
    my $parent = $$;
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE __DIE__ __WARN__);
        setpgrp;
        _die_with($parent);
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>',  $self->stderr_file;
        open STDERR, '>&', \*STDOUT;
        { no warnings 'exec'; exec { $cmd[0] } @cmd }
        print {*STDERR} "cannot execute $cmd[0]: $!\n";
        POSIX::_exit(127);
    }
    delete $self->{status};
    $self->{pid} = $pid;
    $running{$pid} = $self;
}

# TEST_NGINX_USE_VALGRIND: 1, or the options to give it. t/valgrind.supp holds what is known and not ours. Checks are precise, because
# compilers test several bits at once, of which one that is written decides (not_found of a variable, which then has no valid). Jumps
# are not followed, or what faults right behind one is said to be the jump: then wasmtime does not know the fault for a guest's. What
# is pointed to in its midst counts as kept, as nginx keeps its tables and free connections.
sub _wrapper {
    my $use = $ENV{TEST_NGINX_USE_VALGRIND} or return;
    return ('valgrind', '-q', '--suppressions=t/valgrind.supp',
        $use =~ /^\d+$/
        ? qw(--leak-check=full --show-possibly-lost=no --smc-check=all-non-file --num-callers=30
            --expensive-definedness-checks=yes --vex-guest-chase=no)
        : split ' ', $use);
}

# Should the test itself be killed outright, the kernel ends nginx in its place.
sub _die_with {
    my ($parent) = @_;
    my $prctl = { x86_64 => 157, aarch64 => 167 }->{ (POSIX::uname())[4] } or return;
    syscall $prctl, 1, POSIX::SIGTERM(), 0, 0, 0;
    POSIX::_exit(1) if getppid != $parent;
}

sub _slurp {
    my ($path) = @_;
    open my $in, '<', $path or return '';
    local $/;
    return scalar(<$in>) // '';
}

# Servers still up when a test file ends or dies.
my $owner = $$;

END {
    if ($$ == $owner) {
        local $?;
        $_->stop(0) for values %running;
    }
}

1;
