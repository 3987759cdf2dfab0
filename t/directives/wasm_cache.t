# wasm_cache PATH|off; where compiled modules are kept. Without it: wasm_cache under the
# prefix. A cache that cannot be used costs time, never a start.

use lib '.';
use t::ProxyWasm;

my @server = (
    config => <<"E",
    location /t { proxy_wasm p hi; return 200; }
E
);

sub plugin_and {
    my ($line) = @_;
    return "wasm_plugin p $ENV{TEST_NGINX_PLUGINS}/log-headers.wasm; $line";
}

# The cached modules in a directory, which holds nothing else of ours once nginx runs but a folder per user.
sub entries { return grep { -f && -s } glob "$_[0]/*/*" }

subtest 'a path, relative to the prefix' => sub {
    my $s = start_nginx(@server, http_config => plugin_and('wasm_cache html/modules;'));
    my $dir = $s->html_dir . '/modules';
    is $s->get('/t')->{status}, 200, 'the plugin runs';
    is sprintf('%o', (stat $dir)[2] & 07777), '711', 'others may not list the directory';
    is_deeply [map { s{.*/}{}r } glob "$dir/*"], [$>], 'it has a folder for the user who compiles';
    is scalar entries($dir), 1, 'and holds the module';
    ok !-e $s->root . '/wasm_cache', 'the default one is not made';
    my ($entry) = entries($dir);
    my @made = stat $entry;
    ok $s->reload, 'a reload';
    is_deeply [(stat $entry)[1, 9]], [@made[1, 9]], 'takes what is there';
    is scalar entries($dir), 1, 'and adds nothing';
    $s->stop;
};

subtest 'the modules of plugins that have gone do no harm' => sub {
    my $s = start_nginx(@server, http_config => plugin_and('wasm_cache html/modules;'));
    ok $s->reload(http_config => "wasm_plugin p $ENV{TEST_NGINX_PLUGINS}/rust-headers.wasm; wasm_cache html/modules;"),
        'another file under the same name';
    is $s->get('/t')->{headers}{'x-rust'}, 'hi', 'runs';
    $s->stop;
};

subtest 'one file under two names is one entry' => sub {
    my $s = start_nginx(@server, http_config => plugin_and(
        "wasm_plugin q $ENV{TEST_NGINX_PLUGINS}/log-headers.wasm; wasm_cache html/modules;"));
    is scalar entries($s->html_dir . '/modules'), 1, 'in the cache';
    $s->stop;
};

subtest 'a damaged entry is compiled anew' => sub {
    my $s = start_nginx(@server, http_config => plugin_and('wasm_cache html/modules;'));
    my ($entry) = entries($s->html_dir . '/modules');
    for my $damage ('', 'garbage', "\0" x 4096) {
        # Beside it, then over it: the workers of now have it mapped.
        open my $out, '>', "$entry.damaged" or die "$entry: $!";
        print {$out} $damage;
        close $out;
        rename "$entry.damaged", $entry;
        $s->mark_log;
        ok $s->reload, 'a reload with ' . length($damage) . ' bytes in its place';
        is $s->get('/t')->{status}, 200, 'the plugin runs';
        cmp_ok -s $entry, '>', 4096, 'and the entry is mended';
        is scalar(() = $s->error_log =~ /is not usable, so its module is compiled/g), 1, 'with one warning';
    }
    $s->stop;
};

subtest 'without the directive' => sub {
    # Where the runner would name a cache that all tests share.
    no warnings 'once';
    local $ProxyWasm::Module::SHARED_WASM_CACHE = 0;
    my $s = start_nginx(@server, http_config => plugin_and(''));
    is scalar entries($s->root . '/wasm_cache'), 1, 'it is wasm_cache under the prefix';
    $s->stop;
};

subtest 'off' => sub {
    my $s = start_nginx(@server, http_config => plugin_and('wasm_cache off;'));
    is $s->get('/t')->{status}, 200, 'the plugin runs';
    ok !-e $s->root . '/wasm_cache', 'nothing is kept';
    $s->stop;
};

subtest 'a directory that cannot be made' => sub {
    my $s = start_nginx(@server, http_config => plugin_and('wasm_cache html/none/modules;'));
    is $s->get('/t')->{status}, 200, 'the plugin runs';
    my @warnings = $s->error_log =~ /\[warn\].*compiled modules are not kept: (.*)/g;
    is scalar @warnings, 1, 'with one warning';
    like $warnings[0], qr{html/none/modules cannot be made: No such file or directory}, 'that says why';
    $s->stop;
};

subtest 'a path that is a file' => sub {
    my $s = start_nginx(@server, user_files => ">>> modules\nnot a directory\n",
        http_config => plugin_and('wasm_cache html/modules;'));
    is $s->get('/t')->{status}, 200, 'the plugin runs';
    like $s->error_log, qr{\[warn\].*html/modules}, 'with a warning';
    $s->stop;
};

subtest 'twice' => sub {
    my $s = start_nginx(@server, must_die => 1,
        http_config => plugin_and('wasm_cache off; wasm_cache html/modules;'));
    like $s->error_log, qr/\[emerg\].*"wasm_cache": is duplicate in \S+nginx\.conf:\d+/, 'is refused';
};

done_testing;
