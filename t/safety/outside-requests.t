# A plugin that fails in a callback which belongs to no request (a tick, a queue, the answer to a call of its root context): what made
# the callback due ends with the instance; a fresh one comes up, by itself where ticks or a queue wait for it, and is called again.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo qw(open_zoo BRIEF);

my %fault = (
    trap => '["trap"]', loop => '["loop"]', exit => '["exit", 1]', panic => '["panic", "on purpose"]', stack => '["trap", "stack"]',
);

# Fails the first time: shared data outlives the instance.
sub once {
    my ($name, $fault) = @_;
    return qq(["get_shared_data", "$name"],
        {"if": ["eq", "\${last}", "failed"],
         "then": [["log", "warn", "$name is cured"]],
         "else": [["set_shared_data", "$name", "failed"], $fault]});
}

sub script {
    my ($name, $configure, $callback, $steps, $fault) = @_;
    return qq({
        "on_configure": [$configure],
        "on_request_headers": [
            {"if": ["request_header", "x-item"], "then": [["resolve_shared_queue", "$name", "$name"], ["enqueue_shared_queue", "\${last}", "item"]]}
        ],
        "on_response_headers": [["add_header_map_value", "response", "x-zoo", "alive"]],
        $steps
        "$callback": [${\ once($name, $fault) }]
    });
}

my %plugins;
for (sort keys %fault) {
    $plugins{"tick-$_"}  = { script => script("tick-$_", '["set_tick_period_milliseconds", 20]', 'on_tick', '', $fault{$_}) };
    $plugins{"queue-$_"} = { script => script("queue-$_", qq(["register_shared_queue", "queue-$_"]), 'on_queue_ready', '', $fault{$_}) };
    $plugins{"call-$_"}  = { script => script("call-$_", '["set_tick_period_milliseconds", 20]', 'on_http_call_response',
        '"on_tick": [["set_tick_period_milliseconds", 0],
            ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/plain"], [":authority", "localhost"]]]],', $fault{$_}) };
}
$_->{options} = 'callback_timeout=' . BRIEF for values %plugins;
my $zoo = open_zoo(http_config => "wasm_shared_data 64k; wasm_shared_queue 64k;\n", plugins => \%plugins);

my %callback = (tick => 'on_tick', queue => 'on_queue_ready', call => 'on_http_call_response');
for my $kind (sort keys %callback) {
    for my $fault (sort keys %fault) {
        my $name = "$kind-$fault";
        subtest "$fault in $callback{$kind}" => sub {
            is $zoo->get("/$name", 'X-Item' => 1)->{status}, 200, 'an item for the queue' if $kind eq 'queue';
            ok $zoo->server->wait_for_log(qr/\[error\].*proxy_$callback{$kind} of plugin "$name" in context 1: /), 'is told';
            $zoo->is_unharmed('afterwards');
            # An answer to a call that no tick makes any more is nothing to come up for.
            $zoo->get("/$name", $kind eq 'queue' ? ('X-Item' => 1) : ()) if $kind ne 'tick';
            ok $zoo->server->wait_for_log(qr/\[warn\].*$name is cured/), 'a fresh instance is called again as it should be';
            is $zoo->get("/$name")->{headers}{'x-zoo'}, 'alive', 'and serves requests';
            is $zoo->lines(qr/of plugin "$name" in context/), 1, 'and has failed once';
        };
    }
}
$zoo->is_unharmed('in the end');
$zoo->close(allow => [qr/on purpose/]);
done_testing;
