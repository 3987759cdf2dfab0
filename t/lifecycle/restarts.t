# A plugin that works without requests (ticks, queues) comes back by itself when its instance failed. If it was its own tick or
# queue that failed, and not for the first time, those pause.

use lib '.';
use t::ProxyWasm;

# Steps for the first so many times. They are counted in the shared data, which outlives the instance.
sub first {
    my ($times, $steps) = @_;
    my $text = '';
    $text .= qq({"op": "get_shared_data", "args": ["$_"], "quiet": true},
        {"if": ["eq", "\${status}", "NOT_FOUND"], "then": [["set_shared_data", "$_", "1"], $steps, ["return", "continue"]]},) for 1 .. $times;
    return $text;
}

my $trap_once  = first(1, '["trap"]');
my $trap_twice = first(2, '["trap"]');
my $tick       = '["set_tick_period_milliseconds", 10]';

# Each plugin is a VM, with back-off and shared data of its own.
my %scripts = (
    once  => qq("on_configure": [$tick], "on_tick": [$trap_once ["echo", "once ticks again"], ["set_tick_period_milliseconds", 0]]),
    twice => qq("on_configure": [$tick], "on_tick": [$trap_twice ["echo", "twice ticks again"], ["set_tick_period_milliseconds", 0]]),
    start => qq("on_configure": [{"op": "get_shared_data", "args": ["2"], "quiet": true},
            {"if": ["eq", "\${status}", "OK"], "then": [["echo", "start is up again"], ["return", true]]},
            {"op": "get_shared_data", "args": ["1"], "quiet": true},
            {"if": ["eq", "\${status}", "OK"], "then": [["set_shared_data", "2", "1"], ["trap"]]},
            $tick],
        "on_tick": [["set_shared_data", "1", "1"], ["trap"]]),
    queue => qq("on_configure": [["register_shared_queue", "q"]],
        "on_queue_ready": [["dequeue_shared_queue", "\${queue_id}"],
            {"if": ["eq", "\${last}", "poison"], "then": [["trap"]]},
            ["echo", "taken \${last}"]]),
);

my $put = qq({"on_request_headers": [
    ["get_property", "arg_item"], ["set", "item", "\${last}"],
    ["resolve_shared_queue", "queue", "q"], ["enqueue_shared_queue", "\${last}", "\${item}"]]});

my $s = start_nginx(
    http_config => join('', map { "wasm_plugin $_ \$TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;\n" } sort(keys %scripts), 'put'),
    config => join('', map { "location /$_ { proxy_wasm $_ '{$scripts{$_}}'; return 200 ok; }\n" } sort keys %scripts)
        . "location = /put { proxy_wasm put '$put'; return 200 put; }",
);

subtest 'after a trap ticks go on' => sub {
    ok $s->wait_for_log(qr/failed to call function: proxy_on_tick of plugin "once"/), 'a tick traps';
    ok $s->wait_for_log(qr/once ticks again/), 'and the next instance ticks';
};

subtest 'after another trap they pause' => sub {
    ok $s->wait_for_log(qr/failed to call function: proxy_on_tick of plugin "twice"/, count => 2), 'a tick traps twice';
    ok $s->wait_for_log(qr/plugin "twice" fails again and again, its ticks and queues pause for 1s/), 'its ticks do';
    is $s->get('/twice')->{body}, 'ok', 'though requests are served';
    ok $s->wait_for_log(qr/twice ticks again/), 'for that time';
};

subtest 'so do queues' => sub {
    is $s->get("/put?item=$_")->{body}, 'put', "an item: $_" for qw(poison poison bread);
    ok $s->wait_for_log(qr/failed to call function: proxy_on_queue_ready of plugin "queue"/, count => 2), 'a queue traps twice';
    ok $s->wait_for_log(qr/plugin "queue" fails again and again, its ticks and queues pause for 1s/), 'its queues do';
    ok $s->wait_for_log(qr/taken bread/), 'for that time';
};

subtest 'a restart that fails is tried again' => sub {
    ok $s->wait_for_log(qr/failed to call function: proxy_on_tick of plugin "start"/), 'a tick traps';
    ok $s->wait_for_log(qr/failed to call function: proxy_on_configure of plugin "start"/), 'then configure does';
    ok $s->wait_for_log(qr/start is up again/), 'and the third time it is fine';
    my @failures = $s->error_log =~ /failed to call function: \S+ of plugin "start"/g;
    is @failures, 2, 'one attempt at a time';
};

subtest 'a plugin that takes from a queue takes again' => sub {
    is $s->get('/put?item=poison')->{body}, 'put', 'an item that it traps on';
    ok $s->wait_for_log(qr/failed to call function: proxy_on_queue_ready of plugin "queue"/, count => 3), 'it does';
    is $s->get('/put?item=butter')->{body}, 'put', 'the next item';
    ok $s->wait_for_log(qr/taken butter/), 'is taken';
};

$s->stop;

subtest 'a plugin of Lua\'s ticks again, too' => sub {
    my $s = start_nginx(
        http_config => <<"CONF",
    wasm_vm wasmtime;
    init_worker_by_lua_block {
        local wasm = require("resty.proxy-wasm")
        plugin = assert(wasm.load("once", "\$TEST_NGINX_PLUGINS/hostcalls.wasm"))
        context = assert(wasm.on_configure(plugin, [=[{$scripts{once}}]=]))
    }
CONF
    );
    ok $s->wait_for_log(qr/failed to call function: proxy_on_tick of plugin "once"/), 'a tick traps';
    ok $s->wait_for_log(qr/once ticks again/), 'and the next instance ticks';
    $s->stop;
};

done_testing;
