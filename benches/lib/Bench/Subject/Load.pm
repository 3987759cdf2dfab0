package Bench::Subject::Load;

# The time until a Go plugin of 2.7 MB, with Go's runtime, can serve in every worker: from the
# cache, and without it. Also the memory that no two workers share, and what compiling a plugin of
# 24 MB costs nginx's own processes.

use strict;
use warnings;
use Bench::Callgrind qw(count under_callgrind);
use Bench::Client;
use Bench::Clock qw(cpu_time least);
use Bench::Row;
use Bench::Server qw(directory plugin start stop);
use File::Path qw(make_path remove_tree);
use Time::HiRes qw(sleep time);

use constant { WORKERS => 8, PLUGINS => 10, TIMES => 10 };

sub title { 'Load' }

sub rows {
    my $cold;
    my $of_cold = sub {
        my ($what) = @_;
        return sub { ($cold //= _cold())->{$what} };
    };
    my $them = WORKERS . ' workers load ' . PLUGINS . ' different Go plugins on a cold cache';
    return (
        Bench::Row->new(key => 'load.cached', title => 'a cached Go plugin: load, start and configure', measure => \&_cached),
        Bench::Row->new(
            key => 'load.cached.time', title => 'the same, of a processor', unit => 'ms', timing => 1, measure => \&_cached_time),
        Bench::Row->new(
            key => 'load.compiled', title => "$them: how often one is compiled", unit => 'times',
            measure => $of_cold->('compiled')),
        Bench::Row->new(
            key => 'load.cold.time', title => "$them: until the last can serve", unit => 's', timing => 1,
            measure => $of_cold->('seconds')),
        Bench::Row->new(
            key => 'load.private', title => 'private memory that these add to a worker', unit => 'MB',
            measure => $of_cold->('private')),
        Bench::Row->new(
            key => 'load.master', title => 'a WAF of 24 MB: memory of a master that had it compiled, over one that found it',
            unit => 'MB', measure => \&_master),
        Bench::Row->new(
            key => 'load.cores', title => 'the same: time to compile it on two cores, of that on one', unit => 'times',
            timing => 1, measure => \&_cores),
        Bench::Row->new(
            key => 'load.worker', title => 'the same: the longest that a worker works without a break while it is compiled for it', unit => 'ms',
            timing => 1, measure => \&_worker),
    );
}

# A location that loads the plugin, starts it and configures it, and answers how many milliseconds of a
# processor that took.
my %one = (
    http_config => <<'E',
wasm_vm wasmtime;
init_worker_by_lua_block {
    local ffi = require("ffi")
    ffi.cdef("typedef struct { long s, ns; } bench_time; int clock_gettime(int clock, bench_time *time);")
    local CLOCK_THREAD_CPUTIME_ID = 3
    local time = ffi.new("bench_time")
    local function now()
        ffi.C.clock_gettime(CLOCK_THREAD_CPUTIME_ID, time)
        return tonumber(time.s) * 1e3 + tonumber(time.ns) / 1e6
    end
    local wasm = require("resty.proxy-wasm")

    function load(path)
        local started = now()
        local plugin = assert(wasm.load("p", path))
        local context = assert(wasm.on_configure(plugin, "yes"))
        local milliseconds = now() - started
        context = nil
        plugin = nil
        -- what is garbage is unloaded, so that the next comes from the cache again
        collectgarbage()
        collectgarbage()
        return milliseconds
    end
}
E
);

sub _load {
    return (%one, config => 'location /t { content_by_lua_block { ngx.print(load("' . plugin('go-headers') . '")) } }');
}

sub _cached {
    return under_callgrind({_load()}, sub {
        my ($server) = @_;
        my $client = Bench::Client->new($server->port);
        $client->ask(1);
        return count($server, 'load.cached', sub { $client->ask(3) }) / 3;
    });
}

sub _cached_time {
    my $server = start(_load());
    my $client = Bench::Client->new($server->port);
    my $time   = least(TIMES, sub { 0 + $client->ask(1)->{body} });
    stop($server);
    return $time;
}

# Every worker loads and configures all of them, as on APISIX; then none does.
sub _cold {
    my $cache   = directory() . '/cold-cache';
    my @plugins = _different();
    remove_tree($cache);
    my $started = time;
    my $with    = _workers($cache, @plugins);
    my $seconds = time - $started;
    my $page    = Bench::Client->new($with->port, path => '/metrics')->ask(1)->{body};
    my $private = _private($with);
    stop($with);

    my $without  = _workers($cache);
    my $compiled = 0;
    $compiled += $1 while $page =~ /^proxy_wasm_loads_total\{[^}]*from="compiler"[^}]*\} (\d+)/mg;
    my %result = (seconds => $seconds, compiled => $compiled, private => ($private - _private($without)) / 1e6);
    stop($without);
    remove_tree($cache);
    return \%result;
}

