# proxy_inject_encoded_data_to_filter_chain, of Higress's ABI: a plugin puts bytes into a response's body itself, from the callbacks of the
# body and from those of its calls, in front of what it sees or holds; or in place of the rest.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::LuaSetup;

my $call = '["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/answer"], [":authority", "a"]]]';
my $replace = '["set_buffer_bytes", "response_body", ""]';
my $continue = '["set_effective_context", "${caller}"], ["continue_stream", "response"]';
sub inject { my ($text, $end) = @_; return qq(["inject_encoded_data_to_filter_chain", "$text", ) . ($end // 0) . ']' }

my %scripts = (
    # In front of each piece, and of the end.
    before    => '{"on_response_body": [' . inject('<${body_size}>') . ']}',
    # In place of all: what Higress's SDK calls streaming, where the plugin passes on what it likes.
    instead   => '{"on_response_body": [{"op": "get_buffer_bytes", "args": ["response_body"], "as": "piece"}, ' . inject('[${piece}]')
        . qq(, $replace, {"if": ["eq", "\${end_of_stream}", "true"], "then": [["return", "continue"]], "else": [["return", "pause"]]}]}),
    # The same as its SDK does it: 3 stops without buffering.
    streams   => '{"on_response_headers": [["return", 1]], "on_response_body": [{"op": "get_buffer_bytes", "args": ["response_body"], "as": "piece"}, '
        . qq({"if": ["eq", "\${end_of_stream}", "true"], "then": [@{[inject('[${piece}]', 1)]}], "else": [@{[inject('[${piece}]')]}]}) . ', ["return", 3]]}',
    ends      => '{"on_response_body": [' . inject('all there is', 1) . ', ["return", "pause"]]}',
    call      => qq({"on_response_body": [{"if": ["eq", "\${end_of_stream}", "true"], "then": [$call, ["return", "pause"]]}],
        "on_http_call_response": [["set_effective_context", "\${caller}"], @{[inject('called ')]}, @{[inject('twice ')]}, $continue]}),
    call_ends => qq({"on_response_body": [{"if": ["eq", "\${end_of_stream}", "true"], "then": [$call, ["return", "pause"]]}],
        "on_http_call_response": [["set_effective_context", "\${caller}"], @{[inject('denied', 1)]}, @{[inject('more')]}]}),
    header    => '{"on_response_headers": [' . inject('x') . ']}',
    request   => '{"on_request_headers": [' . inject('x') . ']}',
    twice     => '{"on_response_body": [' . inject('a', 1) . ', ' . inject('b') . ']}',
    empty     => '{"on_response_body": [' . inject('') . ']}',
    large     => '{"on_response_body": [["inject_encoded_data_to_filter_chain", {"repeat": ["x", 3000000]}]]}',
    marks     => '{"on_response_body": [{"op": "get_buffer_bytes", "args": ["response_body"], "as": "piece"}, ["set_buffer_bytes", "response_body", "(${piece})"]]}',
);

my $s = start_nginx(
    lua => 1,
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls-0-2-100.wasm; wasm_plugin second $TEST_NGINX_PLUGINS/hostcalls-0-2-100.wasm;'
        . " server { listen \$TEST_NGINX_UPSTREAM_PORT; proxy_wasm off; " . <<'CONF',
        location = /whole { return 200 "whole"; }
        location = /pieces { content_by_lua_block { for i = 1, 3 do ngx.print("p", i) ngx.flush(true) ngx.sleep(0.05) end } }
        location = /endless { content_by_lua_block { while true do local ok = ngx.print("x") and ngx.flush(true) if not ok then return end ngx.sleep(0.01) end } }
    }
CONF
    config => 'location = /answer { return 200 answer; } '
        . join('', map { <<"CONF" } sort keys %scripts),
    location /$_/ { proxy_wasm hostcalls conf_file=html/$_; proxy_buffering off; proxy_http_version 1.1; proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT/; }
    location /file/$_/ { proxy_wasm hostcalls conf_file=html/$_; alias html/files/; }
    location /marked/$_/ { proxy_wasm hostcalls conf_file=html/$_; proxy_wasm second conf_file=html/marks; proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT/; }
CONF
    user_files => [['files/text', 'text'], map { [$_, $scripts{$_}] } sort keys %scripts],
);

