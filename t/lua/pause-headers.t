# resty.proxy-wasm: plugins of ABI 0.2.100, which hold by Pause the headers alone, and let both go on in the callback for the body.
# Where Lua brings them no body, all waits, as for other plugins: until they resume, or their calls are answered.

use lib '.';
use t::ProxyWasm;

my $call = '["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":path", "/callee"], [":authority", "x"]]]';
my $deny = '"on_http_call_response": [["send_local_response", 403, "denied"]]';
my %scripts = (
    request_call   => qq({"on_request_headers": [$call, ["return", 1]], $deny}),
    response_call  => qq({"on_response_headers": [$call, ["return", 1]], $deny}),
    request_never  => '{"on_request_headers": [["return", 1]]}',
    response_never => '{"on_response_headers": [["return", 1]]}',
    request_body   => '{"on_request_headers": [["return", 1]], "on_request_body": [["send_local_response", 403, "denied"]]}',
    response_body  => '{"on_response_headers": [["return", 1]], "on_response_body": [["set_buffer_bytes", "response_body", "changed"]]}',
);
my $contexts = join "\n", map { qq{scripts["$_"] = [==[$scripts{$_}]==]} } sort keys %scripts;

# A location of each script, for what APISIX has been asked to bring of bodies.
my $locations = join '', map {
    my ($name, $bodies) = ($_->[0], $_->[1] ? 1 : "''");
    <<"LOCATION"
    location = /$name/$_->[1] {
        wasm_pause_timeout @{[$name =~ /never/ ? '50ms' : '1h']};
        set \$wasm_process_req_body $bodies;
        set \$wasm_process_resp_body $bodies;
        access_by_lua_block {
            local failed, err = wasm.on_http_request_headers(of("$name"))
            if err then ngx.exit(504) end
            if ngx.var.wasm_process_req_body ~= "" then
                ngx.req.read_body()
                wasm.on_http_request_body(of("$name"), ngx.req.get_body_data(), true)
            end
        }
        header_filter_by_lua_block { assert(wasm.on_http_response_headers(of("$name"))) }
        body_filter_by_lua_block { if ngx.var.wasm_process_resp_body ~= "" then assert(wasm.on_http_response_body(of("$name"))) end }
        proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT/hello;
    }
LOCATION
} map { my $name = $_; map { [$name, $_] } 0, 1 } sort keys %scripts;

my $s = start_nginx(
    lua         => 1,
    http_config => <<"HTTP",
    wasm_vm wasmtime;
    init_worker_by_lua_block {
        wasm = require("resty.proxy-wasm")
        local scripts, contexts = {}, {}
        $contexts
        function of(name)
            if not contexts[name] then
                local plugin = assert(wasm.load(name, "\$TEST_NGINX_PLUGINS/hostcalls-0-2-100.wasm"))
                contexts[name] = assert(wasm.on_configure(plugin, scripts[name]))
            end
            return contexts[name]
        end
    }
    server {
        listen 127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT;
        location = /hello { return 200 hello; }
        location = /callee { content_by_lua_block { ngx.sleep(0.02) ngx.print("x") } }
    }
HTTP
    config => $locations,
);

sub answers {
    my ($path, $expected, $why) = @_;
    my $r = $s->post("/$path", 'text');
    like "$r->{status} $r->{body}", $expected, "$path: $why";
}

answers("request_call/$_",  qr/^403 denied/, 'the call decides') for 0, 1;
answers("response_call/$_", qr/^403 denied/, 'the call decides') for 0, 1;
answers('request_never/0',  qr/^504/,        'all waits');
answers('response_never/0', qr/^504/,        'all waits');
answers('request_body/1',   qr/^403 denied/, 'the body decides');
answers('response_body/1',  qr/^200 changed/, 'the header goes on, and so does the body');

$s->stop(allow => [qr/\[error\]/]);
done_testing;
