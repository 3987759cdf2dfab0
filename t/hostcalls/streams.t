# proxy_close_stream, proxy_continue_stream and the 0.1.0 names, from within callbacks;
# and what a callback may return. Resuming is in t/callbacks/pause.t.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Upstream qw(upstream);

my $proxied = 'proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/echo;';
my @callbacks = qw(on_request_headers on_request_body on_response_headers on_response_body);

sub location {
    my ($path, $callback, $steps, $plugin) = @_;
    $plugin //= 'hostcalls';
    return qq{location /$path/$callback { proxy_wasm $plugin '{"trace": true, "$callback": [$steps]}'; $proxied }\n};
}

my $s = start_nginx(
    http_config => <<'E' . upstream(),
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_plugin open $TEST_NGINX_PLUGINS/hostcalls.wasm failure=open;
    wasm_plugin old $TEST_NGINX_PLUGINS/hostcalls-0-1-0.wasm;
E
    config => join '',
        map({ location("close-request", $_, '["close_stream", "request"]') } @callbacks),
        map({ location("close-response", $_, '["close_stream", "response"]') } @callbacks),
        map({ location("other", $_, '["close_stream", "downstream"], ["close_stream", "upstream"], ["close_stream", 9]') } @callbacks),
        map({ my $callback = $_; map { location("return-$_", $callback, qq{["return", $_]}) } 5, 99 } @callbacks),
        map({ location('open', $_, '["return", 5]', 'open') } @callbacks),
        <<'E' . "$proxied }\n",
        location /old { proxy_wasm old '{
            "on_configure": [["set", "held", ""], ["set_tick_period_milliseconds", 20]],
            "on_request_headers": [["set", "held", "${context_id}"], ["set", "half", "request"], ["return", "pause"]],
            "on_response_headers": [["set", "held", "${context_id}"], ["set", "half", "response"], ["return", "pause"]],
            "on_tick": [{"if": ["not", ["eq", "${held}", ""]], "then": [
                ["set_effective_context", "${held}"], ["set", "held", ""],
                {"if": ["eq", "${half}", "request"], "then": [["continue_request"]], "else": [["continue_response"]]}
            ]}]
        }';
E
);

sub sent { return $s->post($_[0], 'hello') }

for my $half (qw(request response)) {
    subtest "close_stream $half ends the connection without an answer" => sub {
        for my $callback (@callbacks) {
            $s->mark_log;
            is sent("/close-$half/$callback"), undef, $callback;
            ok $s->wait_for_log(qr/close_stream $half -> OK/), 'OK is what the plugin gets';
            ok $s->wait_for_log(qr/on_delete/), 'and the context ends';
        }
    };
}

subtest 'there are no other streams' => sub {
    $s->mark_log;
    for my $callback (@callbacks) {
        is sent("/other/$callback")->{body}, 'hello', $callback;
    }
    like $s->error_log, qr/close_stream downstream -> NOT_FOUND/, 'downstream';
    like $s->error_log, qr/close_stream upstream -> NOT_FOUND/, 'upstream';
    like $s->error_log, qr/close_stream 9 -> BAD_ARGUMENT/, 'a number that is none';
};

# The first of a second is an error line.
for my $action (5, 99) {
    subtest "to return $action fails the request, and says whose plugin did" => sub {
        for my $callback (@callbacks) {
            $s->mark_log;
            is sent("/return-$action/$callback")->{status}, 503, $callback;
            # One a second is an error; the next are at info.
            ok $s->wait_for_log(qr/\[(?:error|info)\] .*plugin "hostcalls" failed: .*$action/), 'in a line of the log';
        }
    };
}

subtest 'where failure=open, it goes on without the plugin' => sub {
    for my $callback (@callbacks) {
        is sent("/open/$callback")->{body}, 'hello', $callback;
    }
};

subtest 'continue_request and continue_response of ABI 0.1.0' => sub {
    $s->mark_log;
    is sent('/old')->{body}, 'hello', 'resumed';
    like $s->error_log, qr/continue_request.*continue_response/s, 'both';
};

$s->stop(allow => [qr/\[error\]/]);
done_testing;
