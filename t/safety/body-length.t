# Plugins that change a response's body by other means than proxy_set_buffer_bytes, or that ask for the body when its header has been
# sent: the next response on a connection begins where the client looks for it.

use lib '.';
use t::ProxyWasm;

sub module {
    my ($version, $rest) = @_;
    return qq((module $rest (memory (export "memory") 1) (data (i32.const 0) "INJECTEDwasm_process_resp_body")
        (func (export "$version")) (func (export "malloc") (param i32) (result i32) (i32.const 1024))));
}
# The types and imports stand first in a module.
my $inject = '(import "env" "proxy_inject_encoded_data_to_filter_chain" (func $inject (param i32 i32 i32) (result i32)))';
my $set    = '(import "env" "proxy_set_property" (func $set (param i32 i32 i32 i32) (result i32)))';
my $body   = '(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)';
my %modules = (
    injects => module('proxy_abi_version_0_2_1', "$inject $body (drop (call \$inject (i32.const 0) (i32.const 8) (i32.const 0))) (i32.const 0))"),
    floods  => module('proxy_abi_version_0_2_1', "$inject $body (local \$n i32)
        (loop (drop (call \$inject (i32.const 0) (i32.const 1) (i32.const 0)))
            (br_if 0 (i32.lt_u (local.tee \$n (i32.add (local.get \$n) (i32.const 1))) (i32.const 100000)))) (i32.const 0))"),
    # Envoy's StopIterationNoBuffer, until the end.
    drops => module('proxy_abi_version_0_2_100', "$body (i32.mul (i32.const 3) (i32.eqz (local.get 2))))"),
    # The same of a plugin that cannot change bodies.
    keeps => module('proxy_abi_version_0_2_1', "$body (i32.mul (i32.const 3) (i32.eqz (local.get 2))))"),
    # Asks for the body by APISIX's property, and only reads it.
    reads => module('proxy_abi_version_0_2_1', qq{$set $body (i32.const 0))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (drop (call \$set (i32.const 8) (i32.const 22) (i32.const 0) (i32.const 1))) (i32.const 0))}),
);

# Its first call is answered when the header has been sent, and the rest of the body comes after its second.
sub late {
    my ($does, $on_body) = @_;
    my $call = sub { qq(["http_call", "127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":path", "$_[0]"], [":authority", "a"]]]) };
    return qq({"on_request_headers": [@{[$call->('/sent')]}],
        "on_http_call_response": [["set_effective_context", "\${caller}"], $does, ["get_buffer_bytes", "call_response_body"],
            {"if": ["eq", "\${last}", "sent"], "then": [@{[$call->('/go')]}]}],
        "on_response_body": [$on_body]});
}

my $s = start_nginx(
    lua         => 1,
    http_config => join('', map { "wasm_plugin $_ \$TEST_NGINX_HTML_DIR/$_.wat;\n" } sort keys %modules) . <<'CONF',
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls-0-2-100.wasm;
    server {
        listen $TEST_NGINX_UPSTREAM_PORT;
        location / { content_by_lua_block {
            sent, go = require("ngx.semaphore").new(0), require("ngx.semaphore").new(0)
            ngx.header.content_length = 10
            ngx.print("01234")
            ngx.flush(true)
            sent:post(1)
            go:wait(10)
            ngx.print("56789")
        } }
        location = /pieces { content_by_lua_block {
            ngx.header.content_length = 10
            for _, piece in ipairs { "01234", "56789" } do ngx.print(piece) ngx.flush(true) ngx.sleep(0.05) end
        } }
        location = /sent { content_by_lua_block { while not sent do ngx.sleep(0.001) end sent:wait(10) ngx.sleep(0.05) ngx.print("sent") } }
        location = /go { content_by_lua_block { sent = nil go:post(1) ngx.print("x") } }
    }
CONF
    config => join('', map { "location /$_ { proxy_wasm $_; alias html/text; }\n" } qw(injects floods)) . <<'CONF',
    location /keeps { proxy_wasm keeps; proxy_buffering off; proxy_http_version 1.1; proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/pieces; }
    location /drops { proxy_wasm drops; proxy_buffering off; proxy_http_version 1.1; proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/pieces; }
    location /late {
        wasm_response_body property;
        proxy_wasm reads;
        proxy_buffering off;
        proxy_http_version 1.1;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/;
        location /late/changes { proxy_wasm hostcalls conf_file=html/changes; proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT; }
        location /late/injects { proxy_wasm hostcalls conf_file=html/late; proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT; }
    }
CONF
    user_files => [
        ['text', '0123456789'],
        ['changes', late('["set_property", "wasm_process_resp_body", "1"]', '["log", "info", "sees it"], ["set_buffer_bytes", "response_body", "changed and longer"]')],
        ['late', late('["inject_encoded_data_to_filter_chain", "x", 0]', '["log", "info", "sees it"]')],
        map { ["$_.wat", $modules{$_}] } sort keys %modules,
    ],
);

sub two { my ($path) = @_;
    my $client = $s->connect;
    return join ' ', map { $client->send_request('GET', $path); $client->read_response->{body} } 1 .. 2;
}
is two('/injects'), 'INJECTED0123456789 INJECTED0123456789', 'bytes that are injected';
like two('/drops'), qr/^(?:56789)? (?:56789)?$/, 'bytes that are taken';
is two('/keeps'), '0123456789 0123456789', 'which stay where the header says their length';
is two('/floods'), join(' ', ('I' x 100_000 . '0123456789') x 2), 'many bytes that are injected one by one';
is two('/late/changes'), '0123456789 0123456789', 'a body that a plugin asks for late';
unlike $s->error_log, qr/sees it/, 'which it does not see';
is two('/late/injects'), '0123456789 0123456789', 'bytes that a plugin without the body injects late';
like $s->error_log, qr/inject_encoded_data_to_filter_chain x 0 -> BAD_ARGUMENT/, 'which it is told';
$s->stop;

done_testing;
