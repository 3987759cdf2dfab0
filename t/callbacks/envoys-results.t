# Plugins return Envoy's own numbers from their callbacks. Those of ABI 0_2_100, Higress's, hold the headers
# alone where others hold all.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Origin;

my $origin = ProxyWasm::Origin->new;
my $pass   = 'proxy_pass http://127.0.0.1:' . $origin->port . ';';
my $call   = '["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/answer"], [":authority", "a"]]]';
my $answer = '["send_local_response", 200, "${callback} ${body_size}"]';
my %scripts = (
    # The headers wait, and the body is seen.
    stop      => qq({"on_request_headers": [["return", 1]], "on_request_body": [$answer]}),
    # Both wait.
    stop_all  => qq({"on_request_headers": [$call, ["return", 4]], "on_request_body": [["echo", "sees the body"]],
        "on_http_call_response": [["set_effective_context", "\${caller}"], ["echo", "answered"], ["continue_stream", "request"]]}),
    no_buffer => qq({"on_request_body": [$call, ["return", 3]],
        "on_http_call_response": [["set_effective_context", "\${caller}"], ["continue_stream", "request"]]}),
    watermark => qq({"on_request_body": [$call, ["return", 2]],
        "on_http_call_response": [["set_effective_context", "\${caller}"], ["continue_stream", "request"]]}),
    response_watermark => qq({"on_response_body": [
        ["get_buffer_bytes", "response_body"], {"if": ["eq", "\${end_of_stream}", "false"], "then": [["return", 2]]}]}),
    response_full => qq({"trace": true, "on_response_body": [{"if": ["eq", "\${count}", "1"], "then": [$call, ["return", 2]]}],
        "on_http_call_response": [["set_effective_context", "\${caller}"], ["continue_stream", "response"]]}),
    response_stays => qq({"on_response_body": [{"if": ["eq", "\${count}", "1"], "then": [["return", 2]]}]}),
    end       => '{"on_request_headers": [["return", 2]]}',
    wrong     => '{"on_request_headers": [["return", 5]]}',
    response  => '{"on_response_headers": [["return", 1]], "on_response_body": [["set_buffer_bytes", "response_body", "changed"]]}',
);
# Lua's responses come in several pieces, where proxy_pass speaks HTTP/1.1.
sub upstream { return $_[0] eq 'response' ? 'text' : 'echo' }

my $s = start_nginx(
    lua         => 1,
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls-0-2-100.wasm; wasm_plugin older $TEST_NGINX_PLUGINS/hostcalls.wasm;
        wasm_plugin small $TEST_NGINX_PLUGINS/hostcalls.wasm body_buffer_size=6;',
    config      => 'location = /answer { return 200; } location = /echo { proxy_wasm off; content_by_lua_block { ngx.req.read_body() ngx.print("body: ", ngx.req.get_body_data()) } } '
        . "proxy_buffering off; proxy_http_version 1.1; location = /response_watermark { proxy_wasm older conf_file=html/response_watermark; $pass } "
        . "location = /full { proxy_wasm small conf_file=html/response_full; $pass } "
        . "location = /stays { wasm_pause_timeout 100ms; proxy_wasm small conf_file=html/response_stays; $pass } "
        . 'location = /text { proxy_wasm off; return 200 text; } '
        . 'location = /older { proxy_wasm older conf_file=html/stop_all; proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/echo; }'
        . join('', map { "location = /$_ { proxy_wasm hostcalls conf_file=html/$_; proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/" . upstream($_) . "; }\n" }
            grep { !/^response_/ } sort keys %scripts),
    user_files => [map { [$_, $scripts{$_}] } sort keys %scripts],
);
sub post { my ($path) = @_; return $s->request(POST => "/$path", body => 'hello') }
is post('stop')->{body}, 'on_request_body 5', 'headers that stop alone: the body is seen';
is post('stop_all')->{body}, 'body: hello', 'headers that stop all: it waits';
like $s->error_log, qr/answered.*sees the body/s, 'for the plugin';
is post('watermark')->{body}, 'body: hello', 'a body that stops';
is post('no_buffer')->{body}, 'body: nil', 'a body that the plugin takes';
for my $case (['response_watermark', 'OK piece %s[ ,]'], ['full']) {
    my ($path, $line) = @$case;
    my $c = $s->connect;
    $s->mark_log;
    $c->send_request(GET => "/$path");
    my $u = $origin->accept;
    $u->read_head;
    $u->send("HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n");
    for my $n (1 .. 3) {
        $u->send("piece $n");
        ok $s->wait_for_log(qr/${\ sprintf $line, $n}/), "$path: the plugin sees piece $n alone" if $line;
    }
    is $c->read_response->{body}, 'piece 1piece 2piece 3', "$path: the response of a body that stops";
}
my $c = $s->connect;
$c->send_request(GET => '/stays');
my $u = $origin->accept;
$u->read_head;
$u->send("HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\npiece 1");
is $c->read_response->{status}, 504, 'a plugin that holds all that it may, and never resumes, has its time';
is post('end')->{body}, 'body: hello', 'headers that go on';
is $s->get('/response')->{body}, 'changed', 'headers of a response that stop alone';
is post('older')->{body}, 'body: hello', 'headers of another ABI that stop all';
is post('wrong')->{status}, 503, 'what is no result';
is scalar(() = $s->error_log =~ /it returned 5, which is not an action/g), 1, 'with a line';
$s->stop(allow => [qr/which is not an action/, qr/held the response past wasm_pause_timeout/]);
done_testing;
