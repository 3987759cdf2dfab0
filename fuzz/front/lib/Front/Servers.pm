package Front::Servers;

# The two nginxes of the front fuzzer. One is under test: it has a server for each way of attaching
# plugins, for HTTP/1 and for HTTP/2 each, and every server has all that nginx can answer with. The
# other is its upstream, without the module, and does what the URI asks for in the words that the
# head of upstream.lua lists.

use strict;
use warnings;
use File::Basename qw(dirname);
use Front::Script qw(script);
use JSON::PP ();
use ProxyWasm::Module qw(repository);
use ProxyWasm::Port qw(reserve_port);
use ProxyWasm::Server qw(start_nginx);

# Name, the plugins that URIs may ask something of (and whether that may be to trap), and how they are attached.
our @SETUPS = (
    ['native', { a => 0 },         'proxy_wasm calm conf_file=HTML/a.json;'],
    ['twin',   { a => 0, b => 0 }, 'proxy_wasm calm conf_file=HTML/a.json; proxy_wasm late conf_file=HTML/b.json;'],
    ['closed', { b => 1 },         'proxy_wasm closed conf_file=HTML/hostile.json;'],
    ['open',   { a => 0, b => 1 }, 'proxy_wasm calm conf_file=HTML/a.json; proxy_wasm open conf_file=HTML/hostile.json;'],
    ['lua',    { a => 0, b => 1 }, <<'CONF'],
        set $wasm_process_req_body '1';
        set $wasm_process_resp_body '1';
        access_by_lua_block { gateway.access() }
        header_filter_by_lua_block { gateway.header_filter() }
        body_filter_by_lua_block { gateway.body_filter() }
CONF
);

# What a location answers with. UP is the upstream, and RPC the same with HTTP/2.
our %CONTENTS = (
    echo     => 'proxy_pass http://kept; proxy_set_header Connection "";',
    buffered => 'proxy_pass http://UP;',
    small    => 'proxy_buffer_size 4k; proxy_buffers 2 4k; proxy_busy_buffers_size 4k; proxy_pass http://UP;',
    unbuffered => 'proxy_buffering off; proxy_pass http://UP;',
    stream   => 'proxy_request_buffering off; proxy_buffering off; proxy_pass http://UP;',
    old      => 'proxy_http_version 1.0; proxy_pass http://UP;',
    prefix   => 'proxy_pass http://UP/other/;',
    variable => 'proxy_pass http://UP$request_uri;',
    intercept => 'proxy_intercept_errors on; error_page 404 500 502 504 /page; proxy_pass http://UP;',
    cached   => 'proxy_cache kept; proxy_cache_valid any 2s; proxy_cache_key $arg_up; proxy_cache_lock on;
                 proxy_pass http://UP/untagged?up=$arg_up&;',
    next     => 'proxy_next_upstream error timeout http_404; proxy_pass http://several;',
    grpc     => 'grpc_pass grpc://RPC;',
    upgrade  => 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_pass http://UP;',
    file     => 'sendfile on; alias HTML/;',
    read     => 'sendfile off; output_buffers 2 8k; alias HTML/;',
    threads  => 'aio threads; sendfile on; alias HTML/;',
    alias    => 'alias HTML/file/;',
    return   => 'return 200 "[$asked]";',
    moved    => 'return 301 /elsewhere;',
    empty    => 'return 204;',
    refused  => 'deny all; error_page 403 /page;',
    named    => 'error_page 404 = @named; root HTML/nowhere;',
    after    => 'post_action /after; proxy_pass http://UP;',
    accel    => 'proxy_pass http://UP;',
    slice    => 'slice 4k; proxy_set_header Range $slice_range; proxy_pass http://UP/large.bin;',
    added    => 'add_before_body /page; add_after_body /page; proxy_pass http://UP;',
    asked    => 'auth_request /allowed; proxy_pass http://UP;',
    mirror   => 'mirror /mirrored; proxy_pass http://UP;',
    gzip     => 'gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any; proxy_pass http://UP;',
    sub      => 'sub_filter_types *; sub_filter a bb; sub_filter_once off; proxy_pass http://UP;',
    slow     => 'limit_rate 30k; proxy_pass http://UP;',
    try      => 'root HTML; try_files /nothing /file/small.txt @named;',
    # What one client stores is not to be another's response.
    dav      => 'dav_methods PUT DELETE; create_full_put_path on; alias HTML/dav/; limit_except PUT DELETE { deny all; }',
    limited  => 'client_max_body_size 64; error_page 413 /page; proxy_pass http://UP;',
    onfile   => 'client_body_in_file_only clean; client_body_buffer_size 1k; proxy_pass http://UP;',
    if       => 'if ($arg_up) { proxy_pass http://UP; } return 200 "[$asked]";',
    silent   => 'proxy_read_timeout 150ms; proxy_pass http://UP;',
    nobody   => 'proxy_pass http://127.0.0.1:1;',
);

# Those of them that this nginx was built with.
sub contents {
    my $built = `$ProxyWasm::Settings::Binary -V 2>&1`;
    my %module = (slice => 'slice', added => 'addition', sub => 'sub', dav => 'dav', asked => 'auth_request');
    return grep { !$module{$_} || $built =~ /with-http_$module{$_}_module/ } sort keys %CONTENTS;
}

