package Bench::Subject::Deadlines;

# The cost of deadlines for a guest that computes: nothing is compiled into it, but signals come.

use strict;
use warnings;
use Bench::Callgrind qw(per_request);
use Bench::Client;
use Bench::Clock qw(cpu_time least);
use Bench::Row;
use Bench::Server qw(guest start stop);

sub title { 'Deadlines' }

sub rows {
    return (
        _rows('off', 'FNV-1a over 1 MiB, without deadlines', 'off'),
        _rows('on',  'FNV-1a over 1 MiB, with them, as by default', '60s', 'off'),
    );
}

# The row that counts, and the one that takes the time.
sub _rows {
    my ($key, $title, $timeout, $base) = @_;
    my %server = (
        http_config => "wasm_callback_timeout $timeout;\nwasm_plugin p @{[guest('hash')]} phase=rewrite;",
        config      => 'location /t { proxy_wasm p; return 200 ok; }',
    );
    my $time = sub {
        my $server = start(%server, master => 'off');
        my $client = Bench::Client->new($server->port);
        my $least  = least(20, sub { cpu_time($server->pid, sub { $client->ask(10) }) }) / 10;
        stop($server);
        return $least;
    };
    return (
        Bench::Row->new(
            key     => "deadlines.$key",
            title   => $title,
            per     => $base && "deadlines.$base",
            measure => sub { per_request("deadlines.$key", %server, requests => 5, warm_up => 1) },
        ),
        Bench::Row->new(
            key     => "deadlines.$key.time",
            title   => $title,
            unit    => 'ms',
            timing  => 1,
            per     => $base && "deadlines.$base.time",
            measure => $time,
        ),
    );
}

1;
