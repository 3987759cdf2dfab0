package Bench::Subject::Deadlines;

# What a guest that computes pays for being stoppable: the code of every loop and function looks at the epoch, unless
# `wasm_callback_timeout off` stands in `http`.

use strict;
use warnings;
use Bench::Callgrind qw(per_request);
use Bench::Row;
use Bench::Server qw(guest);

sub title { 'Deadlines' }

sub rows {
    return (
        _row('off', 'FNV-1a over 1 MiB, without deadlines', 'off'),
        _row('on',  'with them, as by default',             '60s', per => 'deadlines.off'),
    );
}

sub _row {
    my ($key, $title, $timeout, %o) = @_;
    return Bench::Row->new(
        key     => "deadlines.$key",
        title   => $title,
        measure => sub {
            per_request(
                "deadlines.$key",
                requests    => 5,
                warm_up     => 1,
                http_config => "wasm_callback_timeout $timeout;\nwasm_plugin p @{[guest('hash')]} phase=rewrite;",
                config      => 'location /t { proxy_wasm p; return 200 ok; }',
            );
        },
        %o,
    );
}

1;
