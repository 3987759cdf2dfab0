# wasm_image auto|on|off; in http, image= of a plugin: whether instances that have started are kept as images (auto).
# What cannot be kept starts each time, and the status and the log say why.

use lib '.';
use t::ProxyWasm;
use JSON::PP qw(decode_json);

my %cases = (
    'keeps'         => ['{}',                                                                         undef],
    'ticks'         => ['{"on_configure": [["set_tick_period_milliseconds", 60000]]}',                undef],
    'queues'        => ['{"on_configure": [["register_shared_queue", "q"]]}',                         undef],
    'counts'        => ['{"on_configure": [{"op": "define_metric", "args": ["counter", "starts"], "as": "id"}, ["increment_metric", "${id}", 1]]}', undef],
    'refuses'       => ['{"on_configure": [["return", false]]}',                                      undef],
    'data'          => ['{"on_configure": [["set_shared_data", "k", "v"]]}',                          'it used shared data while it started'],
    'reads-metrics' => ['{"on_configure": [{"op": "define_metric", "args": ["counter", "c"], "as": "id"}, ["get_metric", "${id}"]]}', 'it read metrics while it started'],
    'calls'         => ['{"on_configure": [["http_call", "127.0.0.1:1", [[":method", "GET"], [":path", "/"], [":authority", "a"]]]]}', 'it called a server while it started'],
    'foreign'       => ['{"on_configure": [["call_foreign_function", "resolve", "localhost"]]}',      'it called a foreign function while it started'],
    'items'         => ['{"on_configure": [["register_shared_queue", "q"], ["enqueue_shared_queue", "${last}", "x"]]}', 'it used the items of queues while it started'],
);

# Modules whose state is not all in their memory and in globals of numbers.
sub module {
    my ($parts, $code) = @_;
    return qq{(module $parts (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_configure") (param i32 i32) (result i32) $code (i32.const 1))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))};
}
my %modules = (
    'tables'   => [module('(table $t 1 funcref)', '(table.set $t (i32.const 0) (ref.null func))'),  'its code changes tables'],
    'segments' => [module('(data $d "x")', '(data.drop $d)'),                                       'its code drops segments'],
    'refers'   => [module('(global $g (mut funcref) (ref.null func))', ''),                         'it has a global that refers to a function or an object'],
    'random'   => [module('(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))', '(drop (call $random (i32.const 0) (i32.const 8)))'),
        'it drew random numbers while it started'],
    'starts'   => [module('(func $s) (start $s)', ''),                                              undef],
);

my ($http, $locations, @files) = ('', '');
for my $name (sort keys %cases) {
    push @files, ["$name.json", $cases{$name}[0]];
    $http      .= "wasm_plugin $name \$TEST_NGINX_PLUGINS/hostcalls.wasm image=on phase=rewrite;\n";
    $locations .= "location = /$name { proxy_wasm $name conf_file=\$TEST_NGINX_HTML_DIR/$name.json; return 200 ok; }\n";
}
for my $name (sort keys %modules) {
    push @files, ["$name.wat", $modules{$name}[0]];
    $http      .= "wasm_plugin $name \$TEST_NGINX_HTML_DIR/$name.wat phase=rewrite;\n";
    $locations .= "location = /$name { proxy_wasm $name; return 200 ok; }\n";
}
$http .= "wasm_plugin never \$TEST_NGINX_HTML_DIR/starts.wat image=off;\nwasm_plugin on \$TEST_NGINX_HTML_DIR/random.wat image=on;\n";
$locations .= "location = /never { proxy_wasm never; return 200 ok; }\nlocation = /on { proxy_wasm on; return 200 ok; }\n";

my $s = start_nginx(
    http_config => $http,
    config      => "$locations location = /status { wasm_status; } location = /metrics { wasm_metrics; }",
    user_files  => \@files,
);

sub images {
    my ($of) = @_;
    my $status = decode_json($of->get('/status')->{body});
    return map { $_->{name} => $_->{image} } @{ $status->{plugins} };
}

my %want = (%cases, %modules, on => [undef, undef], never => [undef, undef]);
my %images = images($s);
for my $name (sort keys %want) {
    my $why = $want{$name}[1];
    is $images{$name}{why_not}, $why, "$name: " . ($why // 'nothing is in the way');
    is defined $images{$name}{bytes}, $name ne 'never' && !$why, defined $images{$name}{bytes} ? 'there is an image' : 'there is none';
    next if !$why;
    ok scalar(grep { /\[info\] .*plugin "$name" is not kept as an image: \Q$why\E/ } split /^/, $s->error_log), 'an info line says so';
}

my ($victim) = $s->worker_pids;
kill KILL => $victim;
$s->wait_for_workers(1, [$victim]);
my %restored = images($s);
for my $name (sort keys %want) {
    my $kept = $name ne 'never' && !$want{$name}[1];
    is $restored{$name}{restores}, $kept ? 1 : 0, "$name: a new worker " . ($kept ? 'restores it' : 'starts it');
}
is $s->get("/$_")->{status}, 200, "$_: works" for grep { $_ ne 'refuses' } sort keys %want;
is $s->get('/refuses')->{status}, 503, 'a configuration that was refused stays refused';
like $s->get('/metrics')->{body}, qr/^starts\{plugin="counts"\} 2$/m, 'what it counted while it started is counted again';
$s->stop(allow => [qr/exited on signal 9/, qr/http call failed/, qr/configure/, qr/resolve|foreign/, qr/\[error\]/]);

# For all plugins, and for one of them.
my $off = start_nginx(
    http_config => join('', "wasm_image off;\n", map { "wasm_plugin $_->[0] \$TEST_NGINX_HTML_DIR/starts.wat phase=rewrite $_->[1];\n" } ['all', ''], ['one', 'image=auto']),
    config      => 'location = /x { proxy_wasm all; proxy_wasm one; return 200 ok; } location = /status { wasm_status; }',
    user_files  => [['starts.wat', $modules{starts}[0]]],
);
is $off->get('/x')->{status}, 200, 'wasm_image off: works';
my %off = images($off);
is_deeply [map { defined $off{$_}{bytes} ? 'image' : 'none' } qw(all one)], ['none', 'image'], 'there is an image only where a plugin says so';
$off->stop;

done_testing;
