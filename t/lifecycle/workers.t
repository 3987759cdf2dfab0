# Which process runs what: every worker has instances of its own, the master and nginx's helpers run no guest and no
# thread, a worker that is killed is replaced by one that serves. On both paths.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Workers;

my %path = (
    native => {
        http_config => 'wasm_plugin rust-headers $TEST_NGINX_PLUGINS/rust-headers.wasm;',
        config      => <<'E',
    location /t {
        proxy_wasm rust-headers blah;
        add_header X-Pid $pid;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
E
    },
    lua => {
        http_config => <<'E',
    wasm_vm wasmtime;
    init_by_lua_block { wasm = require("resty.proxy-wasm") }
    init_worker_by_lua_block {
        -- as APISIX does, in its privileged agent too
        plugin = assert(wasm.load("rust-headers", "$TEST_NGINX_PLUGINS/rust-headers.wasm"))
    }
E
        config => <<'E',
    location /t {
        access_by_lua_block {
            ctx = ctx or assert(wasm.on_configure(plugin, "blah"))
            assert(wasm.on_http_request_headers(ctx))
        }
        header_filter_by_lua_block { assert(wasm.on_http_response_headers(ctx)) }
        add_header X-Pid $pid;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
E
    },
);

# The upstream is a process of its own, so that workers can be stopped.
my $upstream = start_nginx(
    port => $ENV{TEST_NGINX_UPSTREAM_PORT}, no_module => 1,
    config => 'location = /t { return 200 "$http_x_rust_conf\n"; }');

for my $name (sort keys %path) {
    my %conf = %{ $path{$name} };

    subtest "$name: each of four workers serves, with contexts of its own" => sub {
        my $s = start_nginx(%conf, workers => 4);
        for my $pid ($s->worker_pids) {
            my $r = ask_worker($s, $pid, '/t');
            is $r->{headers}{'x-pid'}, $pid, "worker $pid answers";
            is $r->{body}, "blah\n", 'its plugin changed the request';
            is $r->{headers}{'x-rust'}, 'blah', 'and the response';
            like $s->wait_for_log(qr/ $pid#\d+: create plugin context/), qr/context 1$/, 'in its own plugin context 1';
            ok $s->wait_for_log(qr/ $pid#\d+: create http context 2/), 'and HTTP context 2';
        }
        $s->stop;
        is join('', grep { /\[error\]/ } split /^/, $s->error_log), '', 'no error line';
    };

    subtest "$name: the master runs no guest, and no process has a second thread" => sub {
        my $s = start_nginx(%conf, workers => 2);
        ask_worker($s, $_, '/t') for $s->worker_pids;
        my $master = $s->pid;
        is_deeply [threads($master, 'nginx')], ['nginx'], 'the master';
        is_deeply [threads($_, 'nginx')], ['nginx'], "worker $_" for $s->worker_pids;
        $s->reload;
        ask_worker($s, $_, '/t') for $s->worker_pids;
        is_deeply [threads($master, 'nginx')], ['nginx'], 'the master after HUP';
        is_deeply [threads($_, 'nginx')], ['nginx'], "worker $_ after HUP" for $s->worker_pids;
        $s->stop;
        unlike $s->error_log, qr/ $master#\d+: (?:create|free) (?:plugin|http) context/, 'no guest ran in the master';
    };

    subtest "$name: nginx's helper processes start nothing" => sub {
        my $s = start_nginx(%conf, http_config => "$conf{http_config}\nproxy_cache_path cache keys_zone=k:1m;");
        my @workers = $s->worker_pids;
        my %worker  = map { $_ => 1 } @workers;
        ask_worker($s, $workers[0], '/t');
        my @helpers = grep { !$worker{$_} } children($s);
        cmp_ok scalar @helpers, '>=', 1, 'there is a cache manager';
        is_deeply [threads($_, 'nginx')], ['nginx'], "helper $_ has no thread" for @helpers;
        $s->stop;
        my $pids = join '|', @helpers;
        unlike $s->error_log, qr/ (?:$pids)#\d+: create/, 'nor contexts';
    };

    subtest "$name: a worker that is killed is replaced by one that serves" => sub {
        my $s = start_nginx(%conf, workers => 2);
        my ($victim) = $s->worker_pids;
        ask_worker($s, $_, '/t') for $s->worker_pids;
        $s->mark_log;
        $s->signal(KILL => $victim);
        ok $s->wait_for_workers(2, [$victim]), 'it is replaced';
        for my $pid ($s->worker_pids) {
            my $r = ask_worker($s, $pid, '/t');
            is "$r->{body}$r->{headers}{'x-rust'}", "blah\nblah", "worker $pid serves";
        }
        $s->stop(allow => [qr/exited on signal 9/]);
        is join('', grep { /\[error\]/ } split /^/, $s->error_log), '', 'no error line';
    };

    subtest "$name: a worker is killed under load: what the others serve is served" => sub {
        my $s = start_nginx(%conf, workers => 4);
        my $load = $s->start_load('/t', clients => 2);
        ok $s->wait_for_log(qr/create http context/, count => 20), 'under load';
        my ($victim) = $s->worker_pids;
        $s->signal(KILL => $victim);
        ok $s->wait_for_workers(4, [$victim]), 'replaced';
        $s->mark_log;
        ok $s->wait_for_log(qr/create http context/, count => 20), 'and it goes on';
        my $got = $load->stop;
        cmp_ok $got->{200}, '>', 20, 'requests are answered';
        delete $got->{200};
        my $lost = 0;
        $lost += $_ for values %$got;
        cmp_ok $lost, '<=', 2, 'lost are at most those that the victim had' or diag explain $got;
        $s->stop(allow => [qr/exited on signal 9/]);
    };
}

subtest 'a worker without plugins has no thread' => sub {
    my $s = start_nginx(http_config => 'wasm_vm wasmtime;', config => '');
    $s->get('/');
    is_deeply [threads($_, 'nginx')], ['nginx'], "worker $_" for $s->worker_pids;
    $s->stop;
};

subtest 'a declared plugin that no line attaches starts no thread' => sub {
    my $s = start_nginx(http_config => $path{native}{http_config}, config => '');
    $s->get('/');
    is_deeply [threads($_, 'nginx')], ['nginx'], "worker $_" for $s->worker_pids;
    $s->stop;
};

subtest 'a plugin that Lua loads and never configures starts no thread' => sub {
    my $s = start_nginx(%{ $path{lua} });
    $s->get('/');
    is_deeply [threads($_, 'nginx')], ['nginx'], "worker $_" for $s->worker_pids;
    $s->stop;
};

subtest 'master_process off: one process serves' => sub {
    my $s = start_nginx(%{ $path{native} }, master => 'off');
    is $s->get('/t')->{body}, "blah\n", 'it serves';
    is_deeply [threads($s->pid, 'nginx')], ['nginx'], 'in one thread';
    $s->stop;
    like $s->error_log, qr/free plugin context 1\n.*unloaded wasm plugin/, 'and ends what it started';
};

$upstream->stop;
done_testing;
