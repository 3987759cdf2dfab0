# What a plugin holds of a body can be read and changed in other callbacks: by the answer of a call, or
# by a tick that has set the effective context.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Origin;

$ENV{MALLOC_PERTURB_} = 165;

my $origin = ProxyWasm::Origin->new;
my $port   = $origin->port;
my $caller = '["set_effective_context", "${caller}"]';
my $call   = '["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/answer"], [":authority", "a"]]]';
my $until_end = '{"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "pause"]]}';
my $offsets = join ', ', map { qq(["get_buffer_bytes", "%1\$s", $_]) } '0, 4', '2, 100', '6, 0', '6, 10', '7, 1', '0, 0';
my $redact  = qq(["get_buffer_status", "%1\$s"], $offsets, ["set_buffer_bytes", "%1\$s", "clean"], ["get_buffer_bytes", "%1\$s"]);
my %scripts = (
    response => qq({"on_response_body": [$until_end, $call, ["return", "pause"]],
        "on_http_call_response": [$caller, @{[sprintf $redact, 'response_body']}, ["continue_stream", "response"]]}),
    request => qq({"on_request_body": [$until_end, $call, ["return", "pause"]],
        "on_http_call_response": [$caller, @{[sprintf $redact, 'request_body']}, ["continue_stream", "request"]]}),
    header => qq({"on_response_headers": [$call, ["return", "pause"]],
        "on_http_call_response": [$caller, ["get_buffer_bytes", "response_body"], ["replace_header_map_value", "response", "x-seen", "yes"], ["continue_stream", "response"]]}),
    tick => qq({"on_configure": [["set_tick_period_milliseconds", 20]],
        "on_response_body": [{"op": "echo", "args": ["\${context_id}"], "as": "held"}, ["return", "pause"]],
        "on_tick": [{"if": ["contains", "\${held}", "\$"], "then": [], "else": [["set_effective_context", "\${held}"],
            ["set_buffer_bytes", "response_body", "by a tick"], ["continue_stream", "response"]]}]}),
    large => qq({"on_response_body": [$call, ["return", "pause"]],
        "on_http_call_response": [$caller, ["set_buffer_bytes", "response_body", {"repeat": ["x", 100]}], ["continue_stream", "response"]]}),
);
my $s = start_nginx(
    http_config => 'wasm_plugin scripted $TEST_NGINX_PLUGINS/hostcalls.wasm; wasm_plugin small $TEST_NGINX_PLUGINS/hostcalls.wasm body_buffer_size=50;
        wasm_plugin ticking $TEST_NGINX_PLUGINS/hostcalls.wasm;',
    config => <<"E",
        location = /answer { return 200; }
        location = /text { return 200 secret; }
        location = /response { proxy_wasm scripted conf_file=html/response; return 200 secret; }
        location = /header { proxy_wasm scripted conf_file=html/header; return 200 secret; }
        location = /tick { proxy_wasm ticking conf_file=html/tick; return 200 secret; }
        location = /large { proxy_wasm small conf_file=html/large; return 200 secret; }
        location = /whole { proxy_wasm scripted conf_file=html/request; proxy_pass http://127.0.0.1:$port; }
        location = /streamed { proxy_request_buffering off; proxy_http_version 1.1; proxy_wasm scripted conf_file=html/request; proxy_pass http://127.0.0.1:$port; }
E
    user_files => [map { [$_, $scripts{$_}] } sort keys %scripts],
);

sub answers {
    my ($buffer) = @_;
    return [$s->error_log =~ /(?:get_buffer_\w+|set_buffer_bytes) $buffer(.*?)(?: while [^,]*)?, client/g];
}
my @expected = (' -> OK 6', ' 0 4 -> OK secr', ' 2 100 -> OK cret', (map { " $_ -> OK \"\"" } '6 0', '6 10', '7 1', '0 0'),
    ' clean -> OK', ' -> OK clean');

subtest 'a held response' => sub {
    $s->mark_log;
    my $r = $s->get('/response');
    is $r->{body}, 'clean', 'is changed by the answer of a call';
    is $r->{headers}{'content-length'}, 5, 'and has its new length';
    is_deeply answers('response_body'), \@expected, 'after it was read, also at and past its end';
};

subtest 'a held request' => sub {
    for my $path ('/whole', '/streamed') {
        $s->mark_log;
        my $c = $s->connect;
        $c->send_request('POST', $path, body => 'secret');
        my $u = $origin->accept;
        my $head = $u->read_head;
        my $body = $head =~ /chunked/ ? $u->read_chunks : $u->read_bytes(5);
        is $body, 'clean', "$path: is changed by the answer of a call";
        $u->respond('done');
        is $c->read_response->{body}, 'done', 'and goes on';
        is_deeply answers('request_body'), \@expected, 'after it was read';
    }
};

subtest 'a held header' => sub {
    $s->mark_log;
    my $r = $s->get('/header');
    is_deeply [$r->{body}, $r->{headers}{'x-seen'}], ['secret', 'yes'], 'is changed by the answer of a call';
    is_deeply answers('response_body'), [' -> OK ""'], 'there is no body yet';
};

is $s->get('/tick')->{body}, 'by a tick', 'a held response is changed by a tick';

subtest 'more than may be kept' => sub {
    is $s->get('/large')->{body}, 'secret', 'is not written';
    like $s->error_log, qr/plugin "small" cannot change a body: 100 bytes are more than wasm_body_buffer_size \(50\)/, 'with a line';
};

$s->stop(allow => [qr/cannot change a body/]);
done_testing;
