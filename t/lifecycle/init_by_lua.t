# load and on_configure called in init_by_lua, in the master: what they return serves in the workers, with one worker
# and with four, and after HUP.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Workers;

sub conf {
    my ($plugin, $conf) = @_;
    return (
        http_config => <<"E",
    wasm_vm wasmtime;
    init_by_lua_block {
        wasm = require("resty.proxy-wasm")
        plugin = assert(wasm.load("$plugin", "\$TEST_NGINX_PLUGINS/$plugin.wasm"))
        ctx = assert(wasm.on_configure(plugin, [=[$conf]=]))
    }
E
        config => <<'E',
    location /t {
        access_by_lua_block {
            if not wasm.on_http_request_headers(ctx) then ngx.exit(503) end
        }
        header_filter_by_lua_block { wasm.on_http_response_headers(ctx) }
        content_by_lua_block {
            ngx.say(ngx.worker.pid(), " ", ngx.var.http_x_rust_conf or ngx.var.http_x_go_conf)
        }
    }
E
    );
}

for my $workers (1, 4) {
    for my $plugin ('rust-headers', 'go-headers') {
        subtest "$plugin, workers: $workers" => sub {
            my $s = start_nginx(conf($plugin, 'before'), workers => $workers);
            is ask_worker($s, $_, '/t')->{body}, "$_ before\n", "worker $_" for $s->worker_pids;
            my @old = $s->worker_pids;
            ok $s->reload(conf($plugin, 'after')), 'reloads';
            for my $pid ($s->worker_pids) {
                is ask_worker($s, $pid, '/t')->{body}, "$pid after\n", "worker $pid after HUP" for 1, 2;
            }
            ok $s->wait_for_exit($_), "worker $_ left" for @old;
            my $new = join '|', $s->worker_pids;
            $s->stop;
            is join('', grep { /\[error\]/ } split /^/, $s->error_log), '', 'no error line';
            is scalar(() = $s->error_log =~ / (?:$new)#\d+: free plugin context 1$/mg), $workers,
                'each worker ends its contexts';
        };
    }
}

subtest 'HUP under load loses no request' => sub {
    my $s = start_nginx(conf('rust-headers', 'conf'), workers => 2);
    my $load = $s->start_load('/t', clients => 2);
    ok $s->reload, 'reloads' for 1 .. 3;
    my $got = $load->stop;
    is_deeply [keys %$got], [200], 'every request is answered' or diag explain $got;
    $s->stop;
    is join('', grep { /\[error\]/ } split /^/, $s->error_log), '', 'no error line';
};

subtest 'a worker that is killed is replaced by one that serves' => sub {
    my $s = start_nginx(conf('rust-headers', 'conf'));
    my ($victim) = $s->worker_pids;
    $s->signal(KILL => $victim);
    ok $s->wait_for_workers(1, [$victim]), 'replaced';
    my ($pid) = $s->worker_pids;
    is $s->get('/t')->{body}, "$pid conf\n", 'serves';
    $s->stop(allow => [qr/exited on signal 9/]);
};

subtest 'no process has a second thread' => sub {
    my $s = start_nginx(conf('rust-headers', 'conf'), workers => 2);
    $s->reload;
    is_deeply [threads($s->pid, 'nginx')], ['nginx'], 'the master';
    is_deeply [threads($_, 'nginx')], ['nginx'], "worker $_" for $s->worker_pids;
    $s->stop;
};

subtest 'deadlines hold in what the master started' => sub {
    my %conf = conf('hostcalls', '{"on_request_headers": [{"if": ["request_header", "x-loop"], "then": [["loop"]]}]}');
    # Of processor time: a busy machine takes its time for that.
    $conf{http_config} .= "wasm_callback_timeout 50ms;\n";
    my $s = start_nginx(%conf);
    is $s->get('/t', 'X-Loop' => 1)->{status}, 503, 'a guest that never returns is ended';
    like $s->wait_for_log(qr/failed to call function/), qr/it ran past its timeout/, 'for its deadline';
    is $s->get('/t')->{status}, 200, 'and the next request is served';
    $s->stop;
};

subtest 'an instance of the master is not shared: a trap in one worker leaves the other alone' => sub {
    my $s = start_nginx(conf('rust-headers', 'conf'), workers => 2);
    my ($one, $two) = $s->worker_pids;
    is ask_worker($s, $one, '/t', 'X-Panic' => 1)->{status}, 503, 'a trap here';
    $s->mark_log;
    is ask_worker($s, $two, '/t')->{body}, "$two conf\n", 'nothing there';
    unlike $s->error_log, qr/create plugin context/, 'not even a restart';
    is ask_worker($s, $one, '/t')->{body}, "$one conf\n", 'and the first serves again';
    $s->stop(allow => [qr/panicked|the request asked for it/]);
};

subtest 'random numbers differ between workers, though the master started what asks for them' => sub {
    my $s = start_nginx(conf('hostcalls', '{"on_request_headers": [["random_get", 16]]}'), workers => 4);
    my %drawn;
    for my $pid ($s->worker_pids) {
        is ask_worker($s, $pid, '/t')->{status}, 200, "worker $pid";
        $drawn{$1}++ if $s->wait_for_log(qr/ $pid#\d+: .*random_get 16 -> \S/) =~ /-> (.+?), client/;
    }
    is keys %drawn, 4, 'each draws its own' or diag explain \%drawn;
    $s->stop;
};

subtest 'a HUP whose init_by_lua fails keeps the old configuration serving' => sub {
    my $s = start_nginx(conf('rust-headers', 'conf'));
    my %broken = conf('rust-headers', 'new');
    $broken{http_config} =~ s/\.wasm"/.nowhere"/;
    $s->mark_log;
    { # nginx logs the fault of init_by_lua at [error] and starts nothing
        my ($pid) = $s->worker_pids;
        $s->{conf} = { %{ $s->{conf} }, %broken };
        $s->_write_conf;
        $s->signal('HUP');
        ok $s->wait_for_log(qr/init_by_lua error: .*nowhere/), 'the fault is logged';
        is_deeply [$s->worker_pids], [$pid], 'no new workers';
        is $s->get('/t')->{body}, "$pid conf\n", 'the old one serves';
        $s->signal(KILL => $pid);
        ok $s->wait_for_workers(1, [$pid]), 'and when it is killed';
        ($pid) = $s->worker_pids;
        my $r = $s->get('/t');
        is $r->{body}, "$pid conf\n", 'the next one does';
        is $r->{headers}{'x-rust'}, 'conf', 'response callbacks too';
    }
    $s->stop(allow => [qr/exited on signal 9/]);
};

done_testing;
