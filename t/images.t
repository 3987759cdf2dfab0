# Images: an instance that has started and configured its contexts is kept, and the next instances are restored from it: after a trap,
# in another worker, after a reload and after a worker was killed. Nothing of the plugin runs then.

use lib '.';
use t::ProxyWasm;
use JSON::PP qw(decode_json);
use ProxyWasm::Settings ();
use ProxyWasm::Workers;

# The status of each worker.
sub statuses {
    my ($s, $name) = @_;
    return map { my $pid = $_; grep { $_->{name} eq $name } @{ decode_json(ask_worker($s, $pid, '/status')->{body})->{plugins} } }
        $s->worker_pids;
}

sub status { my ($s, $name) = @_; return (statuses($s, $name))[0] }

# How many instances were started, and how many restored, in all workers and since the first start.
sub totals {
    my ($s, $name) = @_;
    my $all = status($s, $name)->{all_workers};
    return "$all->{starts} started, $all->{restores} restored";
}

my $status = 'location = /status { wasm_status; }';

for my $case ([rust => 'rust-headers', 'x-rust', 'auto'], [go => 'go-headers', 'x-go', 'on']) {
    my ($name, $file, $mark, $image) = @$case;
    subtest "a plugin in $name" => sub {
        my $config = sub { "location /x { proxy_wasm $name '$_[0]'; proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/plain; }
            location /y { proxy_wasm $name other; proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/plain; }
            location = /plain { return 200 plain; } $status" };
        my $s = start_nginx(
            workers     => 3,
            http_config => "wasm_plugin $name \$TEST_NGINX_PLUGINS/$file.wasm image=$image;",
            config      => $config->('conf'),
        );
        my $serves = sub {
            my ($conf, $when) = @_;
            for my $pid ($s->worker_pids) {
                my @got = map { ask_worker($s, $pid, $_)->{headers}{$mark} } qw(/x /y /x);
                is_deeply \@got, [$conf, 'other', $conf], "$when serves by its configurations: worker $pid";
            }
        };
        $serves->('conf', 'at first');
        is totals($s, $name), '1 started, 2 restored', 'one worker has started it, the others restored it';
        is grep({ $_->{image}{bytes} } statuses($s, $name)), 3, 'each has the image';
        is grep({ $_->{image}{shared} > $_->{image}{bytes} / 2 } statuses($s, $name)), 3,
            'and has written little of it';

        is $s->get('/x', 'X-Panic' => 1)->{status}, 503, 'a panic';
        $serves->('conf', 'afterwards');
        is totals($s, $name), '1 started, 3 restored', 'from an instance that was restored';

        my ($victim) = $s->worker_pids;
        kill KILL => $victim;
        ok $s->wait_for_workers(3, [$victim]), 'a worker was killed, and another one is there';
        $serves->('conf', 'it');
        is totals($s, $name), '1 started, 4 restored', 'and was restored';

        ok $s->reload, 'a reload';
        $serves->('conf', 'the new workers');
        is totals($s, $name), '1 started, 7 restored', 'and have the image of the old ones';
        $s->stop(allow => [qr/./]);
    };
}

subtest 'what changes starts anew' => sub {
    my $http   = sub { "wasm_plugin p \$TEST_NGINX_HTML_DIR/p.wasm phase=rewrite image=on $_[0];" };
    my $config = sub {
        my ($answer) = @_;
        return qq(location = /x { proxy_wasm p '{"on_request_headers": [["send_local_response", 200, "$answer"]]}'; return 500; } $status);
    };
    my $plugins = $ENV{TEST_NGINX_PLUGINS};
    my $read    = sub { open my $file, '<:raw', $_[0] or die "$_[0]: $!"; local $/; return <$file> };
    my $s = start_nginx(
        http_config => $http->(''),
        config      => $config->('first'),
        user_files  => [['p.wasm', $read->("$plugins/hostcalls.wasm")]],
    );
    my $is = sub {
        my ($body, $totals, $when) = @_;
        is $s->get('/x')->{body}, $body, "$when: it answers by its configuration";
        is totals($s, 'p'), $totals, "$when: $totals";
    };
    $is->('first', '1 started, 0 restored', 'at first');
    ok $s->reload, 'a reload';
    $is->('first', '1 started, 1 restored', 'with nothing changed');
    ok $s->reload(http_config => $http->('memory_limit=64m')), 'a reload';
    $is->('first', '2 started, 1 restored', 'with another limit of memory');
    ok $s->reload(config => $config->('second')), 'a reload';
    $is->('second', '3 started, 1 restored', 'with another configuration');
    open my $file, '>:raw', $s->html_dir . '/new.wasm' or die $!;
    # A custom section more: another file, and the same code.
    print {$file} $read->("$plugins/hostcalls.wasm"), "\0\3\1x0";
    close $file;
    rename $s->html_dir . '/new.wasm', $s->html_dir . '/p.wasm' or die $!;
    ok $s->reload, 'a reload';
    $is->('second', '4 started, 1 restored', 'with another file');
    ok $s->reload, 'a reload';
    $is->('second', '4 started, 2 restored', 'with nothing changed');
    $s->stop;
};

# What a plugin learnt of its node while it started, be it that there is no such field.
subtest 'another node' => sub {
    my $http = sub { "wasm_plugin p \$TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite image=on; $_[0]" };
    my $s    = start_nginx(
        http_config => $http->(''),
        config      => <<"CONF",
    location = /x {
        proxy_wasm p '{
            "on_configure": [{"op": "get_property", "args": ["node", "metadata", "color"], "as": "color"}],
            "on_request_headers": [["send_local_response", 200, "\${color}"]]
        }';
        return 500;
    }
    $status
CONF
    );
    for my $case (['', 'NOT_FOUND', 1], ['wasm_node metadata.color=red;', 'red', 2], ['wasm_node metadata.color=blue;', 'blue', 3]) {
        my ($node, $color, $starts) = @$case;
        for (1 .. 2) {
            ok $s->reload(http_config => $http->($node)), 'a reload';
            is $s->get('/x')->{body}, $color, "a plugin that reads its node finds $color";
        }
        is status($s, 'p')->{all_workers}{starts}, $starts, 'and is restored where the node is the same';
    }
    $s->stop;
};

