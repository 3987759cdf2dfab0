package ProxyWasm::Module;

# Adds to a configuration what the module under test needs: load_module lines (this module's, and
# those of Debian's Lua modules if Lua is used), lua_package_path, the shared wasm_cache, temporary
# paths inside the server root. One function does it for blocks under either runner and for
# start_nginx.

use strict;
use warnings;
use Cwd ();
use File::Basename qw(dirname);
use ProxyWasm::Skip qw(nginx_info);

use Exporter 'import';
our @EXPORT_OK = qw(find_libraries preamble repository target_dir);

# Give all tests one directory of compiled modules. Off until there is a wasm_cache
# directive.
our $SHARED_WASM_CACHE = 1;

my $USES_LUA  = qr/\b(?:\w+_by_lua\w*|lua_\w+)\b/;
my $USES_WASM = qr/\b(?:wasm_\w+|proxy_wasm)\b/;

sub repository {
    return Cwd::realpath(dirname(__FILE__) . '/../../..');
}

sub target_dir {
    my $dir = $ENV{CARGO_TARGET_DIR} // 'target';
    return $dir =~ m{^/} ? $dir : repository() . "/$dir";
}

# (lines for main, lines for http{}), given {main_config, http_config, config, lua,
# no_module, has_temp_paths}.
sub preamble {
    my (%block) = @_;
    my $text = join "\n", map { $_ // '' } @block{qw(main_config http_config config)};
    my $uses_lua = $block{lua} || $text =~ $USES_LUA;
    my $lua = $uses_lua || _needs_libraries();
    my (@main, @http);

    push @main, map { "load_module $_;" } _lua_modules() if $lua;
    push @main, 'load_module ' . _module() . ';' if !$block{no_module} && length _module();

    for my $temp ($block{has_temp_paths} ? () : qw(client_body proxy fastcgi uwsgi scgi)) {
        push @http, "${temp}_temp_path ${temp}_temp;" if $text !~ /\b${temp}_temp_path\b/;
    }
    push @http, 'lua_package_path "' . repository() . '/lib/?.lua;;";'
        if $lua && $text !~ /\blua_package_path\b/;
    push @http, 'wasm_cache ' . target_dir() . '/wasm-cache;'
        if $SHARED_WASM_CACHE && !$block{no_module} && $text !~ /\bwasm_cache\b/
        && ($uses_lua || $text =~ $USES_WASM);

    push @http, "wasm_isolation $ENV{TEST_NGINX_ISOLATION};"
        if $ENV{TEST_NGINX_ISOLATION} && !$block{no_module} && $text !~ /\bwasm_isolation\b/ && ($uses_lua || $text =~ $USES_WASM);

    return (join('', map { "$_\n" } @main), join '', map { "$_\n" } @http);
}

# The text of http{}, with what TEST_NGINX_LUA_PATH says where its lua_package_path has the default: Lua libraries that fit the Lua
# module under test. (LUA_PATH does not reach modules that were compiled with a default of their own.)
sub find_libraries {
    my ($http) = @_;
    my $path = $ENV{TEST_NGINX_LUA_PATH};
    $http =~ s/\blua_package_path\s+"[^"]*?\K;;/;$path;;/g if defined $path && length $path;
    return $http;
}

# Lua that is linked in wants libraries that fit it from the start, used or not.
sub _needs_libraries { return length($ENV{TEST_NGINX_LUA_PATH} // '') && !_lua_modules() }

# Empty for an nginx that has the module linked in.
sub _module {
    my $path = $ENV{TEST_NGINX_MODULE}
        // target_dir() . '/release/libngx_http_proxy_wasm_module.so';
    die "$path is not there: build it, or set TEST_NGINX_MODULE\n" if length $path && !-e $path;
    return $path;
}

# ndk before Lua, from TEST_NGINX_LUA_MODULES or nginx's own modules directory; none
# where Lua is linked in, as in OpenResty.
sub _lua_modules {
    return split ' ', $ENV{TEST_NGINX_LUA_MODULES} if defined $ENV{TEST_NGINX_LUA_MODULES};
    my ($dir) = nginx_info()->{configure} =~ /--modules-path=(\S+)/;
    return grep { -e } map { ($dir // '/usr/lib/nginx/modules') . "/$_" }
        qw(ndk_http_module.so ngx_http_lua_module.so);
}

1;
