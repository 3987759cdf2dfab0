# resty.proxy-wasm: how a response ends when its header has been sent, or is being sent by
# Lua: from a call's answer, or in the callback, while the upstream still sends.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::EndingClient;
use ProxyWasm::Endings qw(servers PROTOCOLS);

$ENV{MALLOC_PERTURB_} = 165;
$ENV{TEST_NGINX_GRPC_PORT} = free_port();
my $h2_port = free_port();

my $call = '["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":path", "/quick"], [":authority", "u"]]]';
my $body = '"on_response_body": [{"if": ["eq", "${count}", "1"], "then": [["return", "continue"]]}, ';

# path => what the plugin does, what the client sees
my @cases = (
    ['close-called',  qq("on_response_headers": [$call], "on_http_call_response": [["close_stream", "response"]]), 'cut'],
    ['answer-called', qq("on_response_headers": [$call], "on_http_call_response": [["send_local_response", 418, "tea"]]), 'cut'],
    ['trap-called',   qq("on_response_headers": [$call], "on_http_call_response": [["trap"]]), 'cut'],
    ['close-header',  '"on_response_headers": [["close_stream", "response"]]', 'cut'],
    ['answer-header', '"on_response_headers": [["send_local_response", 418, "tea"]]', 418],
    ['trap-header',   '"on_response_headers": [["trap"]]', 503],
    ['close-body',    $body . '["close_stream", "response"]]', 'cut'],
    ['answer-body',   $body . '["send_local_response", 418, "tea"]]', 'cut'],
    ['trap-body',     $body . '["trap"]]', 'cut'],
);

my ($load, $locations) = ('', '');
for my $case (@cases) {
    my ($name, $script) = @$case;
    for my $protocol (PROTOCOLS) {
        my $path = "$name-$protocol";
        $load .= qq(plugins["$path"] = {assert(wasm.load("$path", "\$TEST_NGINX_PLUGINS/hostcalls.wasm")), [==[{$script}]==]}\n);
        $locations .= <<"E";
        location = /$path {
            access_by_lua_block { ngx.ctx.plugin = of("$path"); assert(wasm.on_http_request_headers(ngx.ctx.plugin)) }
            header_filter_by_lua_block { wasm.on_http_response_headers(ngx.ctx.plugin) }
            body_filter_by_lua_block { wasm.on_http_response_body(ngx.ctx.plugin) }
            proxy_buffering off;
            proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT/endless;
        }
E
    }
}

my $s = start_nginx(
    lua         => 1,
    http_config => servers() =~ s/proxy_wasm off;//r . <<"E",
    wasm_vm wasmtime;
    init_worker_by_lua_block {
        wasm = require("resty.proxy-wasm")
        plugins = {}
        $load
        function of(path)
            local plugin = plugins[path]
            plugin.ctx = plugin.ctx or assert(wasm.on_configure(plugin[1], plugin[2]))
            return plugin.ctx
        end
    }
E
    config => "listen 127.0.0.1:$h2_port http2;\nlocation = /next { return 200 next; }\n$locations",
);
$s->{h2_port} = $h2_port;

for my $case (@cases) {
    my ($name, undef, $want) = @$case;
    subtest $name => sub {
        for my $protocol (PROTOCOLS) {
            $s->mark_log;
            my $client = ProxyWasm::EndingClient->ask($protocol, $s, 'GET', "/$name-$protocol");
            my ($sees, $next) = ($client->sees, $client->next);
            # What is cut off may end before the client has seen any of it.
            ok $sees eq $want || "$want $sees" eq 'cut none', $protocol or diag "saw $sees, not $want";
            like $next, $protocol eq 'h2' ? qr/^next$/ : $want eq 'cut' ? qr/^closed$/ : qr/^(?:next|closed)$/, "$protocol: then";
            ok $s->wait_for_log(qr/free http context/), "$protocol: over";
        }
    };
}

$s->stop(allow => [qr/\[error\]/]);
done_testing;
