# The cache's folders: the master is root, its workers are not, and nothing that one of them can write is followed, waited for or run
# by the other. Root only.

use lib '.';
use t::ProxyWasm;
use Fcntl qw(:flock);
use File::Temp qw(tempdir);
use POSIX ();
use Time::HiRes qw(time);

plan(skip_all => 'is about root and another user') if $> != 0;

my $USER = 'nobody';
my ($uid, $gid) = (getpwnam $USER)[2, 3];
my $plugins = tempdir(CLEANUP => 1);
chmod 0755, $plugins;
system('cp', "$ENV{TEST_NGINX_PLUGINS}/log-headers.wasm", "$ENV{TEST_NGINX_PLUGINS}/rust-headers.wasm", $plugins) == 0
    or die "cannot copy plugins\n";

# A folder for a cache, in one that everybody may enter.
sub folder {
    my $dir = tempdir(CLEANUP => 1);
    chmod 0755, $dir;
    return "$dir/cache";
}

sub server {
    my ($cache, %more) = @_;
    return start_nginx(
        user        => join(" ", $USER, scalar getgrgid $gid),
        log_level   => 'notice',
        http_config => "wasm_cache $cache; wasm_plugin p $plugins/log-headers.wasm;",
        config      => "location /t { proxy_wasm p hi; return 200; }\n",
        %more,
    );
}

# Plugins that workers load, as APISIX does.
sub lua_server {
    my ($cache, %more) = @_;
    return server($cache,
        http_config => qq{
            wasm_cache $cache; wasm_vm wasmtime;
            init_worker_by_lua_block {
                plugin = assert(require("resty.proxy-wasm").load("p", "$plugins/log-headers.wasm"))
            }},
        config => "location /t { return 200; }\n",
        %more,
    );
}

# In a process of the workers' user.
sub as_user {
    my ($code) = @_;
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        POSIX::setgid($gid);
        POSIX::setuid($uid);
        POSIX::_exit($code->() ? 0 : 1);
    }
    waitpid $pid, 0;
    return $? == 0;
}

sub mode { return sprintf '%s %o', (stat $_[0])[4], (stat $_[0])[2] & 07777 }

sub entries { return grep { -f && -s } glob "$_[0]/*" }

# Seconds that a reload takes.
sub reload_time {
    my ($s) = @_;
    my $begun = time;
    ok $s->reload, 'a reload';
    return time - $begun;
}

subtest 'who owns what' => sub {
    my $cache = folder();
    my $s = server($cache);
    is $s->get('/t')->{status}, 200, 'the plugin runs';
    is mode($cache), '0 711', 'the folder is root\'s';
    is mode("$cache/0"), '0 711', 'and so is that of the master in it';
    is mode("$cache/$uid"), "$uid 700", 'that of the workers is theirs';
    my ($entry) = entries("$cache/0");
    is mode($entry), '0 644', 'workers may read what the master compiled';
    ok !as_user(sub { rename $entry, "$entry.gone" }), 'and not replace it';
    ok !as_user(sub { rename "$cache/0", "$cache/gone" }), 'nor its folder';
    ok $s->reload, 'a reload';
    like((split /^/, $s->error_log)[-1] . $s->error_log, qr/plugin "p" .* from the cache/, 'takes what is there');
    unlike $s->error_log, qr/\[warn\]/, 'without a warning';
    $s->stop;
};

subtest 'an old folder, which the workers own' => sub {
    my $cache = folder();
    my $s = server($cache);
    my ($entry) = map { m{([^/]+)$} } entries("$cache/0");
    $s->stop;
    my $victim = "$plugins/victim";
    open my $out, '>', $victim or die "$victim: $!";
    print {$out} "root's file\n";
    close $out;
    for my $name ($entry, "$entry.lock") {
        my $old = folder();
        mkdir $old, 0700;
        chown $uid, $gid, $old;
        as_user(sub { symlink $victim, "$old/$name" });
        my $again = server($old);
        is $again->get('/t')->{status}, 200, 'nginx starts';
        ok $again->reload, 'and reloads';
        is -s $victim, length "root's file\n", 'what a link leads to is as it was';
        is mode($old), "$uid 700", 'the folder is the workers\' still';
        is scalar entries("$old/0"), 1, 'the master has a folder of its own in it';
        unlike $again->error_log, qr/\[warn\]/, 'without a warning';
        $again->stop;
    }
};

