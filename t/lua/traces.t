# resty.proxy-wasm: what runs in every request is compiled by LuaJIT, and no trace is given up in it. jit.v says what becomes of traces.

use lib '.';
use t::ProxyWasm;

my $file = "$ENV{TEST_NGINX_SERVROOT}-traces";
unlink $file;
END { unlink $file if defined $file }

my $s = start_nginx(
    lua         => 1,
    http_config => <<"HTTP",
    wasm_vm wasmtime;
    init_worker_by_lua_block {
        local found, verbose = pcall(require, "jit.v")
        if found then verbose.on("$file") end
        local wasm = require("resty.proxy-wasm")
        local plugin, contexts = nil, {}
        function of(conf)
            plugin = plugin or assert(wasm.load("p", "\$TEST_NGINX_PLUGINS/hostcalls.wasm"))
            contexts[conf] = contexts[conf] or assert(wasm.on_configure(plugin, conf))
            return contexts[conf]
        end
        looks, changes = '{"on_request_body": [], "on_response_body": []}', [=[{
            "on_request_body": [["set_buffer_bytes", "request_body", "<", 0, 0]],
            "on_response_body": [["set_buffer_bytes", "response_body", ">", 0, 0]]
        }]=]
        request_headers, request_body = wasm.on_http_request_headers, wasm.on_http_request_body
        response_headers, response_body = wasm.on_http_response_headers, wasm.on_http_response_body
        has_jit_v = found
    }
HTTP
    config => <<'CONFIG',
    location = /has_jit_v { content_by_lua_block { ngx.print(tostring(has_jit_v)) } }
    location = /looks {
        access_by_lua_block { assert(request_headers(of(looks))) assert(request_body(of(looks), "body", true)) }
        header_filter_by_lua_block { assert(response_headers(of(looks))) }
        body_filter_by_lua_block { assert(response_body(of(looks))) }
        content_by_lua_block { for _ = 1, 5 do ngx.print("hello") ngx.flush() end }
    }
    location = /changes {
        access_by_lua_block { assert(request_headers(of(changes))) assert(request_body(of(changes), "body", true)) }
        header_filter_by_lua_block { assert(response_headers(of(changes))) }
        body_filter_by_lua_block { assert(response_body(of(changes))) }
        content_by_lua_block { ngx.print(ngx.req.get_body_data()) }
    }
CONFIG
);

if ($s->get('/has_jit_v')->{body} ne 'true') {
    $s->stop;
    Test::More::plan(skip_all => 'this LuaJIT comes without jit.v');
}

my ($connection, %got) = ($s->connect);
for (1 .. 500) {
    $got{ $connection->request('GET', "/$_")->{body} =~ tr/>//dr }++ for qw(looks changes);
}
is_deeply \%got, { 'hello' x 5 => 500, '<body' => 500 }, 'requests are served' or diag explain \%got;
$s->stop;

open my $traces, '<', $file or die "$file: $!";
my @lines = grep { /proxy-wasm\.lua/ } <$traces>;
close $traces;
cmp_ok scalar(grep { !/---/ } @lines), '>', 0, 'functions of the library are compiled';
# A trace that begins in a function of lua-resty-core, which the library calls, ends where that one returns: the library's own traces
# have that function in them. A loop that ends as it is recorded is recorded again.
my @given_up = grep { /---/ && (/--- (?:\(\S+\) )?proxy-wasm\.lua:/ || !/-- NYI: return to lower frame at/) } @lines;
@given_up = grep { !/-- leaving loop in root trace/ } @given_up;
is join('', @given_up), '', 'and no trace is given up in them' or diag @lines;

done_testing;
