package ProxyWasm::Apisix;

# For the suites of t/apisix: nginx as APISIX sets it up and drives it, by t/apisix/gateway.lua.
#
#     --- config_yaml      APISIX's; default: $CONFIG below, or only the scripted guest
#     --- apisix_yaml      routes, services and global rules
#     --- script           in its place: the scripted guest's configuration, on one route for every URI
#     --- without_wasm_vm  APISIX's directive is not there
#     --- resty_http       what stands in for lua-resty-http, which APISIX brings, is installed
#     --- upstream         locations of the upstream's. It answers every other request with what it got, header and body
#
# Everything of these two files is indented block style; a file without a folder is one of the compiled plugins. The gateway is
# the server's location /, and there are, for what etcd and the Admin API would do:
#
#     PUT /apisix          new routes, services and global rules: the file's text as JSON
#     PUT /plugins/reload  loads the plugins again
#     PUT /gc              what Lua no longer holds goes
#
# Blocks get all that, and GET /t as request if they name none. For start_nginx there is gateway(config_yaml => …, apisix_yaml => …),
# which answers its arguments, and resources($apisix_yaml), which answers the text of PUT /apisix. These take structures, too; and
# gateway() takes init => Lua that runs in init_by_lua.

use strict;
use warnings;
use CPAN::Meta::YAML ();
use JSON::PP ();
use ProxyWasm::Module qw(repository);

use Exporter 'import';
our @EXPORT = qw(gateway resources);

our $CONFIG = <<'YAML';
wasm:
  plugins:
    - name: log
      priority: 7999
      file: log.wasm
    - name: fault-injection
      priority: 7997
      file: fault-injection.wasm
      http_request_phase: rewrite
    - name: rust-headers
      priority: 7000
      file: rust-headers.wasm
    - name: hostcalls
      priority: 5000
      file: hostcalls.wasm
YAML

my $SCRIPTED = <<'YAML';
wasm:
  plugins:
    - name: hostcalls
      priority: 1
      file: hostcalls.wasm
YAML

my $INIT_WORKER = <<'CONF';
init_worker_by_lua_block {
        gateway.load_plugins("$TEST_NGINX_HTML_DIR/config.json")
        gateway.load_resources("$TEST_NGINX_HTML_DIR/apisix.json")
    }
CONF

sub gateway {
    my (%o) = @_;
    my $lib = repository();
    my $wasm_vm = defined $o{without_wasm_vm} ? '' : 'wasm_vm wasmtime;';
    my $resty_http = defined $o{resty_http} ? "$lib/t/lua/lib/?.lua;" : '';
    my $init_worker = ($o{http_config} // '') =~ /init_worker_by_lua/ ? '' : $INIT_WORKER;
    my $http = <<"CONF";
    lua_package_path "$lib/lib/?.lua;$lib/t/apisix/?.lua;$resty_http;";
    $wasm_vm
    init_by_lua_block { gateway = require("gateway") @{[ $o{init} // '' ]} }
    $init_worker
    server {
        listen $ENV{TEST_NGINX_UPSTREAM_PORT};
        access_log off;
        @{[ $o{upstream} // '' ]}
        location / {
            content_by_lua_block {
                ngx.req.read_body()
                ngx.print(ngx.req.raw_header(), ngx.req.get_body_data() or "")
            }
        }
    }
CONF
    my $config = <<"CONF";
    location / {
        set \$wasm_process_req_body '';
        set \$wasm_process_resp_body '';
        access_by_lua_block { gateway.access() }
        proxy_http_version 1.1;
        proxy_pass http://127.0.0.1:$ENV{TEST_NGINX_UPSTREAM_PORT};
        header_filter_by_lua_block { gateway.header_filter() }
        body_filter_by_lua_block { gateway.body_filter() }
    }
    location = /apisix {
        content_by_lua_block {
            ngx.req.read_body()
            gateway.update(ngx.req.get_body_data())
            ngx.say("updated")
        }
    }
    location = /plugins/reload {
        content_by_lua_block {
            gateway.load_plugins("\$TEST_NGINX_HTML_DIR/config.json")
            ngx.say("reloaded")
        }
    }
    location = /gc { content_by_lua_block { gateway.collect() ngx.say("collected") } }
CONF
    return (
        no_root_location => 1,
        http_config => $http . ($o{http_config} // ''),
        config      => $config . ($o{config} // ''),
        user_files  => [
            ['config.json', _plugins($o{config_yaml} // (defined $o{script} ? $SCRIPTED : $CONFIG))],
            ['apisix.json', defined $o{script} ? _one_route($o{script}) : resources($o{apisix_yaml} // '')],
            @{ $o{user_files} || [] },
        ],
    );
}

sub resources {
    my ($yaml) = @_;
    return _json(_yaml($yaml) // {});
}

sub _one_route {
    my ($script) = @_;
    $script =~ s/\s*\n\s*/ /g;
    return _json({ routes => [{ id => 1, uri => '/*', plugins => { hostcalls => { conf => $script } } }] });
}

sub _plugins {
    my ($text) = @_;
    my $config = _yaml($text);
    for my $plugin (@{ $config->{wasm}{plugins} }) {
        $plugin->{file} = "$ENV{TEST_NGINX_PLUGINS}/$plugin->{file}" if $plugin->{file} !~ m{/};
    }
    return _json($config);
}

# That parser makes a text of everything; numbers are those that look so.
sub _yaml {
    my ($text) = @_;
    return $text if ref $text;
    return _numbers(CPAN::Meta::YAML->read_string($text)->[0]);
}

sub _numbers {
    my ($value) = @_;
    return [map { _numbers($_) } @$value] if ref $value eq 'ARRAY';
    return { map { ($_ => _numbers($value->{$_})) } keys %$value } if ref $value eq 'HASH';
    return defined $value && $value =~ /^-?\d+$/ ? 0 + $value : $value;
}

sub _json { return JSON::PP->new->canonical->encode($_[0]) }

t::ProxyWasm::no_root_location();
# A worker that loads plugins may have to compile them first.
t::ProxyWasm::timeout(20);
t::ProxyWasm::add_block_preprocessor(sub {
    my ($block) = @_;
    my @files = map { [$_->[0], $_->[1]] } _user_files(scalar $block->user_files);
    my %conf = gateway(
        user_files => \@files,
        map { ($_ => scalar $block->$_) } qw(config_yaml apisix_yaml script upstream http_config config without_wasm_vm resty_http),
    );
    $block->set_value($_ => $conf{$_}) for qw(http_config config user_files);
    $block->set_value(request => 'GET /t')
        if !grep { defined $block->$_ } qw(request raw_request pipelined_requests);
});

sub _user_files {
    my ($text) = @_;
    my @files = map { [split /\n/, $_, 2] } grep { length } split /^>>> /m, $text // '';
    return @files;
}

1;
