# Pause in the headers of a request holds all of it, or the headers alone: the body then goes on arriving at
# the plugin, which lets both go on. And answered calls may resume what a plugin holds.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Origin;

$ENV{MALLOC_PERTURB_} = 165;

my $origin = ProxyWasm::Origin->new;
my $port   = $origin->port;
my $call   = '["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/answer"], [":authority", "a"]]]';
my $caller = '["set_effective_context", "${caller}"]';
my $until_end = '{"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "pause"]]}';
# Reads the model in the body, and writes it into a field by which nginx chooses the server.
my $route = '{"op": "get_buffer_bytes", "args": ["request_body"], "as": "text", "quiet": true},
    {"if": ["contains", "${text}", "\"model\": \"large\""], "then": [["replace_header_map_value", "request", "x-model", "large"]]}';
my %scripts = (
    router => qq({"trace": true, "on_request_headers": [["return", 1]], "on_request_body": [$until_end, $route]}),
    held_at_end => qq({"on_request_headers": [["return", 1]], "on_request_body": [$until_end, $call, ["return", "pause"]],
        "on_http_call_response": [$caller, ["replace_header_map_value", "request", "x-model", "large"], ["continue_stream", "request"]]}),
    answers => '{"on_request_headers": [["return", 1]], "on_request_body": [["send_local_response", 403, "not that model"]]}',
    stops   => qq({"on_request_headers": [$call, ["return", 1]], "on_request_body": [["echo", "the body"]],
        "on_http_call_response": [$caller, ["echo", "the call"], ["continue_stream", "request"]]}),
    watches => '{"trace": true, "on_request_headers": [["get_header_map_value", "request", "x-model"]], "on_request_body": [["get_buffer_bytes", "request_body", 0, 5]]}',
    waits   => qq({"on_request_headers": [$call, $call, ["return", 1]], "on_http_call_response": [["echo", "answered"]]}),
    waits_for_body => qq({"on_request_body": [$until_end, $call, ["return", "pause"]]}),
    waits_in_response => qq({"on_response_headers": [$call, ["return", "pause"]]}),
    asks_late => qq({"on_response_headers": [$call, ["return", 1]],
        "on_http_call_response": [$caller, ["replace_header_map_value", "response", "x-late", "yes"], ["continue_stream", "response"]]}),
    response => '{"on_response_headers": [["return", 1]], "on_response_body": [["replace_header_map_value", "response", "x-size", "${body_size}"]]}',
);
my $servers = "map \$http_x_model \$chosen { large 127.0.0.1:$port; default 127.0.0.1:\$TEST_NGINX_SERVER_PORT; }";
my $pass    = 'proxy_http_version 1.1; proxy_set_header X-Model $http_x_model; proxy_pass http://$chosen;';
my $http    = join ' ', map { "wasm_plugin $_->[0] \$TEST_NGINX_PLUGINS/hostcalls.wasm $_->[1];" }
    ['all', ''], ['headers', 'pause=headers'], ['calls', 'resume=calls'], ['both', 'pause=headers resume=calls'];

