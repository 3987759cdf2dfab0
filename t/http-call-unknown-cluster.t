# Names of clusters that nobody has heard of: they are refused at once, and the line says what to
# write. On the Lua path a bare name is a host.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::LuaSetup;

sub script {
    my ($call) = @_;
    return qq({"on_request_headers": [$call, ["send_local_response", 200, "\${status}"]]});
}

my $headers = '[[":method", "GET"], [":authority", "a.test"], [":path", "/"]]';
my %scripts = (
    http    => script(qq(["http_call", "web_service", $headers])),
    odd     => script(qq(["http_call", "outbound|80||name.svc", $headers])),
    host    => script(qq(["http_call", "host.test", $headers])),
    port    => script(qq(["http_call", "host:80", $headers])),
    block   => script(qq(["http_call", "backend", $headers])),
    text    => script('["grpc_call", "greeter", "test.Greeter", "Hello", [], "hello"]'),
    message => script('["grpc_call", {"hex": "0a090a0767726565746572"}, "test.Greeter", "Hello", [], "hello"]'),
    stream  => script('["grpc_stream", "streamer", "test.Greeter", "Hello"]'),
    long    => script(qq(["http_call", {"repeat": ["a", 10000]}, $headers])),
    many    => script(join ', ', map { qq(["http_call", "cluster_$_", $headers]) } 1 .. 20),
);

my $s = start_nginx(
    http_config => <<'CONF',
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_plugin many $TEST_NGINX_PLUGINS/hostcalls.wasm;
    upstream backend { server 127.0.0.1:1; }
CONF
    config => join('', map { "location = /$_ { proxy_wasm @{[$_ eq 'many' ? 'many' : 'hostcalls']} '$scripts{$_}'; }\n" } sort keys %scripts),
);

sub hint {
    my ($name) = @_;
    return qr/: \Q$name\E; if that is a cluster's name, write into http of nginx\.conf where its servers are: wasm_upstream "\Q$name\E" HOST:PORT;/;
}

sub refused {
    my ($path, $what, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $s->mark_log;
    is $s->get("/$path")->{body}, 'BAD_ARGUMENT', "$path: a name that nobody knows";
    my $hint = hint($name);
    like $s->error_log, qr/\[error\] .*\Q$what\E$hint/, 'the line says what to write';
}

refused(http    => 'http call gets invalid host',    'web_service');
refused(odd     => 'http call gets invalid host',    'outbound|80||name.svc');
refused(text    => 'grpc call gets invalid service', 'greeter');
refused(long    => 'http call gets invalid host',    'a' x 300);
refused(stream  => 'grpc call gets invalid service', 'streamer');
is $s->get('/message')->{body}, 'BAD_ARGUMENT', 'a cluster that Envoy\'s message names';
is $s->get("/$_")->{body}, 'OK', "a $_ is none that must be known" for qw(host port block);

$s->mark_log;
$s->get('/many');
my $lines = () = $s->error_log =~ /\[error\] .*http call gets invalid host: cluster_\d+/g;
is $lines, 8, 'of many names some are told';
$s->mark_log;
$s->get('/many') for 1 .. 3;
$lines = () = $s->error_log =~ /\[error\] .*http call gets invalid host: cluster_1;/g;
cmp_ok $lines, '<=', 1, 'and none again and again';
$s->stop(allow => [qr/\[error\]/]);

$s = start_nginx(
    http_config => "$ProxyWasm::LuaSetup::WASM_VM$ProxyWasm::LuaSetup::INIT_WORKER",
    config      => <<"CONF",
    location = /host {
        access_by_lua_block { wasm.on_http_request_headers(configured('hostcalls', [=[$scripts{http}]=])) }
    }
    location = /odd {
        access_by_lua_block { wasm.on_http_request_headers(configured('hostcalls', [=[$scripts{odd}]=])) }
    }
CONF
);
$s->get('/host');
ok $s->wait_for_log(qr/http_call web_service .* -> OK/), 'Lua: a bare name is a host';
$s->get('/odd');
ok $s->wait_for_log(qr/http_call outbound\|80\|\|name\.svc .* -> BAD_ARGUMENT/), 'what is no host is refused';
like $s->error_log, qr/http call gets invalid host: outbound\|80\|\|name\.svc(?:,|$)/m, 'and told as by the C module';
$s->stop(allow => [qr/\[error\]/]);

done_testing;