subtest 'what stands where the folder of the master should' => sub {
    for my $put (
        [ 'a folder of the workers', sub { mkdir "$_[0]/0", 0755 }, qr/belongs to another user/ ],
        [ 'a link', sub { symlink '/tmp', "$_[0]/0" }, qr/is not a folder, or a symbolic link/ ],
        [ 'a file', sub { open my $out, '>', "$_[0]/0" }, qr/is not a folder, or a symbolic link/ ],
    ) {
        my ($what, $make, $reason) = @$put;
        my $cache = folder();
        mkdir $cache, 0700;
        chown $uid, $gid, $cache;
        as_user(sub { $make->($cache) });
        my $s = server($cache);
        is $s->get('/t')->{status}, 200, "$what: nginx starts";
        my @warnings = $s->error_log =~ /\[warn\].*compiled modules are not kept: (.*)/g;
        is scalar @warnings, 1, 'with one warning';
        like $warnings[0], $reason, 'that says why';
        $s->stop;
    }
};

subtest 'a lock that a worker never gives back' => sub {
    my $cache = folder();
    my $s = server($cache);
    my ($entry) = entries("$cache/0");
    my $name = $entry =~ s{.*/(.*)\.cwasm$}{$1}r;
    # In its own folder, and, as in a folder of old, in that of the cache.
    chmod 0777, $cache;
    pipe my $ready, my $told;
    my $holder = fork // die;
    if (!$holder) {
        POSIX::setuid($uid);
        my @held = map {
            open my $lock, '>', $_ or warn "$_: $!\n";
            flock $lock, LOCK_EX;
            $lock;
        } "$cache/$uid/$name.lock", "$cache/$name.lock";
        syswrite $told, 'x';
        sleep 100;
        POSIX::_exit(0);
    }
    close $told;
    sysread $ready, my $byte, 1 or die "no locks are held\n";
    unlink $entry;
    cmp_ok reload_time($s), '<', 30, 'the master compiles at once';
    is scalar entries("$cache/0"), 1, 'and keeps it';
    kill KILL => $holder;
    waitpid $holder, 0;
    $s->stop;
};

subtest 'what workers compile' => sub {
    my $cache = folder();
    for my $from ('compiled in', 'from the cache in') {
        my $s = lua_server($cache, log_level => 'info');
        ok $s->wait_for_log(qr/plugin "p" .*$from/), $from;
        is scalar entries("$cache/$uid"), 1, 'it is kept in a folder of theirs';
        is scalar entries("$cache/0"), 0, 'and not in the master\'s';
        unlike $s->error_log, qr/\[warn\]/, 'without a warning';
        $s->stop;
    }
};

subtest 'what the master compiled, workers do not' => sub {
    my $cache = folder();
    server($cache)->stop;
    my $s = lua_server($cache, log_level => 'info');
    ok $s->wait_for_log(qr/plugin "p" .*from the cache in/), 'they read it';
    is scalar entries("$cache/$uid"), 0, 'and keep none of their own';
    $s->stop;
};

subtest 'a plugin of the master, and one of workers' => sub {
    my $cache = folder();
    for my $round ('a cold start', 'a warm one') {
        my $s = server($cache,
            log_level   => 'info',
            workers     => 4,
            http_config => qq{
                wasm_cache $cache;
                wasm_plugin p $plugins/log-headers.wasm;
                wasm_plugin again $plugins/log-headers.wasm;
                init_worker_by_lua_block {
                    local wasm = require("resty.proxy-wasm")
                    one = assert(wasm.load("one", "$plugins/log-headers.wasm"))
                    two = assert(wasm.load("two", "$plugins/rust-headers.wasm"))
                }},
        );
        ok $s->wait_for_log(qr/plugin "two" .*(?:compiled in|from the cache in)/, count => 4, timeout => 60),
            "$round: each worker has loaded them";
        my $times = () = ($s->stderr . $s->error_log) =~ /plugin "\w+" compiled in/g;
        is $times, $round =~ /cold/ ? 2 : 0, 'each file was compiled once in all';
        is_deeply [map { scalar entries("$cache/$_") } 0, $uid], [1, 1], 'by the user who needs it';
        unlike $s->stderr . $s->error_log, qr/\[warn\]/, 'without a warning';
        $s->stop;
    }
};

subtest 'a folder that everybody may write' => sub {
    my $cache = folder();
    mkdir $cache;
    chmod 0777, $cache;
    my $s = lua_server($cache, log_level => 'info');
    ok $s->wait_for_log(qr/plugin "p" compiled in/), 'workers compile';
    ok $s->wait_for_log(qr/loaded wasm plugin/), 'and go on';
    is mode("$cache/$uid"), "$uid 700", 'they make a folder of their own';
    is scalar entries("$cache/$uid"), 1, 'and keep it there';
    unlike $s->error_log, qr/\[warn\]/, 'without a warning';
    $s->stop;
};

subtest 'a folder that nobody can write, with all that is needed' => sub {
    my $cache = folder();
    server($cache)->stop;
    # As root may write whatever its mode, this asks the workers alone.
    my $s = lua_server($cache, log_level => 'info');
    ok $s->wait_for_log(qr/plugin "p" .*from the cache in/), 'is read';
    unlike $s->error_log, qr/\[warn\]/, 'without a warning';
    $s->stop;
};

done_testing;
