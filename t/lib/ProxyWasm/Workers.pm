package ProxyWasm::Workers;

# Addresses single workers of a server of start_nginx: asks a certain worker, lists its threads and children.

use strict;
use warnings;
use List::Util qw(uniq);
use Time::HiRes qw(sleep time);

use Exporter 'import';
our @EXPORT = qw(ask_worker children threads);

# The answer of worker $pid to a GET. The others are stopped meanwhile, so that nobody else takes the connection.
sub ask_worker {
    my ($server, $pid, @request) = @_;
    my @others = grep { $_ != $pid } $server->worker_pids;
    kill STOP => @others;
    # A worker that is on its way to sleep may still take a connection, and then keep it.
    my $deadline = time + 10;
    sleep 0.001 while time < $deadline && grep { _state($_) ne 'T' } @others;
    my $response = eval { $server->get(@request) };
    my $error = $@;
    kill CONT => @others;
    return $response // die $error;
}

# The names of a process's threads, sorted. A new one has its process's name at first: those expected are waited for.
sub threads {
    my ($pid, @expected) = @_;
    my $deadline = time + 2;
    while (1) {
        my @names = sort map { _read($_) =~ /^(.*)$/m } glob "/proc/$pid/task/*/comm";
        # qemu has a thread of its own.
        @names = sort(uniq(map { /^qemu-/ ? 'nginx' : $_ } @names)) if $ENV{TEST_NGINX_EMULATED};
        return @names if "@names" eq "@expected" || time > $deadline;
        sleep 0.005;
    }
}

# All processes of a server but its master: workers, old ones too, and helpers.
sub children {
    my ($server) = @_;
    my $master = $server->pid;
    return grep { _read("/proc/$_/stat") =~ /^\d+ \(.*\) \S $master /s } map { m{(\d+)} } glob '/proc/[0-9]*';
}

sub _state {
    my ($pid) = @_;
    return _read("/proc/$pid/stat") =~ /^\d+ \(.*\) (\S) /s ? $1 : 'T';    # gone is as good
}

sub _read {
    my ($path) = @_;
    open my $in, '<', $path or return '';
    local $/;
    return scalar(<$in>) // '';
}

1;