subtest 'plugins of Lua' => sub {
    my $s = start_nginx(
        lua         => 1,
        workers     => 2,
        http_config => 'wasm_vm wasmtime; wasm_image auto;',
        config      => <<"CONF",
    location = /x {
        access_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            plugin = plugin or assert(wasm.load("rust", "\$TEST_NGINX_PLUGINS/rust-headers.wasm"))
            context = context or assert(wasm.on_configure(plugin, "conf"))
            if not wasm.on_http_request_headers(context) then return ngx.exit(503) end
        }
        header_filter_by_lua_block { require("resty.proxy-wasm").on_http_response_headers(context) }
        proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/plain;
    }
    location = /plain { return 200 plain; }
    $status
CONF
    );
    my $serves = sub {
        my ($when) = @_;
        is ask_worker($s, $_, '/x')->{headers}{'x-rust'}, 'conf', "$when: worker $_ serves" for $s->worker_pids;
    };
    $serves->('at first');
    is totals($s, 'rust'), '1 started, 1 restored', 'the second worker restores what the first has started';
    is $s->get('/x', 'X-Panic' => 1)->{status}, 503, 'a panic';
    $serves->('after a panic');
    is totals($s, 'rust'), '1 started, 2 restored', 'restored';
    ok $s->reload, 'a reload';
    $serves->('after a reload');
    is totals($s, 'rust'), '1 started, 4 restored', 'restored';
    $s->stop(allow => [qr/panicked|asked for it/, qr/failed to call function/]);
};

# Contexts that tick, and take from a queue, go on with both.
subtest 'ticks and queues' => sub {
    my $s = start_nginx(
        http_config => 'wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite image=on;',
        config      => <<"CONF",
    location = /x {
        proxy_wasm p '{
            "on_configure": [["set_tick_period_milliseconds", 20], ["register_shared_queue", "q"]],
            "on_tick": [["echo", "ticks"]],
            "on_queue_ready": [["dequeue_shared_queue", "\${queue_id}"], ["echo", "takes \${last}"]],
            "on_request_headers": [
                {"if": ["request_header", "x-bad"], "then": [["trap"]]},
                ["resolve_shared_queue", "p", "q"], ["enqueue_shared_queue", "\${last}", "item"]
            ]
        }';
        return 200 ok;
    }
    $status
CONF
    );
    ok $s->wait_for_log(qr/ticks/), 'it ticks';
    is $s->get('/x', 'X-Bad' => 1)->{status}, 503, 'a trap';
    $s->mark_log;
    ok $s->wait_for_log(qr/ticks/), 'it ticks again';
    is $s->get('/x')->{status}, 200, 'an item';
    ok $s->wait_for_log(qr/takes item/), 'is taken';
    my $all = status($s, 'p');
    is_deeply [$all->{starts}, $all->{image}{restores}], [1, 1], 'of an instance that was restored';
    $s->stop(allow => [qr/unreachable/]);
};

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

