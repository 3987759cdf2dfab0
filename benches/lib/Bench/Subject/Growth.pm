package Bench::Subject::Growth;

# The cost of a request as numbers grow: other PluginContexts and open requests must not matter;
# each plugin and each header of the request must cost the same.

use strict;
use warnings;
use Bench::Callgrind qw(REQUESTS WARM_UP count per_request under_callgrind);
use Bench::Client;
use Bench::Row;
use Bench::Server qw(guest);

use constant { CONTEXTS => 1000, OPEN => 10_000, HELD => 100 };

sub title { 'Growth' }

sub rows {
    return (_contexts(), _open(), _plugins(), _headers('header', 'one header is read', 'headers'),
        _headers('header-map', 'all headers are read', 'header-map'));
}

sub _contexts {
    my $measure = sub {
        my ($key, $others) = @_;
        # Of another server, so that nginx's own search for the location stays the same.
        my $locations = join '', map { "location /$_ { proxy_wasm p $_; }\n" } 1 .. $others;
        return per_request(
            $key,
            http_config => _plugin('headers')
                . "server { listen \$TEST_NGINX_SERVER_PORT; server_name other;\n$locations}\n",
            config => 'location /t { proxy_wasm p yes; return 200 ok; }',
        );
    };
    return _flat('contexts', 'other PluginContexts', 0, CONTEXTS, $measure);
}

# A hundred requests are left open, each held by the last plugin of its location; a hundred others of it, or none, run before.
sub _open {
    my $measure = sub {
        my ($key, $open) = @_;
        my %server = (
            http_config => _plugin('headers') . 'wasm_plugin pause ' . guest('pause') . " phase=rewrite;\n",
            config      => "wasm_pause_timeout 1h;\nlocation /t { proxy_wasm p yes; return 200 ok; }\n"
                . "location /hold {\n" . "proxy_wasm p;\n" x ($open / HELD) . "proxy_wasm pause; return 200 ok; }\n"
                . 'location /status { wasm_status; }',
        );
        return under_callgrind(\%server, sub {
            my ($server) = @_;
            my @held = map { Bench::Client->new($server->port, path => '/hold') } 1 .. HELD;
            $_->leave_open for @held;
            my $client = Bench::Client->new($server->port);
            $client->ask(WARM_UP);
            my $count  = count($server, $key, sub { $client->ask(REQUESTS) }) / REQUESTS;
            my $status = Bench::Client->new($server->port, path => '/status')->ask(1)->{body};
            my ($seen) = $status =~ /"http_contexts"\s*:\s*(\d+)/;
            die "$seen HttpContexts are open, not $open\n" if $seen != $open;
            return $count;
        });
    };
    return _flat('open', 'other HttpContexts open', 0, OPEN, $measure);
}

# Two rows, the second of which is to be as the first.
sub _flat {
    my ($what, $title, $few, $many, $measure) = @_;
    my @rows = map {
        my ($key, $number) = ("growth.$what-$_", $_);
        Bench::Row->new(key => $key, title => "$number $title", measure => sub { $measure->($key, $number) });
    } $few, $many;
    $rows[1]{over} = $rows[0]{key};
    return @rows;
}

sub _plugins {
    my $with = _memoized(sub {
        my ($plugins) = @_;
        return per_request(
            "growth.plugins-$plugins",
            http_config => _plugin('headers'),
            config      => "location /t {\n" . "proxy_wasm p yes;\n" x $plugins . "return 200 ok; }",
        );
    });
    return _linear('plugin', 'a further plugin, from %d to %d', $with, 1, 8, 32);
}

sub _headers {
    my ($what, $title, $guest) = @_;
    my $with = _memoized(sub {
        my ($headers, $attached) = @_;
        return per_request(
            "growth.$what-$headers" . ($attached ? '' : '-nginx'),
            http_config => _plugin($guest),
            config      => 'location /t { ' . ($attached ? 'proxy_wasm p yes; ' : '') . 'return 200 ok; }',
            # In front of the one that is looked for.
            request     => { headers => [map { ("X-Header-$_", "value-$_") } 10 .. 9 + $headers] },
        );
    });
    return _linear($what, "a further request header where $title, from %d to %d",
        sub { $with->($_[0], 1) - $with->($_[0], 0) }, 0, 20, 80);
}

# What one more costs, from few to some, and from some to many.
sub _linear {
    my ($what, $title, $measure, $few, $some, $many) = @_;
    my @rows = map {
        my ($suffix, $from, $to) = @$_;
        Bench::Row->new(
            key     => "growth.$what$suffix",
            title   => sprintf($title, $from, $to),
            measure => sub { ($measure->($to) - $measure->($from)) / ($to - $from) },
        );
    } ['', $few, $some], ['-many', $some, $many];
    $rows[1]{per} = $rows[0]{key};
    return @rows;
}

sub _memoized {
    my ($function) = @_;
    my %known;
    return sub { $known{"@_"} //= $function->(@_) };
}

sub _plugin { "wasm_plugin p @{[guest($_[0])]} phase=rewrite;\n" }

1;