sub get { my ($path) = @_; return $s->get("/$path")->{body} }
is get('before/whole'), '<5>whole', 'in front of a piece';
is get('file/before/text'), '<4>text', 'of a file';
my $pieces = get('before/pieces');
is $pieces =~ s/<\d+>//gr, 'p1p2p3', 'in front of several';
cmp_ok scalar(() = $pieces =~ /<2>/g), '>=', 3, 'of each';
is get('instead/whole') =~ s/\[\]//gr, '[whole]', 'in place of a piece';
like get('instead/pieces'), qr/^(?:\[\])*\[p1\].*\[p2\].*\[p3\]/, 'in place of several, which the plugin takes';
like get('marked/before/whole'), qr/^\(<5>\)\(whole\)/, 'the plugin behind sees it';
like get('marked/call/whole'), qr/^\(called \)\(twice \)\(whole\)/, 'also from an event';
like get('streams/pieces'), qr/^\[p1\].*\[p2\].*\[p3\](?:\[\])?$/, 'as the SDK of Higress does it';
is get('streams/whole') =~ s/\[\]//gr, '[whole]', 'with a single piece';
is $s->get('/streams/post', timeout => 10)->{status}, 404, 'and with a page';
for my $path ('ends/whole', 'ends/pieces', 'ends/endless', 'file/ends/text') {
    is get($path), 'all there is', "$path: in place of all the rest";
}
is get('marked/ends/endless'), '(all there is)', 'and behind another plugin';
is get('call/whole'), 'called twice whole', 'from a call, in front of what is held';
is get('call_ends/whole'), 'denied', 'from a call, in place of what is held';
like get('call_ends/pieces'), qr/denied$/, 'in place of the end';
is get('header/whole'), 'whole', 'not before the body comes';
is get('request/whole'), 'whole', 'nor before the response';
ok $s->wait_for_log(qr/inject_encoded_data_to_filter_chain x 0 -> BAD_ARGUMENT/, count => 2), 'which the plugin is told';
is get('twice/whole'), 'a', 'the end is the end';
ok $s->wait_for_log(qr/inject_encoded_data_to_filter_chain b 0 -> BAD_ARGUMENT/), 'as the plugin is told';
is get('empty/whole'), 'whole', 'nothing is nothing';
is length get('large/whole'), 3_000_005, 'many bytes';

# The connection is good for the next request, and its length is right.
my $connection = $s->connect;
for my $path (qw(before/whole ends/whole ends/pieces call_ends/whole)) {
    my $response = $connection->request(GET => "/$path");
    is $response->{status}, 200, "$path on a kept connection";
}
is $connection->request(HEAD => '/before/whole')->{status}, 200, 'HEAD';
is $connection->request(GET => '/before/whole')->{body}, '<5>whole', 'and what follows it';
$s->stop;

# By Lua the body ends with the upstream's; what is left of it is dropped.
my $lua = start_nginx(
    http_config => "$ProxyWasm::LuaSetup::WASM_VM$ProxyWasm::LuaSetup::INIT_WORKER",
    config      => 'location = /answer { return 200 answer; } location = /whole { return 200 whole; } '
        . 'location = /pieces { content_by_lua_block { for i = 1, 3 do ngx.print("p", i) ngx.flush(true) end } } '
        . join('', map { <<"CONF" } grep { $_ ne 'large' } sort keys %scripts),
    location /$_/ {
        access_by_lua_block { ngx.ctx.plugin = configured("hostcalls-0-2-100", [==[$scripts{$_}]==]) assert(wasm.on_http_request_headers(ngx.ctx.plugin)) }
        header_filter_by_lua_block { ngx.header.content_length = nil wasm.on_http_response_headers(ngx.ctx.plugin) }
        body_filter_by_lua_block { wasm.on_http_response_body(ngx.ctx.plugin) }
        proxy_buffering off; proxy_http_version 1.1;
        proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/;
    }
CONF
);
sub by_lua { my ($path) = @_; return $lua->get("/$path")->{body} }
like by_lua('before/whole'), qr/^<5>whole(?:<0>)?$/, 'by Lua: in front of a piece';
is by_lua('before/pieces') =~ s/<\d>//gr, 'p1p2p3', 'by Lua: of several';
is by_lua('instead/whole') =~ s/\[(?:NOT_FOUND)?\]//gr, '[whole]', 'by Lua: in place of a piece';
is by_lua('ends/pieces'), 'all there is', 'by Lua: in place of the rest';
like by_lua('call/whole'), qr/^(?:called twice whole|wholecalled twice )$/, 'by Lua: from a call';
like by_lua('call_ends/whole'), qr/^(?:whole)?denied$/, 'by Lua: from a call, in place of what is held';
is by_lua('header/whole'), 'whole', 'by Lua: not before the body';
$lua->stop;

done_testing;