my $s = start_nginx(
    http_config => "$servers $http wasm_plugin higress \$TEST_NGINX_PLUGINS/hostcalls-0-2-100.wasm;
        wasm_plugin told \$TEST_NGINX_PLUGINS/hostcalls-0-2-100.wasm pause=all;",
    config => <<"E",
        location = /answer { return 200; }
        location = /done { return 200 done; }
        location = /route { proxy_wasm headers conf_file=html/router; proxy_wasm all conf_file=html/watches; $pass }
        location = /route/streamed { proxy_request_buffering off; proxy_wasm headers conf_file=html/router; proxy_wasm all conf_file=html/watches; $pass }
        location = /route/higress { proxy_wasm higress conf_file=html/router; proxy_wasm all conf_file=html/watches; $pass }
        location = /held { proxy_wasm headers conf_file=html/held_at_end; $pass }
        location = /held/streamed { proxy_request_buffering off; proxy_wasm headers conf_file=html/held_at_end; $pass }
        location = /answers { proxy_wasm headers conf_file=html/answers; $pass }
        location = /answers/streamed { proxy_request_buffering off; proxy_wasm headers conf_file=html/answers; $pass }
        location = /all { proxy_wasm all conf_file=html/stops; proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/done; }
        location = /all/told { proxy_wasm told conf_file=html/stops; proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/done; }
        location = /never { wasm_request_body never; proxy_wasm headers conf_file=html/stops; proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/done; }
        location = /calls { proxy_wasm calls conf_file=html/waits; proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/done; }
        location = /calls/body { proxy_wasm calls conf_file=html/waits_for_body; proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/answer; }
        location = /calls/streamed { proxy_request_buffering off; proxy_http_version 1.1; proxy_wasm calls conf_file=html/waits_for_body; proxy_pass http://127.0.0.1:$port; }
        location = /calls/response { proxy_wasm calls conf_file=html/waits_in_response; proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/done; }
        location = /bodiless { proxy_wasm headers conf_file=html/asks_late; return 204; }
        location = /response { wasm_request_body never; proxy_wasm headers conf_file=html/response; return 200 done; }
E
    user_files => [map { [$_, $scripts{$_}] } sort keys %scripts],
);

sub begin {
    my ($path, $length, $first) = @_;
    my $c = $s->connect;
    push @{ $c->{methods} }, 'POST';
    $c->send_bytes("POST $path HTTP/1.1\r\nHost: x\r\nContent-Length: $length\r\n\r\n$first");
    return $c;
}

my $body = '{"model": "large", "text": "' . 'x' x 100 . '"}';

for my $path ('/route', '/route/streamed', '/route/higress') {
    subtest "$path: a router reads the body while the headers wait" => sub {
        $s->mark_log;
        my $c = begin($path, length $body, substr $body, 0, 30);
        $s->wait_for_log(qr/on_request_body \d+ 30 false/) if $path =~ /streamed/;
        ok $origin->is_idle, 'the server is not asked';
        $c->send_bytes(substr $body, 30);
        my $u = $origin->accept;
        my $head = $u->read_head;
        like $head, qr/X-Model: large/i, 'the server that it chose is';
        like $head, qr/Content-Length: @{[length $body]}\r/, 'with the length of the body';
        is $u->read_bytes(length $body), $body, 'and the body';
        $u->respond('done');
        is $c->read_response->{body}, 'done', 'the response';
        like $s->error_log, qr/get_header_map_value request x-model -> OK large.*get_buffer_bytes request_body 0 5 -> OK \{"mod/s,
            'the plugin behind sees both as the router left them';
    };
}

for my $path ('/held', '/held/streamed') {
    subtest "$path: a call decides when the body is there" => sub {
        my $c = begin($path, length $body, substr $body, 0, 30);
        $c->send_bytes(substr $body, 30);
        my $u = $origin->accept;
        like $u->read_head, qr/X-Model: large/i, 'which server is asked';
        is $u->read_bytes(length $body), $body, 'with the body';
        $u->respond('done');
        is $c->read_response->{body}, 'done', 'the response';
        is $c->request(GET => '/answer')->{status}, 200, 'the connection is kept';
    };
}

subtest 'an answer while the headers wait' => sub {
    for my $path ('/answers', '/answers/streamed') {
        my $c = begin($path, length $body, $body);
        my $r = $c->read_response;
        is_deeply [$r->{status}, $r->{body}], [403, 'not that model'], $path;
        is $c->request(GET => '/answer')->{status}, 200, 'the connection is kept';
    }
    my $c = begin('/answers/streamed', 1000, 'x');
    is $c->read_response->{status}, 403, 'before the end of the body';
    ok $c->closed, 'the connection closes';
};

subtest 'Pause holds all' => sub {
    for my $path ('/all', '/all/told', '/never') {
        $s->mark_log;
        is $s->request(POST => $path, body => 'hello')->{body}, 'done', $path;
        my $log = $s->error_log;
        like $log, $path eq '/never' ? qr/the call/ : qr/the call.*the body/s, 'the body comes when the plugin has resumed';
    }
};

subtest 'resume=calls' => sub {
    $s->mark_log;
    is $s->get('/calls')->{body}, 'done', 'a request goes on when its calls are answered';
    is scalar(() = $s->error_log =~ /answered/g) >= 2, 1, 'all of them';
    is $s->request(POST => '/calls/body', body => 'hello')->{status}, 200, 'so does its body';
    is $s->get('/calls/response')->{body}, 'done', 'and the response';
    my $c = begin('/calls/streamed', 10, 'hello');
    my $u = $origin->accept;
    $u->read_head;
    $c->send_bytes('world');
    is $u->read_chunks, 'helloworld', 'and a body that streams';
    $u->respond('done');
    is $c->read_response->{body}, 'done', 'its response';
};

my $r = $s->get('/response');
is_deeply [$r->{body}, $r->{headers}{'x-size'}], ['done', 4], 'the header of a response waits for the body';

is $s->get('/bodiless')->{headers}{'x-late'}, 'yes', 'that of a response without a body waits for the plugin';

$s->stop;
done_testing;
