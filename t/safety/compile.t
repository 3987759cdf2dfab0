# Modules that take minutes and gigabytes to compile: wasm_compile_timeout and wasm_compile_memory
# bound them, in a child process that nobody but its parent hears of.

use lib '.';
use t::ProxyWasm;
use Time::HiRes qw(sleep time);

my $long  = 'wasm_compile_timeout 1s;';
my $large = 'wasm_compile_memory 32m;';

# Nested loops: the time is cubic in their number.
my $SLOW = '(module (func (local i32)' . ' loop' x 40_000 . ' local.get 0 br_if 0 end' x 40_000 . '))';

# Functions, each of which takes memory.
my $LARGE = '(module' . '(func)' x 200_000 . ')';

my $GOOD = "$ENV{TEST_NGINX_PLUGINS}/log-headers.wasm";

my @files = (['slow.wat', $SLOW], ['large.wat', $LARGE], ['wrong.wat', '(module (func (result i32)))']);

sub http { my ($file, $line) = @_; return "wasm_cache off; $line wasm_plugin p $file;" }

sub conf {
    my ($file, $line) = @_;
    return (
        log_level   => 'notice',
        user_files  => \@files,
        http_config => http($file, $line),
        config      => "location /t { return 200; }\n",
    );
}

sub lua_conf {
    my ($line) = @_;
    return (
        log_level   => 'info',
        user_files  => \@files,
        http_config => "wasm_cache off; wasm_vm wasmtime; $line",
        config      => <<'CONF',
    location /t {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local plugin, err = wasm.load("p", ngx.var.arg_file)
            local ctx = plugin
            if plugin then ctx, err = wasm.on_configure(plugin, "info") end
            ngx.say(ctx and "configured" or err)
        }
    }
CONF
    );
}

sub lines { my ($level, $text) = @_; return grep { /\[$level\]/ } split /^/, $text }

# Children of a process, zombies among them.
sub children {
    my ($pid) = @_;
    open my $in, '<', "/proc/$pid/task/$pid/children" or return;
    return split ' ', <$in> // '';
}

