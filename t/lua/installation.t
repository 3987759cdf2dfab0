# Half an install is loud: this module without its Lua file, or with that of another module or version. APISIX would otherwise
# serve routes without their plugins.

use lib '.';
use t::ProxyWasm;
use Cwd ();
use File::Temp ();
use JSON::PP ();

my $lib = Cwd::realpath('lib');

sub slurp {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!";
    local $/;
    return scalar <$file>;
}

my $ours = slurp("$lib/resty/proxy-wasm.lua");
my ($version) = $ours =~ /^local VERSION = "(.*)"$/m;
like slurp('Cargo.toml'), qr/^version = "\Q$version\E"$/m, 'module and Lua file are of one version';

# The default path, as far as it is a folder of libraries, without a library of this name: a runtime of APISIX's has one.
sub default_path {
    my $s = start_nginx(
        lua         => 1,
        http_config => 'lua_package_path ";;";',
        config      => 'location = /path { content_by_lua_block { ngx.print(package.path) } }',
    );
    my $path = $s->get('/path')->{body};
    $s->stop;
    my %copies;
    return map { m{^(/.*?)(/\?.*)$} && -d $1 ? ($copies{$1} //= without_library($1)) . $2 : () } split /;/, $path;
}

# A folder of links to what a folder has, but to that library.
sub without_library {
    my ($folder) = @_;
    my $copy = File::Temp::tempdir(CLEANUP => 1);
    chmod 0755, $copy;
    mkdir "$copy/resty" or die "$copy/resty: $!";
    for my $entry (glob "$folder/* $folder/resty/*") {
        my $name = substr $entry, length $folder;
        next if $name eq '/resty' || $name eq '/resty/proxy-wasm.lua';
        symlink Cwd::realpath($entry), "$copy$name" or die "$copy$name: $!";
    }
    return $copy;
}

my $default = join ';', default_path();

# What the C module's library looks like to whoever requires it.
my $foreign = 'return { load = function() return nil, "failed to load wasm plugin" end }';

# An nginx that has only $files in its Lua path, and a status page.
sub nginx {
    my (%options) = @_;
    return start_nginx(
        lua         => 1,
        log_level   => 'notice',
        http_config => ($options{http} // 'wasm_vm wasmtime;')
            . sprintf(' lua_package_path "%s";', join ';', '$TEST_NGINX_HTML_DIR/?.lua', $options{lib} // (), $default)
            . ($options{init} // ''),
        config => 'location = /status { wasm_status; } location = /t { content_by_lua_block { require("resty.proxy-wasm") } }',
        user_files => $options{files} // [],
    );
}

sub problem { return JSON::PP::decode_json($_[0]->get('/status')->{body})->{lua}{problem} }

# The line, and that the status page says the same.
sub is_loud {
    my ($s, $line, $name) = @_;
    my @lines = grep { /\[error\]/ } split /^/m, $s->error_log;
    is scalar @lines, 1, "$name: one error line";
    like $lines[0], $line, "$name: says what, where, and what to do";
    like problem($s), $line, "$name: so does the status page";
    $s->stop(allow => [$line]);
}

sub is_quiet {
    my ($s, $name) = @_;
    is scalar(grep { /\[error\]/ } split /^/m, $s->error_log), 0, "$name: no error line";
    is problem($s), undef, "$name: no problem";
    $s->stop;
}

my $remedy = qr/install that of this module \(version \Q$version\E\) where lua_package_path comes to it first \(in APISIX: extra_lua_path\)/;

is_loud(nginx(), qr{proxy_wasm: Lua finds no resty/proxy-wasm\.lua: $remedy.*It looked for \S+/html/resty/proxy-wasm\.lua, },
    'no Lua file');
is_loud(nginx(files => [['resty/proxy-wasm.lua', $foreign]]),
    qr{proxy_wasm: Lua finds \S+/html/resty/proxy-wasm\.lua, which is the resty\.proxy-wasm of another module: $remedy},
    q{another module's Lua file});
is_loud(
    nginx(
        http  => 'wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm;',
        files => [['resty/proxy-wasm.lua', $foreign]],
        init  => 'init_by_lua_block { require "resty.proxy-wasm" }',
    ),
    qr/which is the resty\.proxy-wasm of another module/,
    q{another module's Lua file in use, beside native plugins}
);

my $other = $ours =~ s/^local VERSION = .*$/local VERSION = "9.9.9"/mr;
my $mismatch = qr{\S+/html/resty/proxy-wasm\.lua is of version 9\.9\.9, but ngx_http_proxy_wasm_module\.so of version \Q$version\E: install both from one release, and restart nginx};
is_loud(nginx(files => [['resty/proxy-wasm.lua', $other]], init => 'init_by_lua_block { require "resty.proxy-wasm" }'),
    $mismatch, 'a Lua file of another version');

my $late = nginx(files => [['resty/proxy-wasm.lua', $other]]);
is problem($late), undef, 'one that nobody has required yet is not judged';
$late->get('/t');
is_loud($late, $mismatch, 'a Lua file of another version, required late');

# A later file, which reports to a function that this module does not have; it works as well as it can.
my $later = nginx(
    files => [['resty/proxy-wasm.lua', $ours =~ s/ngx_http_proxy_wasm_register/ngx_http_proxy_wasm_of_tomorrow/gr]],
    init  => 'init_by_lua_block { wasm = require "resty.proxy-wasm" }
              init_worker_by_lua_block { plugin = assert(wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm"))
              assert(wasm.on_configure(plugin, "info")) }',
);
my $older = qr/resty\.proxy-wasm: ngx_http_proxy_wasm_module\.so is older than this file, which is of version \Q$version\E: install both from one release, and restart nginx/;
like $later->error_log, qr/\[error\] .*$older/, 'a module that is older than its Lua file: a line says so';
like $later->get('/status')->{body}, qr/"name": "log"/, 'and plugins are loaded';
$later->stop(allow => [$older]);

is_quiet(nginx(lib => "$lib/?.lua", init => 'init_by_lua_block { require "resty.proxy-wasm" }'), 'a whole install');
is_quiet(nginx(lib => "$lib/?.lua"), 'a whole install that nobody has used yet');
is_quiet(nginx(http => 'wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm;'), 'native plugins beside a Lua of other use');
is_quiet(nginx(http => ''), 'nothing but a status page');

my $s = nginx(lib => "$lib/?.lua", init => 'init_by_lua_block { require "resty.proxy-wasm" }');
my $lua = JSON::PP::decode_json($s->get('/status')->{body})->{lua};
is_deeply $lua, { file => "$lib/resty/proxy-wasm.lua", version => $version, problem => undef },
    'the status page names the Lua file in use';
$s->stop;

done_testing;
