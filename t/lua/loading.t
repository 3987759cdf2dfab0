# resty.proxy-wasm: load returns at once. A request waits for the plugin that it is the first to configure, and nobody else does.
#
# A process that compiles holds the lock of the cache's entry. So who holds that lock decides how long a plugin is loaded.

use lib '.';
use t::ProxyWasm;
use Fcntl qw(:flock);
use File::Temp qw(tempdir);
use IO::Select;

my $dir   = tempdir(CLEANUP => 1);
my $cache = "$dir/cache";

# A plugin of 20 MB: tools' sections are a part of a file, too.
sub plugin {
    my ($name, $mark) = @_;
    open my $in, '<:raw', "$ENV{TEST_NGINX_PLUGINS}/rust-headers.wasm" or die "rust-headers: $!";
    my $module = do { local $/; <$in> };
    my $section = "\x07padding" . $mark . "\0" x (20 << 20);
    my ($length, $size) = (length $section, '');
    while ($length >= 128) { $size .= chr($length & 127 | 128); $length >>= 7 }
    open my $out, '>:raw', "$dir/$name" or die "$dir/$name: $!";
    print {$out} $module, "\0", $size, chr $length, $section;
    close $out or die "$dir/$name: $!";
    return "$dir/$name";
}

my $PLUGIN = plugin('plugin.wasm', 'a');

sub server {
    my ($path, %more) = @_;
    return start_nginx(
        log_level   => 'info',
        lua         => 1,
        http_config => <<"HTTP",
    wasm_vm wasmtime;
    wasm_cache $cache;
    init_worker_by_lua_block {
        wasm = require("resty.proxy-wasm")
        plugins = { p = assert(wasm.load("p", "$path")) }
        function context(name)
            contexts = contexts or {}
            local err
            if not contexts[name] then contexts[name], err = wasm.on_configure(plugins[name], "hi") end
            return contexts[name], err
        end
    }
HTTP
        config => <<'CONFIG',
    location = /p {
        access_by_lua_block {
            local ctx, err = context("p")
            if not ctx then ngx.header.x_error = err return ngx.exit(503) end
            assert(wasm.on_http_request_headers(ctx))
        }
        header_filter_by_lua_block { if contexts and contexts.p then assert(wasm.on_http_response_headers(contexts.p)) end }
        content_by_lua_block { ngx.say("served") }
    }
    location = /filter {
        header_filter_by_lua_block { local ctx, err = context("p") if not ctx then ngx.header.x_error = err end }
        return 200;
    }
    location = /load {
        content_by_lua_block {
            local err
            plugins.another, err = wasm.load("another", ngx.var.arg_file)
            ngx.say(err or "loaded")
        }
    }
    location = /another { content_by_lua_block { assert(context("another")) ngx.say("configured") } }
    location = /other { return 204; }
CONFIG
        %more,
    );
}

sub entries { return glob "$cache/$>/*.cwasm" }

# Takes the lock of the only entry, which goes.
sub hold {
    my ($entry, @more) = entries();
    die "not one entry\n" if !$entry || @more;
    (my $name = $entry) =~ s/cwasm$/lock/;
    open my $lock, '>', $name or die "$name: $!";
    flock $lock, LOCK_EX or die "$name: $!";
    unlink $entry or die "$entry: $!";
    return $lock;
}

sub has_answer { return scalar IO::Select->new($_[0]{sock})->can_read(0) }

my $s = server($PLUGIN);
is $s->request(GET => '/p', timeout => 60)->{headers}{'x-rust'}, 'hi', 'a plugin of 20 MB runs';
$s->stop;
my ($first) = entries();