# The process that compiles, once it is there.
sub compiler_of {
    my ($pid) = @_;
    my $deadline = time + 20;
    while (time < $deadline) {
        for my $child (children($pid)) {
            open my $in, '<', "/proc/$child/comm" or next;
            return $child if (<$in> // '') =~ /^wasm-compiler/;
        }
        sleep 0.01;
    }
    return;
}

my %BOMBS = (
    time   => ['slow.wat', $long, qr/takes longer to compile than wasm_compile_timeout allows \(1 s\)/],
    memory => ['large.wat', $large, qr/takes more memory to compile than wasm_compile_memory allows \(32 MB\)/],
);

for my $kind (sort keys %BOMBS) {
    my ($file, $line, $words) = @{ $BOMBS{$kind} };

    subtest "$kind: a start" => sub {
        my $s = start_nginx(conf("\$TEST_NGINX_HTML_DIR/$file", $line), must_die => 1);
        ok !$s->alive, 'fails';
        my @emergencies = lines('emerg', $s->error_log);
        is scalar @emergencies, 1, 'with one line';
        like $emergencies[0], qr/"wasm_plugin": "p" at \S+$file $words: raise it .* in \S+nginx\.conf:\d+/,
            'that names plugin, file, limit and place';
    };

    subtest "$kind: a reload" => sub {
        my $s = start_nginx(conf($GOOD, ''));
        my @workers = $s->worker_pids;
        $s->mark_log;
        ok !$s->reload(http_config => http("\$TEST_NGINX_HTML_DIR/$file", $line)), 'is refused';
        is scalar(grep { $_ =~ $words } lines('emerg', $s->error_log)), 1, 'with one line';
        is $s->get('/t')->{status}, 200, 'and nginx goes on';
        is_deeply [$s->worker_pids], \@workers, 'with its workers';
        is_deeply [children($s->pid)], \@workers, 'and no child is left';
        unlike $s->error_log, qr/SIGCHLD|unknown process/, 'nobody speaks of one';
        $s->stop(allow => [qr/\[emerg\].*$words/]);
    };

    subtest "$kind: a worker" => sub {
        my $s = start_nginx(lua_conf($line));
        my ($worker) = $s->worker_pids;
        $s->mark_log;
        my $r = $s->request(GET => '/t?file=' . $s->html_dir . "/$file", timeout => 60);
        is $r->{body}, "failed to run proxy_on_configure\n", 'has an error';
        my @errors = lines('error', $s->error_log);
        is scalar @errors, 1, 'and one line';
        like $errors[0], qr/failed to load wasm plugin "p" at \S+$file: $words/, 'that says why';
        is_deeply [$s->worker_pids], [$worker], 'The worker lives,';
        is_deeply [children($worker)], [], 'without a child';
        unlike $s->error_log, qr/SIGCHLD|unknown process|waitpid/, 'of which nobody speaks';
        $s->stop;
    };
}

subtest 'on a good path' => sub {
    my $s = start_nginx(conf($GOOD, ''));
    like $s->stderr . $s->error_log, qr/compiling plugin "p" .*plugin "p" compiled in/s, 'progress is told';
    is_deeply [children($s->pid)], [$s->worker_pids], 'no child is left';
    my @old = $s->worker_pids;
    ok $s->reload, 'a reload';
    $s->wait_for_exit($_) for @old;
    is_deeply [grep { my $pid = $_; !grep { $pid == $_ } @old } children($s->pid)], [$s->worker_pids],
        'leaves none, either';
    unlike $s->error_log, qr/unknown process|\[alert\]|\[warn\]/, 'and no line';
    $s->stop;
    $s = start_nginx(lua_conf(''));
    is $s->request(GET => "/t?file=$GOOD", timeout => 60)->{body}, "configured\n", 'a worker';
    my ($worker) = $s->worker_pids;
    is_deeply [children($worker)], [], 'leaves none';
    unlike $s->error_log, qr/SIGCHLD|unknown process|waitpid/, 'and no line';
    $s->stop;
};

subtest 'a fault of a module is told in the words of the compiler' => sub {
    my $s = start_nginx(conf('$TEST_NGINX_HTML_DIR/wrong.wat', ''), must_die => 1);
    like $s->error_log, qr/\[emerg\].*"p" at \S+wrong\.wat is not a valid WebAssembly module: .*type mismatch/;
};

subtest 'the child that compiles' => sub {
    my $s = start_nginx(lua_conf('wasm_compile_timeout 100s;'));
    my ($worker) = $s->worker_pids;
    my $request = 'GET /t?file=' . $s->html_dir . "/slow.wat HTTP/1.1\r\nHost: x\r\n\r\n";
    my $client = $s->connect;
    $client->send_bytes($request);
    my $child = compiler_of($worker);
    ok $child, 'is there' or return;
    my @held = grep { /socket:|eventpoll|error\.log/ } map { readlink // '' } glob "/proc/$child/fd/*";
    is_deeply \@held, [], 'holds nothing of nginx';
    open my $in, '<', "/proc/$child/oom_score_adj" or die "$child: $!";
    my $deadline = time + 10;
    my $score = <$in>;
    while ($score <= 0 && time < $deadline) {
        sleep 0.01;
        seek $in, 0, 0;
        $score = <$in>;
    }
    cmp_ok $score, '>', 500, 'is what the kernel kills first';
    kill KILL => $child;
    ok $s->wait_for_log(qr/\[error\].*cannot be compiled: the compiler was ended by SIGKILL/), 'and is missed';

    $client = $s->connect;
    $client->send_bytes($request);
    $child = compiler_of($worker);
    ok $child, 'one more';
    kill KILL => $worker;
    ok $s->wait_for_exit($child), 'ends with its parent';
    $s->stop(allow => [qr/exited on signal 9/]);
};

subtest 'limits that let nothing be compiled' => sub {
    for my $case (
        ['wasm_compile_timeout 0;', qr/"wasm_compile_timeout": a timeout of 0 lets no plugin be compiled/],
        ['wasm_compile_memory 1m;', qr/"wasm_compile_memory": no plugin can be compiled in less than 16m/],
        ["$long $long", qr/"wasm_compile_timeout": is duplicate/],
        ["$large $large", qr/"wasm_compile_memory": is duplicate/],
    ) {
        my ($line, $words) = @$case;
        my $s = start_nginx(conf($GOOD, $line), must_die => 1);
        like $s->error_log, $words, $line;
    }
};

done_testing;
