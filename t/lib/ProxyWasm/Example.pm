package ProxyWasm::Example;

# One suite for a plugin in all its languages and on both paths: whatever it is written in, and whether nginx or APISIX drives
# it, a client, an upstream and the error log see the same.
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
#     status      if not 200
#     body        a string, or a pattern
#     headers     {lowercased name => value, or undef for none}
#     log         a pattern of what must be in the error log, since the request or at the start; no other [error] line may be
#     no_log      a pattern of what must not
#     directives  more for the location, on the native path: APISIX has none

use strict;
use warnings;
use Cwd ();
use File::Basename qw(dirname);
use Test::More;
use ProxyWasm::Server qw(start_nginx);
use ProxyWasm::Upstream qw(upstream);

use Exporter 'import';
our @EXPORT = qw(test_example);

my %SUFFIX = (rust => '', go => '-go', c => '-c');
my $APISIX = Cwd::abs_path(dirname(__FILE__)) . '/apisix.lua';

sub test_example {
    my ($plugin, %o) = @_;
    for my $language (@{ $o{languages} }) {
        my $file = "$ENV{TEST_NGINX_PLUGINS}/$plugin$SUFFIX{$language}.wasm";
        subtest "$plugin in $language, by proxy_wasm"       => sub { _test(_native($plugin, $file), %o) };
        subtest "$plugin in $language, by resty.proxy-wasm" => sub { _test(_lua($plugin, $file), %o) };
    }
    done_testing;
}

sub _test {
    my ($declare, $attach, %o) = @_;
    my @cases = @{ $o{cases} };
    my $upstream = $o{proxy_pass} // 'http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/';
    my $server = start_nginx(
        http_config => $declare . ($o{http_config} // upstream()),
        config      => join('', map { "location /$_/ {\n" . $attach->("$_.conf", $cases[$_]) . "proxy_pass $upstream;\n}\n" } keys @cases),
        user_files  => [map { ["$_.conf", $cases[$_]{conf}] } keys @cases],
    );
    # On the native path plugins are configured when a worker starts.
    my $start = $server->error_log;
    for my $i (keys @cases) {
        subtest $cases[$i]{name} => sub { _try($server, "/$i", $cases[$i], $start) };
    }
    $server->stop;
}

# What declares the plugin in http{}, and what attaches it in the location of a case.

sub _native {
    my ($plugin, $file) = @_;
    return "wasm_plugin $plugin $file;\n", sub {
        my ($conf, $case) = @_;
        return ($case->{directives} // '') . "proxy_wasm $plugin conf_file=html/$conf;\n";
    };
}

sub _lua {
    my ($plugin, $file) = @_;
    my $declare = <<"E";
    wasm_vm wasmtime;
    init_worker_by_lua_block {
        apisix = dofile("$APISIX")
        apisix.load("$plugin", "$file")
    }
E
    return $declare, sub {
        my ($conf) = @_;
        return <<"E";
        set \$wasm_process_req_body '';
        set \$wasm_process_resp_body '';
        access_by_lua_block { apisix.request("$plugin", "\$TEST_NGINX_HTML_DIR/$conf") }
        header_filter_by_lua_block { apisix.response_headers() }
        body_filter_by_lua_block { apisix.response_body() }
E
    };
}

sub _try {
    my ($server, $prefix, $case, $start) = @_;
    my ($method, $path, %request) = @{ $case->{request} // [GET => '/headers'] };
    $server->mark_log;
    my $response = $server->request($method, $prefix . $path, %request);
    is $response->{status}, $case->{status} // 200, 'status';
    like $response->{body}, $case->{body}, 'body' if ref $case->{body};
    is $response->{body}, $case->{body}, 'body' if defined $case->{body} && !ref $case->{body};
    is $response->{headers}{$_}, $case->{headers}{$_}, $_ for sort keys %{ $case->{headers} // {} };

    # The last thing that is logged of a request, if the plugin could be configured.
    ok $server->wait_for_log(qr/free http context/), 'the HTTP context ends'
        if $server->error_log =~ /create http context/;
    my @lines = split /^/, $server->error_log;
    ok scalar(grep { /$case->{log}/ } @lines, split /^/, $start), "log: $case->{log}" or diag @lines if $case->{log};
    ok !scalar(grep { /$case->{no_log}/ } @lines), "no log of $case->{no_log}" if $case->{no_log};
    my $expected = $case->{log} ? qr/$case->{log}|failed to configure plugin context/ : qr/(?!)/;
    is join('', grep { /\[error\]/ && !/$expected/ } @lines), '', 'no other error line';
}

1;
