# HUP: what was changed takes effect, nothing is lost on the way, and what nginx refuses changes nothing. On both paths.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Workers;

# A path's configuration with a plugin file and a conf.
my %path = (
    native => sub {
        my ($file, $conf) = @_;
        return (http_config => "wasm_plugin p $file;", config => <<"E");
    location /t {
        proxy_wasm p $conf;
        proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /upstream { return 200 "\$http_x_rust_conf\$http_x_go_conf\\n"; }
E
    },
    lua => sub {
        my ($file, $conf) = @_;
        return (http_config => <<"H", config => <<"E");
    wasm_vm wasmtime;
    init_worker_by_lua_block {
        state = {}
        wasm = require("resty.proxy-wasm")
        plugin, err = wasm.load("p", "$file")
        if not plugin then ngx.log(ngx.EMERG, err) end
    }
H
    location /t {
        access_by_lua_block {
            state.ctx = state.ctx or assert(wasm.on_configure(plugin, "$conf"))
            assert(wasm.on_http_request_headers(state.ctx))
        }
        header_filter_by_lua_block { assert(wasm.on_http_response_headers(state.ctx)) }
        proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/upstream;
    }
    location /upstream { return 200 "\$http_x_rust_conf\$http_x_go_conf\\n"; }
E
    },
);
my $plugins = $ENV{TEST_NGINX_PLUGINS};

for my $name (sort keys %path) {
    my $conf = $path{$name};

    subtest "$name: HUP under load loses no request and leaves no error line" => sub {
        my $s = start_nginx($conf->("$plugins/rust-headers.wasm", 'conf'), workers => 2);
        my $load = $s->start_load('/t', clients => 2);
        for (1 .. 3) {
            my @old = $s->worker_pids;
            ok $s->reload, 'reloads';
            ok $s->wait_for_exit($_), "worker $_ leaves" for @old;
        }
        my $got = $load->stop;
        is_deeply [keys %$got], [200], 'every request is answered' or diag explain $got;
        cmp_ok $got->{200} // 0, '>', 10, 'of many';
        $s->stop;
        is join('', grep { /\[(?:error|warn)\]/ } split /^/, $s->error_log), '', 'no error line';
        my $created = () = $s->error_log =~ /create http context/g;
        my $freed   = () = $s->error_log =~ /free http context/g;
        is $freed, $created, "every one of $created HTTP contexts ended";
    };

    subtest "$name: a new conf" => sub {
        my $s = start_nginx($conf->("$plugins/rust-headers.wasm", 'one'));
        is $s->get('/t')->{body}, "one\n", 'before';
        ok $s->reload($conf->("$plugins/rust-headers.wasm", 'two')), 'reloads';
        my $r = $s->get('/t');
        is "$r->{body}$r->{headers}{'x-rust'}", "two\ntwo", 'after';
        $s->stop;
    };

    subtest "$name: a request under way ends in the plugin that it began in" => sub {
        my $s = start_nginx($conf->("$plugins/rust-headers.wasm", 'one'));
        my $slow = $s->connect;
        is $slow->request('GET', '/t')->{body}, "one\n", 'a kept connection';
        $s->mark_log;
        ok $s->reload($conf->("$plugins/rust-headers.wasm", 'two')), 'reloads';
        is $s->get('/t')->{body}, "two\n", 'others get the new one';
        $s->stop;
    };

    subtest "$name: another plugin in the same file" => sub {
        my $s = start_nginx($conf->('$TEST_NGINX_HTML_DIR/p.wasm', 'conf'),
            user_files => [['p.wasm', slurp("$plugins/rust-headers.wasm")]]);
        is $s->get('/t')->{headers}{'x-rust'}, 'conf', 'before';
        # As an installer does it: the old file lives until nobody has it open.
        write_file($s->html_dir . '/p.new', slurp("$plugins/go-headers.wasm"));
        rename $s->html_dir . '/p.new', $s->html_dir . '/p.wasm';
        is $s->get('/t')->{headers}{'x-rust'}, 'conf', 'without HUP all stays';
        ok $s->reload, 'reloads';
        my $r = $s->get('/t');
        is $r->{headers}{'x-go'}, 'conf', 'the new one runs';
        is $r->{headers}{'x-rust'}, undef, 'the old one does not';
        $s->stop;
        is join('', grep { /\[error\]/ } split /^/, $s->error_log), '', 'no error line';
    };

    subtest "$name: a configuration that nginx refuses: the old one serves, in a respawned worker too" => sub {
        my $s = start_nginx($conf->("$plugins/rust-headers.wasm", 'one'));
        my %broken = $conf->("$plugins/rust-headers.wasm", 'two');
        $broken{config} .= "\nnonsense;";
        ok !$s->reload(%broken), 'is refused';
        my $r = $s->get('/t');
        is "$r->{body}$r->{headers}{'x-rust'}", "one\none", 'the old one serves';
        my ($victim) = $s->worker_pids;
        $s->signal(KILL => $victim);
        ok $s->wait_for_workers(1, [$victim]), 'a worker is respawned';
        $r = $s->get('/t');
        is "$r->{body}$r->{headers}{'x-rust'}", "one\none", 'with plugins and filters';
        ok $s->reload($conf->("$plugins/rust-headers.wasm", 'three')), 'mended, it reloads';
        is $s->get('/t')->{body}, "three\n", 'and serves';
        $s->stop(allow => ['[emerg]', qr/exited on signal 9/]);
    };

    subtest "$name: many reloads leave neither processes nor contexts" => sub {
        my $s = start_nginx($conf->("$plugins/rust-headers.wasm", 'one'));
        for (1 .. 5) {
            my @old = $s->worker_pids;
            $s->get('/t');
            $s->reload;
            $s->wait_for_exit($_) for @old;
        }
        is scalar(children($s)), 1, 'one process beside the master';
        $s->stop;
        my $created = () = $s->error_log =~ /create plugin context/g;
        my $freed   = () = $s->error_log =~ /free plugin context/g;
        cmp_ok $created, '>=', 5, 'each worker made a plugin context';
        is $freed, $created, 'and ended it';
        my $loaded   = () = $s->error_log =~ /: loaded wasm plugin/g;
        my $unloaded = () = $s->error_log =~ /: unloaded wasm plugin/g;
        is $unloaded, $loaded, 'each plugin that was loaded was unloaded';
    };
}

subtest 'native: a plugin file that is broken keeps the old one serving' => sub {
    my $s = start_nginx($path{native}->('$TEST_NGINX_HTML_DIR/p.wasm', 'conf'),
        user_files => [['p.wasm', slurp("$plugins/rust-headers.wasm")]]);
    write_file($s->html_dir . '/p.wasm', 'broken');
    ok !$s->reload, 'nginx refuses it';
    like $s->error_log, qr/\[emerg\] .*"wasm_plugin": "p" at \S+p\.wasm /, 'and names the file';
    is $s->get('/t')->{body}, "conf\n", 'the old one serves';
    my ($victim) = $s->worker_pids;
    $s->signal(KILL => $victim);
    ok $s->wait_for_workers(1, [$victim]), 'a worker is respawned';
    my $r = $s->get('/t');
    is "$r->{body}$r->{headers}{'x-rust'}", "conf\nconf", 'with the old plugin';
    $s->stop(allow => ['[emerg]', qr/exited on signal 9/]);
};

subtest 'native: conf_file is read again' => sub {
    my $s = start_nginx(
        $path{native}->("$plugins/rust-headers.wasm", 'conf_file=$TEST_NGINX_HTML_DIR/conf'),
        user_files => [['conf', 'one']]);
    is $s->get('/t')->{body}, "one\n", 'before';
    write_file($s->html_dir . '/conf', 'two');
    is $s->get('/t')->{body}, "one\n", 'without HUP all stays';
    ok $s->reload, 'reloads';
    is $s->get('/t')->{body}, "two\n", 'after';
    $s->stop;
};

subtest 'native: plugins come with a reload, and go with one' => sub {
    my $without = 'location /t { return 200 "none\n"; }';
    my $s = start_nginx(http_config => '', config => $without);
    is $s->get('/t')->{body}, "none\n", 'without';
    ok $s->reload($path{native}->("$plugins/rust-headers.wasm", 'conf')), 'reloads';
    is $s->get('/t')->{headers}{'x-rust'}, 'conf', 'with';
    is_deeply [threads($_, 'nginx')], ['nginx'], "worker $_" for $s->worker_pids;
    ok $s->reload(http_config => '', config => $without), 'reloads';
    is $s->get('/t')->{headers}{'x-rust'}, undef, 'without again';
    is_deeply [threads($_, 'nginx')], ['nginx'], "worker $_" for $s->worker_pids;
    $s->stop;
};

subtest 'native: a plugin that refuses its conf does not stop the reload, is logged, and closes its requests' => sub {
    my $conf = sub {
        my ($percentage) = @_;
        return (http_config => "wasm_plugin p $plugins/fault-injection.wasm;", config => <<"E");
    location /t { proxy_wasm p '{"http_status": 401, "percentage": $percentage}'; }
    location /other { return 200; }
E
    };
    my $s = start_nginx($conf->(100));
    is $s->get('/t')->{status}, 401, 'before';
    $s->mark_log;
    ok $s->reload($conf->(101)), 'reloads';
    ok $s->wait_for_log(qr/failed to configure plugin context 1, rc: 0/), 'logged without a request';
    is $s->get('/t')->{status}, 503, 'its requests are closed';
    is $s->get('/other')->{status}, 200, 'others are not';
    $s->stop;
};

sub slurp {
    my ($path) = @_;
    open my $in, '<:raw', $path or die "$path: $!\n";
    local $/;
    return scalar <$in>;
}

sub write_file {
    my ($path, $text) = @_;
    open my $out, '>:raw', $path or die "$path: $!\n";
    print {$out} $text;
    close $out or die "$path: $!\n";
}

done_testing;
