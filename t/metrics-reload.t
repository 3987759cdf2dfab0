# Metrics over a reload, on both paths, with several workers, with images and without: a new version of a plugin may define a name with
# another type, and what nothing of the running configuration defines any more is gone from the page.

use lib '.';
use t::ProxyWasm;

my %type_of = (counter => 0, gauge => 1, histogram => 2);

# A plugin that defines metrics in proxy_on_configure, [KIND, NAME] each, and those with a third value only in a request with an
# X-Late; it traps where it cannot. Each is changed by 1 in each request.
sub plugin {
    my (@metrics) = @_;
    my ($data, $configure, $late, $request) = ('') x 4;
    while (my ($i, $metric) = each @metrics) {
        my ($kind, $name, $is_late) = @$metric;
        my ($at, $id, $change) = (512 + 64 * $i, 4 * $i, $kind eq 'histogram' ? 'record' : 'increment');
        my $define = "(if (call \$define " . join(' ', map { "(i32.const $_)" } $type_of{$kind}, $at, length $name, $id)
            . ") (then unreachable))\n";
        $data .= qq{(data (i32.const $at) "$name")\n};
        ($is_late ? $late : $configure) .= $define;
        $request .= "(if (i32.load (i32.const $id)) (then
            (if (call \$$change (i32.load (i32.const $id)) (i64.const 1)) (then unreachable))))\n";
    }
    return <<"WAT";
(module
  (import "env" "proxy_define_metric" (func \$define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func \$increment (param i32 i64) (result i32)))
  (import "env" "proxy_record_metric" (func \$record (param i32 i64) (result i32)))
  (import "env" "proxy_get_header_map_value" (func \$get (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 256) "x-late")
  $data
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) $configure (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call \$get (i32.const 0) (i32.const 256) (i32.const 6) (i32.const 128) (i32.const 132)))
    (if (i32.load (i32.const 132)) (then $late))
    $request (i32.const 0)))
WAT
}

sub files { my (%plugins) = @_; return [map { ["$_.wat", plugin(@{ $plugins{$_} })] } sort keys %plugins] }

sub native {
    my ($options, %plugins) = @_;
    return (
        http_config => join('', map { "wasm_plugin $_ \$TEST_NGINX_HTML_DIR/$_.wat phase=rewrite $options;\n" } sort keys %plugins),
        config      => join('', map { "location = /p/$_ { proxy_wasm $_; return 200 ok; }\n" } sort keys %plugins)
            . 'location = /metrics { wasm_metrics; }',
        user_files => files(%plugins),
    );
}

sub lua {
    my (undef, %plugins) = @_;
    return (
        lua         => 1,
        http_config => <<'HTTP',
    wasm_vm wasmtime;
    init_worker_by_lua_block {
        local wasm = require("resty.proxy-wasm")
        local handles, contexts = {}, {}
        function load(names)
            handles, contexts = {}, {}
            collectgarbage()
            for name in names:gmatch("[^,]+") do
                handles[name] = assert(wasm.load(name, "$TEST_NGINX_HTML_DIR/" .. name .. ".wat"))
            end
            for _, handle in pairs(handles) do
                while require("ffi").C.ngx_http_proxy_wasm_is_loading(handle) ~= 0 do ngx.sleep(0.001) end
            end
        end
        function run(name)
            contexts[name] = contexts[name] or assert(wasm.on_configure(handles[name], "conf"))
            assert(wasm.on_http_request_headers(contexts[name]))
        end
    }
HTTP
        config => <<'CONFIG',
    location = /load { content_by_lua_block { load(ngx.var.arg_names) ngx.print(ngx.worker.id()) } }
    location ~ ^/p/(\w+)$ { content_by_lua_block { run(ngx.var[1]) ngx.print("ok") } }
    location = /metrics { wasm_metrics; }
CONFIG
        user_files => files(%plugins),
    );
}

# Starts two workers with plugins.
sub start {
    my ($path, $options, %plugins) = @_;
    my $s = start_nginx(workers => 2, $path eq 'lua' ? lua($options, %plugins) : native($options, %plugins));
    load_with_lua($s, %plugins) if $path eq 'lua';
    return $s;
}

# Gives them other plugins: native by HUP, Lua by loading again. No worker has the old ones afterwards.
sub change {
    my ($s, $path, $options, %plugins) = @_;
    put($s, @$_) for @{ files(%plugins) };
    return load_with_lua($s, %plugins) if $path eq 'lua';
    my @old = $s->worker_pids;
    ok $s->reload(native($options, %plugins)), 'reloads';
    ok $s->wait_for_exit($_), 'an old worker has gone' for @old;
}