# 24 MB that differ from page to page, written while the plugin starts.
my $large = <<'WAT';
(module (memory (export "memory") 400) (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_configure") (param i32 i32) (result i32) (local $at i32)
        (loop $next
            (i64.store (local.get $at) (i64.mul (i64.extend_i32_u (i32.add (local.get $at) (i32.const 1))) (i64.const 0x9e3779b97f4a7c15)))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const 25165824))))
        (i32.const 1))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (i64.const 1)))
        (i32.const 0)))
WAT

subtest 'the memory of eight workers' => sub {
    my $of = sub {
        my ($workers, $options, $location) = @_;
        my $s = start_nginx(
            workers     => $workers,
            http_config => $options ? "wasm_plugin p \$TEST_NGINX_HTML_DIR/p.wat phase=rewrite $options;" : '',
            config      => $options ? 'location = /x { proxy_wasm p; return 200 ok; }' : 'location = /x { return 200 ok; }',
            user_files  => [['p.wat', $large]],
        );
        is $s->get('/x')->{status}, 200, "$workers workers, " . ($options || 'without a plugin') for 1 .. 2 * $workers;
        my $memory = private_memory($s);
        $s->stop;
        return $memory;
    };
    plan skip_all => 'the memory of the emulator is not the plugin\'s' if $ENV{TEST_NGINX_EMULATED};
    my $one = $of->(1, 'image=off');
    plan skip_all => 'the system does not tell whose memory is whose' if !defined $one;
    my $plugin = $one - $of->(1, '');
    my $all    = $of->(8, 'image=auto') - $of->(8, '');
    cmp_ok $plugin, '>', 20, sprintf 'a plugin takes %.0f MB in one worker', $plugin;
    cmp_ok $all, '<=', 1.3 * $plugin, sprintf 'and %.1f MB of their own in eight', $all;
};

# A worker that has no addresses left for a moment, as when requests have very many instances, restores again when it has some.
subtest 'no addresses for a moment' => sub {
    my $s = start_nginx(
        http_config => "wasm_plugin p \$TEST_NGINX_PLUGINS/rust-headers.wasm phase=rewrite isolation=request image=on;",
        config      => "location = /x { proxy_wasm p conf; return 200 ok; } $status",
    );
    my ($worker) = $s->worker_pids;
    my $next = sub {
        $s->get('/x', 'X-Panic' => 1);
        return $s->get('/x')->{status};
    };
    is $next->(), 200, 'at first it serves';
    # Then no instance of a request is left.
    $s->get('/x', 'X-Panic' => 1);
    ok $s->wait_until_asleep($worker), 'the worker rests';
    open my $file, '<', "/proc/$worker/status" or die "no worker: $!\n";
    my ($size) = join('', <$file>) =~ /^VmSize:\s+(\d+) kB/m;
    # Less than the 4 GiB that a memory reserves.
    is system('prlimit', '--pid', $worker, '--as=' . (($size << 10) + (1 << 30)) . ':unlimited'), 0, 'addresses become few';
    $next->();
    ok $s->wait_for_log(qr/plugin "p" is not restored from its image, and starts: /), 'it cannot be restored';
    is system('prlimit', '--pid', $worker, '--as=unlimited:unlimited'), 0, 'there are enough again';
    my $before   = status($s, 'p')->{image}{restores};
    my $deadline = time + 30 * $ProxyWasm::Settings::Patience;
    $next->() while status($s, 'p')->{image}{restores} == $before && time < $deadline;
    cmp_ok status($s, 'p')->{image}{restores}, '>', $before, 'and it is restored again';
    is $next->(), 200, 'it serves';
    $s->stop(allow => [qr/./]);
};

done_testing;
