# A plugin that answers in place of an upstream that does not end: the request is over when
# the client has its answer, and the client's connection goes on.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Upstream qw(upstream);

my $large   = 3 << 20;
my $proxied = 'proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/endless;';
my $short   = '["send_local_response", 403, "no"]';
my %answer  = (short => $short, large => qq{["send_local_response", 200, {"repeat": ["0", $large]}]});

sub location {
    my ($path, $script, $more) = @_;
    return qq{location $path { $more proxy_wasm hostcalls '{"trace": true, $script}'; $proxied }\n};
}

my $config = '';
for my $mode (qw(on off)) {
    for my $callback (qw(on_response_headers on_response_body)) {
        my $more = "proxy_buffering $mode;";
        $config .= location("/$mode/$callback/$_", qq{"$callback": [$answer{$_}]}, $more) for qw(short large);
        $config .= location("/$mode/$callback/tick", <<"E", $more);
            "on_configure": [["set", "held", ""], ["set_tick_period_milliseconds", 20]],
            "$callback": [["set", "held", "\${context_id}"], ["return", "pause"]],
            "on_tick": [{"if": ["not", ["eq", "\${held}", ""]], "then": [
                ["set_effective_context", "\${held}"], ["set", "held", ""], $short]}]
E
    }
}

my %conf = (
    lua         => 1,
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;' . upstream(),
    config      => $config . <<'E',
    location = /lua {
        header_filter_by_lua_block {
            wasm = wasm or require("resty.proxy-wasm")
            ctx = ctx or assert(wasm.on_configure(assert(wasm.load("p", "$TEST_NGINX_PLUGINS/hostcalls.wasm")),
                '{"trace": true, "on_response_headers": [["send_local_response", 403, "no"]]}'))
            assert(wasm.on_http_response_headers(ctx))
        }
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/endless;
    }
E
);

my $s = start_nginx(%conf);
my $c = $s->connect;

sub is_over {
    my ($path, $status, $body) = @_;
    $s->mark_log;
    my $r = $c->request(GET => $path);
    is $r->{status}, $status, "$path: status";
    is length $r->{body}, length $body, "$path: body";
    ok $s->wait_for_log(qr/on_delete/), "$path: the request is over";
    is scalar(() = $s->error_log =~ /on_delete/g), 1, "$path: once";
}

for my $mode (qw(on off)) {
    for my $callback (qw(on_response_headers on_response_body)) {
        is_over("/$mode/$callback/short", 403, 'no');
        is_over("/$mode/$callback/large", 200, '0' x $large);
        is_over("/$mode/$callback/tick",  403, 'no');
    }
}
is_over('/lua', 403, 'no');
$s->stop;

# The same over HTTP/2.
$s = start_nginx(%conf, http2 => 1);
for my $path (qw(/on/on_response_headers/short /off/on_response_body/short /off/on_response_body/large /on/on_response_headers/tick /lua)) {
    $s->mark_log;
    my $got = `curl -s -m 10 --http2-prior-knowledge http://127.0.0.1:@{[$s->port]}$path`;
    is length $got, $path =~ /large/ ? $large : 2, "HTTP/2, $path";
    ok $s->wait_for_log(qr/on_delete/), "HTTP/2, $path: the request is over";
}
$s->stop;
done_testing;
