package Bench::Subject::Isolation;

# What it costs that each request has an instance of a plugin for itself: processor time beside isolation=worker, because most of
# it is the kernel's.

use strict;
use warnings;
use Bench::Client;
use Bench::Clock qw(cpu_time least);
use Bench::Row;
use Bench::Server qw(guest plugin start stop);

use constant { WARM_UP => 500, REQUESTS => 1000, TIMES => 10 };

sub title { 'Isolation' }

sub rows {
    return (
        _rows('native', 'the plugin of `requests.native`', guest('headers'),      'on'),
        _rows('rust',   'the plugin of `requests.rust`',   plugin('log-headers'), 'on'),
        _rows('go',     'the plugin of `requests.go`',     plugin('go-headers'),  'on'),
        _rows('go-started', 'the same, without an image',  plugin('go-headers'),  'off'),
    );
}

sub _rows {
    my ($key, $title, $plugin, $image) = @_;
    return map {
        my $isolation = $_;
        Bench::Row->new(
            key     => "isolation.$key" . ($isolation eq 'worker' ? '.worker' : ''),
            title   => $isolation eq 'worker' ? "$title, of which requests share an instance" : "$title, of which each has its own",
            unit    => 'µs',
            timing  => 1,
            over    => $isolation eq 'request' ? "isolation.$key.worker" : undef,
            measure => sub { _time($plugin, $image, $isolation) },
        );
    } qw(worker request);
}

# Microseconds of a processor for a request.
sub _time {
    my ($plugin, $image, $isolation) = @_;
    my $server = start(
        http_config => "wasm_plugin p $plugin phase=rewrite isolation=$isolation image=$image;",
        config      => 'location /t { proxy_wasm p yes; return 200 ok; }',
    );
    my $client = Bench::Client->new($server->port);
    my ($pid)  = $server->worker_pids;
    $client->ask(WARM_UP);
    my $least = least(TIMES, sub { cpu_time($pid, sub { $client->ask(REQUESTS) }) });
    stop($server);
    return 1000 * $least / REQUESTS;
}

1;