# In both workers. A worker that keeps connections leaves the next one to the other.
sub load_with_lua {
    my ($s, %plugins) = @_;
    my $names = join ',', sort keys %plugins;
    my (%answered, @open);
    for (1 .. 200) {
        push @open, my $c = $s->connect;
        $answered{ $c->request('GET', "/load?names=$names")->{body} } = 1;
        return if keys %answered == 2;
    }
    die 'one of the workers does not answer';
}

sub put {
    my ($s, $name, $text) = @_;
    my $path = $s->html_dir . "/$name";
    open my $file, '>', "$path.new" or die "$path: $!";
    print $file $text;
    close $file;
    rename "$path.new", $path or die "$path: $!";
}

# The plugins' own metrics: type, name, plugin and number; of a histogram the number of values.
sub page {
    my ($s) = @_;
    my (%type, @lines);
    for (split /\n/, $s->get('/metrics')->{body}) {
        $type{$1} = $2 if /^# TYPE (\S+) (\S+)/;
        next if /^proxy_wasm_/ || !/^(\w+?)(_count|_bucket|_sum)?\{.*plugin="(\w+)".*\} (\S+)$/;
        push @lines, "$type{$1} $1 of $3: $4" if ($2 // '_count') eq '_count';
    }
    return [sort @lines];
}

sub serves {
    my ($s, $plugin, $times, @headers) = @_;
    my %got;
    $got{ $s->get("/p/$plugin", @headers)->{body} }++ for 1 .. $times;
    is_deeply \%got, { ok => $times }, "$plugin serves";
}

for my $case (['native', 'image=off'], ['native', 'image=on'], ['native', 'isolation=request'], ['lua', '']) {
    my ($path, $options) = @$case;

    subtest "$path $options: a new version" => sub {
        my $s = start(@$case, p => [[counter => 'x'], [gauge => 'y'], [counter => 'same']]);
        serves($s, p => 3);
        is_deeply page($s), ['counter same of p: 3', 'counter x of p: 3', 'gauge y of p: 3'], 'has its metrics';
        change($s, @$case, p => [[gauge => 'x'], [histogram => 'z'], [counter => 'same']]);
        serves($s, p => 8);
        is_deeply page($s), ['counter same of p: 11', 'gauge x of p: 8', 'histogram z of p: 8'],
            'a name has another type, and what is not defined any more has gone';
        $s->stop;
    };

    subtest "$path $options: what is defined late" => sub {
        my @late = ([counter => 'first'], [counter => 'late', 1]);
        my $s    = start(@$case, p => \@late, q => [[counter => 'other']]);
        serves($s, p => 1, 'X-Late' => 1);
        serves($s, q => 1);
        is_deeply page($s), ['counter first of p: 1', 'counter late of p: 1', 'counter other of q: 1'], 'is there with the rest';
        change($s, @$case, p => \@late);
        is_deeply page($s), ['counter first of p: 1', 'counter late of p: 1'],
            'stays over a reload of the same version; what a plugin had that has gone does not';
        change($s, @$case, p => [[counter => 'first']]);
        serves($s, p => 1);
        is_deeply page($s), ['counter first of p: 2'], 'goes with a version that does not define it';
        $s->stop;
    };

    subtest "$path $options: two plugins with one name" => sub {
        my $s = start(@$case, p => [[counter => 'x']], q => [[gauge => 'x']]);
        serves($s, p => 1);
        serves($s, q => 2);
        is_deeply page($s), ['counter x of p: 1', 'gauge x_gauge of q: 2'], 'each has its own';
        change($s, @$case, q => [[gauge => 'x']]);
        serves($s, q => 1);
        is_deeply page($s), ['gauge x of q: 3'], 'the name is free when the other has gone';
        $s->stop;
    };
}

subtest 'a worker that was killed' => sub {
    my $s = start('native', '', p => [[counter => 'x']]);
    serves($s, p => 1);
    my ($victim) = $s->worker_pids;
    kill KILL => $victim;
    $s->wait_for_workers(2, [$victim]);
    is_deeply page($s), ['counter x of p: 1'], 'takes nothing away';
    change($s, 'native', '', q => [[counter => 'y']]);
    is_deeply page($s), ['counter y of q: 0'], 'and leaves nothing behind';
    $s->stop(allow => [qr/exited on signal 9/]);
};

subtest 'metrics that a configuration names' => sub {
    my $naming = sub {
        my ($name) = @_;
        return (
            http_config => 'wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm;',
            config      => qq(location /t { proxy_wasm p '{"on_configure": [["define_metric", "counter", "$name"]]}'; return 200; }
                location = /metrics { wasm_metrics; }),
        );
    };
    my $s = start_nginx($naming->('old'));
    is_deeply page($s), ['counter old of p: 0'], 'are there';
    ok $s->reload($naming->('new')), 'reloads';
    is_deeply page($s), ['counter new of p: 0'], 'and go with it';
    $s->stop;
};

done_testing;
