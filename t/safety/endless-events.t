# Plugins whose callbacks bring about the next callback, without end: nginx's loop has its turn in
# between, so others are served, and a worker that is told to quit does.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';

# A call that fails as soon as it is made: nothing waits for the network.
my $call    = '["http_call", "unix:$TEST_NGINX_SERVROOT/none", [[":method", "GET"], [":authority", "localhost"], [":path", "/"]]]';
my $grpc    = '["grpc_call", "unix:$TEST_NGINX_SERVROOT/none", "s", "m", [], ""]';
my $resolve = '["call_foreign_function", "resolve", "127.0.0.1"]';
my $enqueue = '["enqueue_shared_queue", "${q}", "x"]';

# By what goes round: what starts it, and the callback that starts it again.
my %round = (
    queue   => [$enqueue, on_queue_ready => qq(["dequeue_shared_queue", "\${q}"], $enqueue)],
    call    => [$call, on_http_call_response => $call],
    grpc    => [$grpc, on_grpc_close => $grpc],
    resolve => [$resolve, on_foreign_function => $resolve],
);

my %plugins;
for my $what (sort keys %round) {
    my ($start, $callback, $again) = @{ $round{$what} };
    # Of the plugin, from a tick: a request's would end with it.
    $plugins{$what} = { script => <<"SCRIPT" };
{"on_configure": [{"op": "register_shared_queue", "args": ["$what"], "as": "q"}],
 "on_request_headers": [["set_effective_context", "\${plugin_id}"], $start],
 "$callback": [$again, {"op": "increment_metric", "args": ["\${rounds}", 1], "quiet": true}]}
SCRIPT
    $plugins{$what}{script} =~ s/"as": "q"\}/"as": "q"}, {"op": "define_metric", "args": ["counter", "rounds"], "as": "rounds"}/;
    # Of a request that waits.
    $plugins{"$what-request"} = { script => <<"SCRIPT" } if $what ne 'queue';
{"on_request_headers": [$start, ["return", "pause"]], "$callback": [$again]}
SCRIPT
}

sub zoo_with {
    my ($name, %o) = @_;
    return open_zoo(
        plugins     => { $name => $plugins{$name} },
        config      => 'location = /metrics { wasm_metrics; }',
        http_config => 'wasm_metrics_zone 128k;',
        main_config => 'worker_shutdown_timeout 1s;',
        log_level   => 'crit',
        %o,
    );
}

# nginx itself says at [crit] that a socket is not there.
my @allow = (allow => [qr/\[crit\].*connect\(\) to unix:/]);

sub rounds {
    my ($zoo) = @_;
    return $zoo->get('/metrics')->{body} =~ /^rounds\{.*\} (\d+)$/m ? $1 : 0;
}

for my $what (sort keys %round) {
    subtest "$what without end" => sub {
        my $zoo = zoo_with($what);
        is $zoo->get("/$what")->{status}, 200, 'starts';
        $zoo->is_unharmed('while it goes round');
        my $before = rounds($zoo);
        $zoo->get('/plain') for 1 .. 3;
        cmp_ok rounds($zoo), '>', $before, 'and it goes on';
        $zoo->close(@allow);
    };
}

for my $name (sort grep { /-request$/ } keys %plugins) {
    subtest "$name without end" => sub {
        my $zoo = zoo_with($name);
        my $client = $zoo->server->connect;
        $client->send_request('GET', "/$name");
        $zoo->is_unharmed('while it goes round') for 1 .. 3;
        undef $client;
        $zoo->is_unharmed('when its client has left');
        $zoo->close(@allow);
    };
}

# A tick that takes longer than its period is due again when it returns.
subtest 'ticks that are always due' => sub {
    my $zoo = open_zoo(
        plugins => { tick => {
            script  => '{"on_configure": [["set_tick_period_milliseconds", 1]], "on_tick": [["loop"]]}',
            options => 'callback_timeout=20ms',
        } },
        log_level => 'crit',
    );
    $zoo->is_unharmed('meanwhile') for 1 .. 3;
    $zoo->close;
};

done_testing;
