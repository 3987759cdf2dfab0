# A plugin that traps, or does not come back, in the callbacks of calls: the request that waits for the call ends by the policy, and the
# gateway goes on. The same in what starts an instance.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo qw(open_zoo BRIEF);

# By callback: the call that it comes of.
my $server = '127.0.0.1:$TEST_NGINX_UPSTREAM_PORT';
my $grpc   = qq(["grpc_call", "$server", "test.Greeter", "Hello", [], "hello"]);
my %call   = (
    on_http_call_response             => qq(["http_call", "$server", [[":method", "GET"], [":path", "/http"], [":authority", "a"]]]),
    on_grpc_receive_initial_metadata  => $grpc,
    on_grpc_receive                   => $grpc,
    on_grpc_receive_trailing_metadata => $grpc,
    on_grpc_close                     => qq(["grpc_stream", "$server", "test.Greeter", "Hello"], ["grpc_send", "\${last}", "hello", 1]),
    on_foreign_function               => '["call_foreign_function", "resolve", "127.0.0.1"]',
);
my %fault = (trap => qr/wasm `unreachable` instruction executed/, loop => qr/it ran past its timeout/);

# The call is made if the request asks for it.
my %plugins;
for my $callback (sort keys %call) {
    for my $fault (sort keys %fault) {
        my $script = <<"SCRIPT";
{
    "on_request_headers": [
        {"if": ["request_header", "x-bad"], "then": [$call{$callback}, ["return", "pause"]]}
    ],
    "$callback": [["$fault"]],
    "on_response_headers": [["add_header_map_value", "response", "x-zoo", "alive"]]
}
SCRIPT
        $plugins{"$fault-$callback"} = { script => $script, options => 'callback_timeout=' . BRIEF };
    }
}

# By function: how a plugin traps in it.
my %start = (
    section      => '(start $trap)',
    _initialize  => '(export "_initialize" (func $trap))',
    main         => '(func (export "_initialize")) (func (export "main") (param i32 i32) (result i32) unreachable)',
    _start       => '(export "_start" (func $trap))',
    on_vm_start  => '(func (export "proxy_on_vm_start") (param i32 i32) (result i32) unreachable)',
    on_configure => '(func (export "proxy_on_configure") (param i32 i32) (result i32) unreachable)',
);
my @files;
for my $where (sort keys %start) {
    $plugins{"start-$where"} = { file => "$where.wat" };
    push @files, ["$where.wat", <<"WAT"];
(module
  (memory (export "memory") 1)
  (func \$trap unreachable)
  $start{$where}
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))
WAT
}

my $zoo = open_zoo(
    lua         => 1,
    plugins     => \%plugins,
    user_files  => \@files,
    http_config => <<'CONF',
    # Nobody answers there.
    resolver 127.0.0.1:9;
    resolver_timeout 20ms;
    server {
        listen 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT http2;
        location / {
            default_type application/grpc;
            add_trailer grpc-status 0;
            content_by_lua_block { ngx.print("\0\0\0\0\5hello") }
        }
    }
CONF
);
$zoo->is_unharmed('with all of them loaded');

for my $callback (sort keys %call) {
    for my $fault (sort keys %fault) {
        my $name = "$fault-$callback";
        subtest "a $fault in $callback" => sub {
            is $zoo->get("/$name", 'X-Bad' => 1)->{status}, 503, 'ends the request';
            my $told = qr/\[error\].*: proxy_$callback of plugin "$name" in context \d+: .*$fault{$fault}/;
            is $zoo->lines($told), 1, 'is told in one error line';
            $zoo->is_unharmed('afterwards');
            my $next = $zoo->get("/$name");
            is_deeply [@$next{qw(status body)}, $next->{headers}{'x-zoo'}], [200, "$name\n", 'alive'],
                'and the next request has a plugin that works';
        };
    }
}

for my $where (sort keys %start) {
    subtest "a trap in $where" => sub {
        my $function = $where eq 'section' ? 'the start section' : $where =~ /^on_/ ? "proxy_$where" : $where;
        ok $zoo->lines(qr/\[error\].*: $function of plugin "start-$where" in context \d: .*`unreachable`.* start-$where!/),
            'is told when the worker starts, with the name of the plugin in the backtrace';
        is $zoo->get("/start-$where")->{status}, 503, 'and fails each request';
        $zoo->is_unharmed('afterwards');
    };
}

$zoo->close;
done_testing;
