# make install: nginx takes what it put there, and make uninstall leaves nothing.

use lib '.';
use t::ProxyWasm;
use File::Find ();
use File::Temp ();
use ProxyWasm::Module ();

my $module = $ENV{TEST_NGINX_MODULE} // ProxyWasm::Module::target_dir() . '/release/libngx_http_proxy_wasm_module.so';

# Status and output of make in the repository.
sub make {
    # Any file will do for the tool, which nothing here runs.
    my $output = qx(make --no-print-directory -C @{[ProxyWasm::Module::repository()]} MODULE=$module CHECK=$0 @_ 2>&1);
    return ($? >> 8, $output);
}

# The files below a folder, sorted.
sub files {
    my ($dir) = @_;
    my @files;
    File::Find::find({ no_chdir => 1, wanted => sub { push @files, substr $_, length $dir if -f } }, $dir);
    return join "\n", sort @files;
}

my %layout = (
    "Debian's nginx" => ['', "/usr/lib/nginx/modules/ngx_http_proxy_wasm_module.so\n/usr/share/lua/5.1/resty/proxy-wasm.lua"],
    'OpenResty'      => ['OPENRESTY_PREFIX=/opt/or',
        "/opt/or/nginx/modules/ngx_http_proxy_wasm_module.so\n/opt/or/site/lualib/resty/proxy-wasm.lua"],
);

for my $name (sort keys %layout) {
    my ($arguments, $expected) = @{ $layout{$name} };
    my $root = File::Temp->newdir;
    my ($status, $output) = make("install DESTDIR=$root $arguments");
    is $status, 0, "$name: installs" or diag $output;
    $expected .= "\n/usr/local/bin/proxy-wasm-check";
    is files($root), join("\n", sort split /\n/, $expected), "$name: the module, its Lua file and the tool";
    my ($so, $lua) = split /\n/, $expected;
    like $output, qr/load_module \Q$so\E;$/m, "$name: says what to add to nginx.conf, without DESTDIR";

    my $s = start_nginx(
        lua         => 1,
        no_module   => 1,
        main_config => "load_module $root$so;",
        http_config => 'lua_package_path "' . $root . ($lua =~ s{resty/proxy-wasm}{?}r) . ';;"; wasm_vm wasmtime;',
        config      => 'location = /t { content_by_lua_block { ngx.say(type(require("resty.proxy-wasm").load)) } }
                        location = /status { wasm_status; }',
    );
    is $s->get('/t')->{body}, "function\n", "$name: Lua finds its file";
    is $s->get('/status')->{status}, 200, "$name: nginx has its directives";
    $s->stop;

    make("install DESTDIR=$root $arguments");
    is files($root), join("\n", sort split /\n/, $expected), "$name: again, over itself";
    make("uninstall DESTDIR=$root $arguments");
    is files($root), '', "$name: nothing is left";
}

my ($status, $output) = make('install MODULE=/nonexistent DESTDIR=/nonexistent');
isnt $status, 0, 'without a module it fails';
like $output, qr/run make first/, 'and says what to do';

done_testing;
