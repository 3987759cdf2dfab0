# What keeps the time for deadlines: a timer and its signal in each worker, or a thread where somebody else has the signal.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Workers;

my $looping = '{"on_request_headers": [{"if": ["request_header", "x-loop"], "then": [["loop"]]}]}';

sub ends_loops {
    my ($s) = @_;
    is $s->get('/t', 'X-Loop' => 1)->{status}, 503, 'a guest that never returns is ended';
    like $s->wait_for_log(qr/failed to call function/), qr/it ran past its timeout/, 'for its deadline';
    is status_at_last($s), 200, 'and the next request is served';
}

# The status of a next request. Where a plugin's start takes more than its share of the worker's time, as on an emulator, it waits.
sub status_at_last { return $_[0]->get_until(sub { $_[0]{status} == 200 }, '/t')->{status} }

subtest 'one thread, and signals are no news' => sub {
    my $s = start_nginx(
        log_level   => 'debug',
        http_config => 'wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite callback_timeout=20ms;',
        config      => "location /t { proxy_wasm p '$looping'; return 200; }",
    );
    ends_loops($s);
    is_deeply [threads($_, 'nginx')], ['nginx'], 'the worker has one thread' for $s->worker_pids;
    $s->stop;
    unlike $s->error_log, qr/Interrupted system call/, 'nothing is said of signals';
};

# Whether a process has a handler for the timer's signal, SIGURG.
sub keeps_time {
    my ($pid) = @_;
    open my $status, '<', "/proc/$pid/status" or die "no process $pid: $!\n";
    my ($caught) = join('', <$status>) =~ /^SigCgt:\s*([0-9a-f]+)/m;
    return hex(substr $caught, -8) >> 22 & 1;
}

subtest 'only where there is something to end' => sub {
    my %conf = (
        'a worker with a plugin' => [1, '', 'proxy_wasm p;'],
        'a worker whose plugins nobody attached' => [0, '', ''],
        'a worker whose plugins have no deadlines' => [0, 'wasm_callback_timeout off;', 'proxy_wasm p;'],
    );
    for my $name (sort keys %conf) {
        my ($keeps, $http, $location) = @{ $conf{$name} };
        my $s = start_nginx(
            http_config => "$http wasm_plugin p \$TEST_NGINX_PLUGINS/rust-headers.wasm;", config => "location /t { $location }",
        );
        $s->get('/t');
        is keeps_time(($s->worker_pids)[0]), $keeps, $name;
        is keeps_time($s->pid), 0, 'and no master';
        $s->stop;
    }
};

subtest 'what Lua runs while signals come is not disturbed' => sub {
    my $s = start_nginx(
        lua         => 1,
        http_config => 'wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite callback_timeout=10ms;',
        config      => <<"E",
    location /t { proxy_wasm p '$looping'; return 200; }
    location /child {
        content_by_lua_block {
            local begin, sum = os.clock(), 0
            while os.clock() - begin < 0.05 do sum = sum + 1 end
            local pipe = io.popen("echo a child")
            ngx.print(pipe:read("*a"))
            pipe:close()
        }
    }
E
    );
    is $s->get('/child')->{body}, "a child\n", 'a computation, and a child process that it waits for';
    ends_loops($s);
    $s->stop;
};

# An nginx in which other code handles these signals before a worker starts.
sub with_signals_taken {
    my ($signals) = @_;
    return start_nginx(
        lua         => 1,
        http_config => <<"E",
    wasm_vm wasmtime;
    wasm_callback_timeout 20ms;
    init_by_lua_block {
        local ffi = require("ffi")
        ffi.cdef("void (*signal(int signum, void *handler))(int); int abs(int);")
        for _, signal in ipairs({$signals}) do
            ffi.C.signal(signal, ffi.cast("void *", ffi.C.abs))
        end
        wasm = require("resty.proxy-wasm")
    }
    init_worker_by_lua_block {
        plugin = assert(wasm.load("p", "\$TEST_NGINX_PLUGINS/hostcalls.wasm"))
        ctx = assert(wasm.on_configure(plugin, [=[$looping]=]))
    }
E
        config => <<'E',
    location /t {
        access_by_lua_block {
            if not wasm.on_http_request_headers(ctx) then ngx.exit(503) end
        }
        content_by_lua_block { ngx.say("served") }
    }
E
    );
}

subtest 'SIGURG is somebody else\'s: another signal does' => sub {
    my $s = with_signals_taken('23');
    is_deeply [threads($_, 'nginx')], ['nginx'], 'the worker has one thread' for $s->worker_pids;
    ends_loops($s);
    $s->stop;
};

subtest 'all signals are somebody else\'s: a thread keeps the time' => sub {
    my $s = with_signals_taken('16, 23, 26');
    like $s->wait_for_log(qr/deadlines of plugins/), qr/\[error\].*: deadlines of plugins do not hold: other code handles SIGURG, SIGSTKFLT and SIGVTALRM/,
        'who takes them after the configuration was read is told';
    $s->reload;
    is_deeply [threads($_, qw(nginx wasm-ticker))], ['nginx', 'wasm-ticker'], 'the worker has it' for $s->worker_pids;
    like $s->error_log, qr/\[info\].*: checks in plugins and a thread keep deadlines: other code handles SIGURG/, 'and says so';
    ends_loops($s);
    $s->stop;
};

done_testing;