sub start {
    my ($up, $rpc, %ports) = (reserve_port(), reserve_port());
    my $upstream = _upstream($up, $rpc);
    my $fill = sub { my ($text) = @_; $text =~ s/\bUP\b/127.0.0.1:$up/g; $text =~ s/\bRPC\b/127.0.0.1:$rpc/g; $text =~ s/\bHTML\b/\$TEST_NGINX_HTML_DIR/g; return $text };
    my $servers = '';
    for my $setup (@SETUPS) {
        my ($name, undef, $attached) = @$setup;
        @ports{"$name 1", "$name 2"} = (reserve_port(), reserve_port());
        $servers .= $fill->(_server($attached, @ports{"$name 1", "$name 2"}));
    }
    my $nginx = start_nginx(
        log_level => 'error', lua => 1, worker_connections => 4096, start_timeout => 300,
        http_config => $fill->(_http($servers)),
        config => <<'CONF',
    location = /plain { return 200 plain; }
    location = /status { wasm_status; }
    location = /connections { stub_status; }
CONF
        user_files => [
            ['a.json', script(name => 'a', upstream => $up)], ['b.json', script(name => 'b', upstream => $up)],
            ['hostile.json', script(name => 'b', upstream => $up, traps => 1)],
            ['file/small.txt', "small\n"], ['file/empty', ''], ['file/large.bin', join '', map { "$_\n" } 1 .. 100_000],
            ['page', "page\n"], ['dav/x', ''],
            _gateway($up),
        ],
    );
    return ($nginx, $upstream, \%ports);
}

sub _http {
    my ($servers) = @_;
    my $lib = repository();
    return <<"CONF";
    access_log off;
    wasm_vm wasmtime;
    lua_package_path "$lib/lib/?.lua;$lib/t/apisix/?.lua;;";
    lua_socket_log_errors off;
    init_by_lua_block { gateway = require("gateway") }
    init_worker_by_lua_block {
        gateway.load_plugins("HTML/config.json")
        gateway.load_resources("HTML/apisix.json")
    }
    wasm_plugin calm \$TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite body_buffer_size=256k;
    wasm_plugin late \$TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_plugin closed \$TEST_NGINX_PLUGINS/hostcalls.wasm callback_timeout=50ms phase=rewrite;
    wasm_plugin open \$TEST_NGINX_PLUGINS/hostcalls.wasm callback_timeout=50ms failure=open;
    wasm_pause_timeout 300ms;
    client_header_timeout 1s;
    client_body_timeout 1s;
    send_timeout 1s;
    lingering_time 1s;
    lingering_timeout 300ms;
    proxy_http_version 1.1;
    proxy_connect_timeout 1s;
    proxy_read_timeout 600ms;
    proxy_send_timeout 600ms;
    grpc_read_timeout 600ms;
    proxy_cache_path cache keys_zone=kept:1m max_size=4m;
    # nginx itself frees a request of HTTP/1 that discards a body, below the upstream of a post_action: docs/operations.md.
    map "\$http2:\$http_content_length\$http_transfer_encoding" \$has_no_body { : 1; ~^h2: 1; default 0; }
    upstream kept { server UP; keepalive 8; }
    upstream several { server 127.0.0.1:1 max_fails=0; server UP max_fails=0; }
$servers
CONF
}

sub _server {
    my ($attached, $port, $port2) = @_;
    my $locations = join '', map { "        location /$_/ { $CONTENTS{$_} }\n" } contents();
    return <<"CONF";
    server {
        listen 127.0.0.1:$port;
        listen 127.0.0.1:$port2 http2;
        keepalive_timeout 1s;
        set \$asked \$request_uri;
        set \$may_go_on \$has_no_body;
        set \$slow /after?up=W20.L1.B1.E;
        $attached
$locations
        location = /page { root HTML; }
        location = /after {
            # nginx keeps the connection, too, if the response before failed, and nothing of it was sent.
            keepalive_timeout 0;
            if (\$may_go_on) { proxy_pass http://UP\$slow; }
            return 204;
        }
        location = /accel/file { internal; alias HTML/file/large.bin; }
        location = /allowed { internal; return 204; }
        location = /mirrored { internal; proxy_pass http://UP; }
        location \@named { proxy_pass http://UP; }
        location / { root HTML; }
    }
CONF
}

# What APISIX would have in its two files.
sub _gateway {
    my ($up) = @_;
    my $json = JSON::PP->new->canonical;
    my $file = '$TEST_NGINX_PLUGINS/hostcalls.wasm';
    my %plugins = (a => script(name => 'a', upstream => $up), b => script(name => 'b', upstream => $up, traps => 1));
    my ($priority, @plugins) = (9);
    push @plugins, { name => $_, priority => $priority--, file => $file } for sort keys %plugins;
    # Placeholders of the script are not the test's.
    my %conf = map { ($_ => { conf => $plugins{$_} }) } keys %plugins;
    return (
        ['config.json', $json->encode({ wasm => { plugins => \@plugins } })],
        ['apisix.json', $json->encode({ routes => [{ id => 1, uri => '/*', plugins => \%conf }] })],
    );
}

sub _upstream {
    my ($port, $rpc) = @_;
    my $program = dirname(__FILE__) . '/upstream.lua';
    return start_nginx(
        no_module => 1, lua => 1, log_level => 'crit', worker_connections => 4096,
        http_config => <<"CONF",
    access_log off;
    lua_package_path ";;";
    lua_socket_log_errors off;
    lingering_close off;
    client_max_body_size 0;
    init_by_lua_block { answer = dofile("$program") }
    server {
        listen 127.0.0.1:$port;
        listen 127.0.0.1:$rpc http2;
        location = /large.bin { root \$TEST_NGINX_HTML_DIR; }
        location / { content_by_lua_block { answer() } }
    }
CONF
        config => '',
        user_files => [['large.bin', join '', map { "$_\n" } 1 .. 5_000]],
    );
}

1;
