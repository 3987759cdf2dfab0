# Images and isolation of a large plugin: the example waf, which takes a third of a second and 60 MB to start.

use lib '.';
use t::ProxyWasm;
use JSON::PP qw(decode_json);

my $plugin = "$ENV{TEST_NGINX_PLUGINS}/waf-go.wasm";
my @good   = (Host => 'example.com', 'User-Agent' => 'Mozilla/5.0 (X11; Linux x86_64)', Accept => '*/*');

sub serve {
    my ($path, %o) = @_;
    my ($http, $x) = $path eq 'native'
        ? ("wasm_plugin waf $plugin phase=rewrite;", q(wasm_request_body property; wasm_response_body property; proxy_wasm waf '{}'; return 200 welcome;))
        : ('wasm_vm wasmtime;', <<"LUA");
            access_by_lua_block {
                local wasm = require("resty.proxy-wasm")
                plugin = plugin or assert(wasm.load("waf", "$plugin"))
                context = context or assert(wasm.on_configure(plugin, "{}"))
                if not wasm.on_http_request_headers(context) then return ngx.exit(503) end
            }
            header_filter_by_lua_block { require("resty.proxy-wasm").on_http_response_headers(context) }
            content_by_lua_block { ngx.print("welcome") }
LUA
    return start_nginx(
        lua         => $path eq 'lua',
        workers     => $o{workers} // 1,
        log_level   => 'warn',
        http_config => "$http wasm_image $o{image}; wasm_isolation $o{isolation}; wasm_callback_timeout 60s; wasm_memory_limit 512m;",
        config      => "location = /x { $x } location = /status { wasm_status; }",
    );
}

sub status { return decode_json($_[0]->get('/status')->{body})->{plugins}[0] }

# What good requests and attacks get, in turns.
sub answers {
    my ($s, $times) = @_;
    my %got;
    for my $number (1 .. $times) {
        $got{ 'good ' . $s->get("/x?q=shoes$number", @good)->{status} }++;
        $got{ 'attack ' . $s->get("/x?id=$number%27%20OR%20%271%27=%271", @good)->{status} }++;
    }
    return \%got;
}

for my $path (qw(native lua)) {
    for my $isolation (qw(worker request)) {
        subtest "$path, isolation=$isolation" => sub {
            my $s = serve($path, image => 'on', isolation => $isolation);
            for my $round (1 .. 3) {
                is_deeply answers($s, 5), { 'good 200' => 5, 'attack 403' => 5 }, "round $round: it knows its rules";
                my ($worker) = $s->worker_pids;
                kill KILL => $worker;
                $s->wait_for_workers(1, [$worker]);
            }
            is_deeply answers($s, 1), { 'good 200' => 1, 'attack 403' => 1 }, 'the last worker, too';
            my $all = status($s)->{all_workers};
            is $all->{starts}, 1, "one instance was started, and $all->{restores} restored";
            $s->stop(allow => [qr/waf: /, qr/exited on signal 9/, qr/global Lua variable|stack traceback|access_by_lua/]);
        };
    }
}

# The memory that no two workers share, of all of them, in MB.
sub private_memory {
    my ($s) = @_;
    my $total = 0;
    for my $pid ($s->worker_pids) {
        open my $in, '<', "/proc/$pid/smaps_rollup" or return;
        while (<$in>) { $total += $1 / 1024 if /^Private_(?:Clean|Dirty):\s+(\d+) kB/ }
    }
    return $total;
}

subtest 'the memory of eight workers' => sub {
    my %of;
    for my $case (['off', 1], ['on', 8]) {
        my ($image, $workers) = @$case;
        my $s = serve('native', image => $image, isolation => 'worker', workers => $workers);
        $of{$image} = private_memory($s);
        $s->stop;
    }
    plan skip_all => 'the system does not tell whose memory is whose' if !defined $of{on};
    cmp_ok $of{on}, '<=', 1.3 * $of{off}, sprintf 'eight have %.0f MB for themselves, and one without an image has %.0f', @of{qw(on off)};
};

done_testing;