subtest 'while a plugin is loaded' => sub {
    my $lock = hold();
    my $s = server($PLUGIN);
    my @waiting = map { $s->connect(timeout => 60) } 1 .. 4;
    $_->send_request('GET', '/p') for @waiting;
    pop(@waiting)->close;
    is_deeply [grep { $_ != 204 } map { $s->get('/other')->{status} } 1 .. 100], [], 'others are served';
    is scalar(grep { has_answer($_) } @waiting), 0, 'its requests wait';
    is $s->get("/load?file=$PLUGIN")->{body}, "loaded\n", 'load returns';
    my $filtered = $s->get('/filter');
    is_deeply [$filtered->{status}, $filtered->{headers}{'x-error'}], [200, 'failed to run proxy_on_configure'],
        'header_filter, where Lua cannot wait, does not wait long';
    like $s->error_log, qr/\[error\].*a plugin is still being compiled, and header_filter cannot wait for it/, 'and a line says so';
    close $lock;
    is_deeply [map { [@$_{qw(status body)}, $_->{headers}{'x-rust'}] } map { $_->read_response } @waiting],
        [([200, "served\n", 'hi']) x 3], 'then they are served';
    is $s->request(GET => '/another', timeout => 60)->{body}, "configured\n", 'with the same module';
    is scalar(() = $s->error_log =~ /plugin "\w+" compiled in/g), 1, 'which was compiled once';
    is scalar(() = $s->error_log =~ /create plugin context/g), 2, 'Those who waited for the same have made one context';
    $s->stop;
};

subtest 'a plugin that the cache has' => sub {
    my $path = "$ENV{TEST_NGINX_PLUGINS}/rust-headers.wasm";
    my $s    = server($path);
    is $s->request(GET => '/p', timeout => 60)->{status}, 200, 'and that another process has compiled';
    $s->stop;
    $s = server($path);
    is_deeply [@{ $s->get('/filter') }{qw(status)}, $s->get('/filter')->{headers}{'x-error'}], [200, undef],
        'is waited for in header_filter, too';
    $s->stop;
    unlink grep { !/\Q$first\E/ } entries();
};

subtest 'a worker that is told to quit' => sub {
    my $lock = hold();
    my $s = server($PLUGIN);
    is $s->get('/other')->{status}, 204, 'serves';
    my ($worker) = $s->worker_pids;
    ok $s->reload, 'a reload';
    ok $s->wait_for_exit($worker), 'and goes at once if nobody waits';
    my $client = $s->connect(timeout => 60);
    $client->send_request('GET', '/p');
    ($worker) = $s->worker_pids;
    is $s->get('/other')->{status}, 204, 'One that a request waits in';
    $s->signal('QUIT');
    close $lock;
    is $client->read_response->{body}, "served\n", 'answers it';
    $s->stop;
};

subtest 'a new plugin' => sub {
    my $s = server($PLUGIN);
    is $s->request(GET => '/p', timeout => 60)->{status}, 200, 'beside one that serves';
    is $s->get('/load?file=' . plugin('new.wasm', 'b'))->{body}, "loaded\n", 'is loaded';
    my $client = $s->connect(timeout => 60);
    $client->send_request('GET', '/another');
    my $served = 0;
    $served += $s->get('/p')->{status} == 200 until has_answer($client);
    is $client->read_response->{body}, "configured\n", 'and compiled';
    cmp_ok $served, '>', 10, "while $served requests are served";
    $s->stop;
};

subtest 'a plugin whose code is wrong' => sub {
    # (func (result i32)) with no result
    my $wrong = "\0asm\1\0\0\0" . "\1\5\1\x60\0\1\x7f" . "\3\2\1\0" . "\5\3\1\0\1"
        . "\7\x24\2" . "\6memory\2\0" . "\x17proxy_abi_version_0_2_1\0\0" . "\x0a\4\1\2\0\x0b";
    open my $out, '>:raw', "$dir/wrong.wasm" or die $!;
    print {$out} $wrong;
    close $out;
    my $s = server("$dir/wrong.wasm");
    for (1, 2) {
        my $got = $s->get('/p');
        is_deeply [$got->{status}, $got->{headers}{'x-error'}], [503, 'failed to run proxy_on_configure'], 'cannot be configured';
    }
    is scalar(() = $s->error_log =~ /\[error\].*failed to load wasm plugin "p" at \S+: is not a valid WebAssembly module: .*type mismatch/g), 2,
        'and the log says why, each time but the first after it was found';
    $s->stop;
};

subtest 'a part of a plugin' => sub {
    truncate plugin('part.wasm', 'c'), 1 << 20;
    my $s = server($PLUGIN);
    is $s->get("/load?file=$dir/part.wasm")->{body}, "failed to load wasm plugin\n", 'is not loaded';
    like $s->error_log, qr/failed to load wasm plugin "another" at \S+: is not a valid WebAssembly module: the file ends within a section/,
        'and a line says why';
    $s->stop;
};

done_testing;