sub _workers {
    my ($cache, @plugins) = @_;
    my $list   = join ', ', map { qq("$_") } @plugins;
    my $server = start(
        workers     => WORKERS,
        log_level   => 'notice',
        http_config => "wasm_vm wasmtime;\nwasm_cache $cache;\ninit_worker_by_lua_block {" . <<"E",
    local wasm = require("resty.proxy-wasm")
    plugins, contexts = {}, {}
    for number, path in ipairs({ $list }) do
        plugins[number] = assert(wasm.load("p" .. number, path))
        contexts[number] = assert(wasm.on_configure(plugins[number], "yes"))
    end
    ngx.log(ngx.NOTICE, "this worker is ready")
}
E
        config => 'location /metrics { wasm_metrics; }',
    );
    $server->wait_for_log(qr/this worker is ready/, count => WORKERS, timeout => 900) or die "the workers do not get ready\n";
    return $server;
}

# Bytes that only the master has, of a start that compiles, over those of one that does not.
sub _master {
    my $cache = directory() . '/master-cache';
    remove_tree($cache);
    my ($cold, $warm) = map {
        my $server  = start(http_config => "wasm_cache $cache;\nwasm_plugin waf " . plugin('waf-go') . ';', start_timeout => 600);
        my $private = _private_of($server->pid);
        stop($server);
        $private;
    } 1 .. 2;
    remove_tree($cache);
    return ($cold - $warm) / 1e6;
}

# The least of some alternating runs. The compiler takes a thread for each core that it may use.
sub _cores {
    my @least;
    for my $cores ((1, 2) x 3) {
        my $seconds = _seconds_on($cores);
        $least[$cores] = $seconds if !defined $least[$cores] || $seconds < $least[$cores];
    }
    return $least[2] / $least[1];
}

sub _seconds_on {
    my ($cores) = @_;
    my ($all) = `taskset -cp $$` =~ /: (\S+)$/ or die "taskset: $!\n";
    _run_on('0-' . ($cores - 1));
    my $server = start(
        http_config   => "wasm_cache off;\nwasm_plugin waf " . plugin('waf-go') . ';',
        log_level     => 'notice',
        start_timeout => 600,
    );
    _run_on($all);
    my ($seconds) = ($server->stderr . $server->error_log) =~ /plugin "waf" compiled in ([\d.]+) s/ or die "no time was told\n";
    stop($server);
    return $seconds;
}

sub _run_on {
    my ($cores) = @_;
    system("taskset -cp $cores $$ > /dev/null") == 0 or die "there are no cores $cores\n";
}

# From when it is asked for the plugin until it has it, on a cold cache: the most processor time between two looks at it, which is as
# much as a turn of its loop, or more.
sub _worker {
    my $cache = directory() . '/worker-cache';
    my $path  = plugin('waf-go');
    remove_tree($cache);
    my $server = start(
        log_level   => 'notice',
        http_config => "wasm_vm wasmtime;\nwasm_cache $cache;\n",
        config      => qq{location /t { content_by_lua_block { plugin = assert(require("resty.proxy-wasm").load("p", "$path")) } }},
    );
    my ($worker) = $server->worker_pids;
    my ($most, $is_loaded) = (cpu_time($worker, sub { Bench::Client->new($server->port)->ask(1) }), 0);
    while (!$is_loaded) {
        my $time = cpu_time($worker, sub {
            sleep 0.02;
            $is_loaded = $server->error_log =~ /plugin "p" compiled in/;
        });
        $most = $time if $time > $most;
    }
    stop($server);
    remove_tree($cache);
    return $most;
}

# The same plugin with another custom section, "bench", at the end of each: to every cache they have nothing in common.
sub _different {
    my $folder = directory() . '/plugins';
    make_path($folder);
    open my $in, '<:raw', plugin('go-headers') or die "go-headers: $!\n";
    my $module = do { local $/; <$in> };
    return map {
        my $path = "$folder/go-$_.wasm";
        open my $out, '>:raw', $path or die "$path: $!\n";
        print {$out} $module, pack('C C/a*', 0, pack('C/a* C', 'bench', $_));
        close $out or die "$path: $!\n";
        $path;
    } 1 .. PLUGINS;
}

# Bytes that no other process has, of an average worker.
sub _private {
    my ($server) = @_;
    my @workers = $server->worker_pids;
    my $total   = 0;
    $total += _private_of($_) for @workers;
    return $total / @workers;
}

sub _private_of {
    my ($pid) = @_;
    my $bytes = 0;
    open my $in, '<', "/proc/$pid/smaps_rollup" or die "/proc/$pid/smaps_rollup: $!\n";
    while (<$in>) { $bytes += $1 * 1024 if /^Private_(?:Clean|Dirty):\s+(\d+) kB/ }
    return $bytes;
}

1;
