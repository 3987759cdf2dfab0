# Servers that break off: each call of them fails, the callback comes with 503, or under Lua with nothing, and a line says why.

use lib '.';
use t::ProxyWasm;
use IO::Socket::INET ();
use POSIX ();
use ProxyWasm::LuaSetup;
use Socket qw(SOL_SOCKET SO_LINGER);

# What the server does, by path: sends this, and closes, or resets the connection.
my %servers = (
    reset       => { reset => 1 },
    closes      => {},
    half_header => { sends => "HTTP/1.1 200 OK\r\nX-Hal" },
    half_body   => { sends => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf" },
    half_chunk  => { sends => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel" },
    bad_chunk   => { sends => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" },
    reset_body  => { sends => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", reset => 1 },
);

my $listener = IO::Socket::INET->new(LocalHost => '127.0.0.1', LocalPort => 0, Listen => 16) or die "listen: $!\n";
my $upstream = $listener->sockport;
my $pid = fork // die "fork: $!\n";
if (!$pid) {
    while (my $client = $listener->accept) {
        my $request = '';
        while ($request !~ /\r\n\r\n/ && sysread $client, $request, 4096, length $request) { }
        my ($path) = $request =~ m{^GET /(\w+)};
        syswrite $client, $servers{$path}{sends} // '';
        # With that, close() does not say goodbye.
        $client->sockopt(SO_LINGER, pack 'ii', 1, 0) if $servers{$path}{reset};
        close $client;
    }
    POSIX::_exit(0);
}
END { kill 'KILL', $pid if $pid }

sub script {
    my ($path) = @_;
    return <<"SCRIPT";
{"on_request_headers": [["http_call", "127.0.0.1:$upstream", [[":method", "GET"], [":authority", "127.0.0.1:$upstream"], [":path", "/$path"]]], ["return", "pause"]],
 "on_http_call_response": [["send_local_response", 200, "\${num_headers} \${body_size} \${num_trailers}"]]}
SCRIPT
}

sub lua {
    my ($http_config) = @_;
    return start_nginx(
        http_config => join('', $http_config, $ProxyWasm::LuaSetup::WASM_VM, $ProxyWasm::LuaSetup::INIT_WORKER),
        config      => join '', map { <<"CONF" } sort keys %servers);
    location /$_ { access_by_lua_block { assert(wasm.on_http_request_headers(configured("hostcalls", [=[@{[script($_)]}]=]))) } }
CONF
}

my %paths = (
    'native' => sub {
        start_nginx(
            http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;',
            config      => join '', map { "location /$_ { proxy_wasm hostcalls '@{[script($_)]}'; }\n" } sort keys %servers);
    },
    'Lua, through resty.http' => sub { lua(ProxyWasm::LuaSetup::resty_http()) },
);

my %reasons = (
    'native' => {
        reset => 'connection reset by peer', reset_body => qr/connection (reset by peer|closed)/, bad_chunk => 'Invalid chunk size line: missing size digit',
        map { ($_ => 'connection closed') } qw(closes half_header half_body half_chunk),
    },
    'Lua, through resty.http' => {
        reset => 'connection reset by peer', reset_body => qr/connection reset by peer|closed/, bad_chunk => 'unable to read chunksize',
        map { ($_ => 'closed') } qw(closes half_header half_body half_chunk),
    },
);

for my $path (sort keys %paths) {
    subtest $path => sub {
        my $s = $paths{$path}->();
        for my $server (sort keys %servers) {
            like $s->get("/$server")->{body}, $path eq 'native' ? qr/^3 \d+ 0$/ : qr/^0 0 0$/, "$server: what the callback comes with";
            ok $s->wait_for_log(qr{http call failed: $reasons{$path}{$server}, uri: http://127\.0\.0\.1:$upstream/$server,}), 'and a line says why';
        }
        $s->stop;
    };
}

done_testing;
