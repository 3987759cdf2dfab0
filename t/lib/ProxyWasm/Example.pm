package ProxyWasm::Example;

# Runs one suite for a plugin in all its languages and on both paths. Whatever language it is
# written in, and whether nginx or APISIX drives it (as t/apisix/gateway.lua does), a client, an
# upstream and the error log must see the same.
#
#     test_example(
#         'fault-injection',
#         languages => [qw(rust go)],
#         cases     => [
#             { name => 'a body', conf => '{"http_status": 401, "body": "HIT\n"}', status => 401, body => "HIT\n" },
#         ],
#     );
#
# A case is one request through the plugin, with that configuration, to the upstream of ProxyWasm::Upstream, or to
# proxy_pass of the suite:
#
#     name, conf
#     request     [METHOD, PATH, body => …, headers => […]], if not GET /headers
#     status      if not 200; undef if the connection is closed without a response
#     body        a string, or a pattern
#     headers     {lowercased name => value, or undef for none}
#     log         a pattern of what must be in the error log, since the request or at the start; no other [error] line may be
#     no_log      a pattern of what must not
#     directives  more for the location, on the native path: APISIX has none
#     only        the path that has the case: proxy_wasm or resty.proxy-wasm
#
# Each case has a location, and so a plugin context, of its own. With `shared => 1`, cases of one
# configuration have one, for a plugin whose contexts are costly. `start_timeout` is the seconds that
# nginx may take to start, where compiling the plugin takes long. `directories` are those of the
# plugin, as wasm_dir has them; `files` are more of the suite's user_files. `then` gets the server
# after the cases.

use strict;
use warnings;
use JSON::PP qw(encode_json);
use Test::More;
use ProxyWasm::Module qw(repository);
use ProxyWasm::Server qw(start_nginx);
use ProxyWasm::Upstream qw(upstream);

use Exporter 'import';
our @EXPORT = qw(test_example);

my %SUFFIX = (rust => '', go => '-go', c => '-c');
my %PATHS  = ('proxy_wasm' => \&_native, 'resty.proxy-wasm' => \&_lua);

sub test_example {
    my ($plugin, %o) = @_;
    for my $language (@{ $o{languages} }) {
        my $file = "$ENV{TEST_NGINX_PLUGINS}/$plugin$SUFFIX{$language}.wasm";
        for my $path (sort keys %PATHS) {
            subtest "$plugin in $language, by $path" => sub {
                my @cases     = grep { ($_->{only} // $path) eq $path } @{ $o{cases} };
                my @locations = _locations(\@cases, $o{shared});
                _test($PATHS{$path}->([$plugin, @{ $o{directories} // [] }], $file, @locations), %o, cases => \@cases);
            };
        }
    }
    done_testing;
}

# The cases whose configurations the locations have. Sets each case's {location}.
sub _locations {
    my ($cases, $shared) = @_;
    my (@locations, %seen);
    for my $case (@$cases) {
        my $key = $shared ? join "\0", $case->{conf}, $case->{directives} // '' : $case;
        if (!defined $seen{$key}) {
            $seen{$key} = @locations;
            push @locations, $case;
        }
        $case->{location} = $seen{$key};
    }
    return @locations;
}

# `way` declares the plugin in http{}, attaches it in each location, and may need files.
sub _test {
    my ($way, %o) = @_;
    my @cases     = @{ $o{cases} };
    my $upstream  = $o{proxy_pass} // 'http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/';
    my @attach    = @{ $way->{attach} };
    my $locations = join '', map { "location /$_/ {\n$attach[$_]\nproxy_pass $upstream;\n}\n" } keys @attach;
    my $server = start_nginx(
        http_config   => $way->{declare} . ($o{http_config} // upstream()),
        config        => $locations,
        user_files    => [@{ $way->{files} }, @{ $o{files} // [] }],
        start_timeout => $o{start_timeout},
    );
    # On the native path plugins are configured when a worker starts.
    my $start = $server->error_log;
    for my $i (keys @cases) {
        subtest $cases[$i]{name} => sub { _try($server, "/$cases[$i]{location}", $cases[$i], $start) };
    }
    subtest 'then' => sub { $o{then}->($server) } if $o{then};
    $server->stop;
}

sub _native {
    my ($declared, $file, @cases) = @_;
    my ($plugin, @directories) = @$declared;
    return {
        declare => join(' ', 'wasm_plugin', $plugin, $file, map { "dir=$_" } @directories) . ";\n",
        attach  => [map { ($cases[$_]{directives} // '') . "proxy_wasm $plugin conf_file=html/$_.conf;" } keys @cases],
        files   => [map { ["$_.conf", $cases[$_]{conf}] } keys @cases],
    };
}

# As APISIX: each case is a route.
sub _lua {
    my ($declared, $file, @cases) = @_;
    my ($plugin, @directories) = @$declared;
    my $given   = @directories ? join(' ', '    wasm_dir', @$declared) . ";\n" : '';
    my @plugins = { name => $plugin, priority => 1, file => $file };
    my @routes  = map { { id => $_, uri => "/$_/*", plugins => { $plugin => { conf => $cases[$_]{conf} } } } } keys @cases;
    my $lib     = repository();
    return {
        declare => <<"E",
    lua_package_path "$lib/lib/?.lua;$lib/t/apisix/?.lua;;";
    wasm_vm wasmtime;
$given    init_by_lua_block { gateway = require("gateway") }
    init_worker_by_lua_block {
        gateway.load_plugins("\$TEST_NGINX_HTML_DIR/config.json")
        gateway.load_resources("\$TEST_NGINX_HTML_DIR/apisix.json")
    }
E
        attach => [(<<'E') x @cases],
        set $wasm_process_req_body '';
        set $wasm_process_resp_body '';
        access_by_lua_block { gateway.access() }
        header_filter_by_lua_block { gateway.header_filter() }
        body_filter_by_lua_block { gateway.body_filter() }
E
        files => [
            ['config.json', encode_json({ wasm => { plugins => \@plugins } })],
            # Bytes as they are: a configuration need not be text.
            ['apisix.json', JSON::PP->new->encode({ routes => \@routes })],
        ],
    };
}

sub _try {
    my ($server, $prefix, $case, $start) = @_;
    my ($method, $path, %request) = @{ $case->{request} // [GET => '/headers'] };
    $server->mark_log;
    my $response = $server->request($method, $prefix . $path, %request);
    is $response->{status}, exists $case->{status} ? $case->{status} : 200, 'status';
    like $response->{body}, $case->{body}, 'body' if ref $case->{body};
    is $response->{body}, $case->{body}, 'body' if defined $case->{body} && !ref $case->{body};
    is $response->{headers}{$_}, $case->{headers}{$_}, $_ for sort keys %{ $case->{headers} // {} };

    # The last thing that is logged of a request, if the plugin could be configured.
    ok $server->wait_for_log(qr/free http context/), 'the HTTP context ends'
        if $server->error_log =~ /create http context/;
    my @lines = split /^/, $server->error_log;
    ok scalar(grep { /$case->{log}/ } @lines, split /^/, $start), "log: $case->{log}" or diag @lines if $case->{log};
    ok !scalar(grep { /$case->{no_log}/ } @lines), "no log of $case->{no_log}" if $case->{no_log};
    my $expected = $case->{log} ? qr/$case->{log}|failed to (?:configure|fetch wasm) plugin c/ : qr/(?!)/;
    is join('', grep { /\[error\]/ && !/$expected/ } @lines), '', 'no other error line';
}

1;
