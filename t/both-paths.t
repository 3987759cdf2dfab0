# The same plugin file does the same through proxy_wasm in nginx without Lua and through resty.proxy-wasm as APISIX drives it:
# each case below runs on both, and is told by what client, upstream and log see.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Apisix;

# A case of the scripted guest: one callback with some steps.
sub scripted {
    my ($callback, $name, $steps, %seen) = @_;
    return { name => $name, plugin => 'hostcalls', conf => qq({"$callback": [$steps]}), %seen };
}

# name, plugin, its configuration; then the request, and what is seen.
my @cases = (
    {   name   => 'a Rust plugin changes request and response',
        plugin => 'rust-headers', conf => 'blah',
        upstream => ['X-Rust-Conf', 'blah'], headers => { 'x-rust' => 'blah' }, log => qr/rust ctx 2 conf blah/,
    },
    {   name   => 'a Go plugin changes request and response',
        plugin => 'go-headers', conf => 'blah',
        upstream => ['X-Go-Conf', 'blah'], headers => { 'x-go' => 'blah' }, log => qr/go ctx 2 conf blah/,
    },
    {   name   => 'a Rust plugin answers by itself',
        plugin => 'rust-headers', conf => 'blah', send => ['X-Rust-Deny' => 1],
        status => 403, body => "denied\n", headers => { 'x-rust' => 'blah' },
    },
    {   name   => 'a Go plugin answers by itself',
        plugin => 'go-headers', conf => 'blah', send => ['X-Go-Deny' => 1],
        status => 403, body => "denied\n",
    },
    {   name   => 'a panic in the Rust SDK is a 503, and the next request is served',
        plugin => 'rust-headers', conf => 'blah', send => ['X-Panic' => 1],
        status => 503, then => 200, allow => [qr/panicked at|the request asked for it/],
        log => qr/\[error\] .*failed to call function: proxy_on_request_headers of plugin "p" in context 2: wasm trap/,
    },
    {   name   => 'a trap in a request callback',
        plugin => 'hostcalls', conf => '{"on_request_headers": [["trap"]]}',
        status => 503, then => 503,
        log => qr/\[error\] .*failed to call function: proxy_on_request_headers of plugin "p" in context 2: wasm trap/,
    },
    {   name   => 'a configuration that is refused closes the request',
        plugin => 'fault-injection', conf => '{"http_status":401,"percentage":101}',
        status => 503, then => 503,
        log => qr/\[error\] .*failed to configure plugin context 1, rc: 0/,
    },
    {   name   => 'a result that is no action closes the request',
        plugin => 'hostcalls', conf => '{"on_request_headers": [["return", 42]]}',
        status => 503, then => 503,
        log => qr/\[error\] .*plugin "p" failed: it returned 42, which is not an action/,
    },
    scripted(on_request_headers => 'request headers: add', '["add_header_map_value", "request", "x-a", "b"]', upstream => ['X-A', 'b']),
    scripted(on_request_headers => 'request headers: replace', '["replace_header_map_value", "request", "x-in", "b"]',
        send => ['X-In' => 'a'], upstream => ['X-In', 'b']),
    scripted(on_request_headers => 'request headers: remove', '["remove_header_map_value", "request", "x-in"]',
        send => ['X-In' => 'a'], upstream => ['X-In', '']),
    scripted(on_request_headers => 'request headers: :path', '["get_header_map_value", "request", ":path"]',
        log => qr{:path -> OK /t\?a=1}),
    scripted(on_request_headers => 'request headers: :authority', '["get_header_map_value", "request", ":authority"]',
        log => qr{:authority -> OK 127\.0\.0\.1|:authority -> OK localhost}),
    scripted(on_request_headers => 'a property', '["get_property", "request_uri"], ["get_property", "plugin_root_id"]',
        log => qr{get_property request_uri -> OK /t\?a=1}),
    scripted(on_request_headers => 'the name as a property', '["get_property", "plugin_name"]',
        log => qr{get_property plugin_name -> OK p\b}),
    scripted(on_request_headers => 'its configuration', '["get_buffer_bytes", "plugin_configuration", 0, 8]',
        log => qr{get_buffer_bytes plugin_configuration 0 8 -> OK \{"on_req}),
    scripted(on_request_headers => 'a log line', '["log", "warn", "hello"]', log => qr{\[warn\] .*hello.*client: }),
    scripted(on_request_headers => 'a local response', '["send_local_response", 418, "tea", [["x-a", "b"]]], ["return", "pause"]',
        status => 418, body => 'tea', headers => { 'x-a' => 'b' }),
    scripted(on_request_headers => 'standard output', '["stdout", "hello\n"]', log => qr{#\d+: (?:\*\d+ )?hello}),
    scripted(on_response_headers => 'response headers: add', '["add_header_map_value", "response", "x-a", "b"]', headers => { 'x-a' => 'b' }),
    scripted(on_response_headers => 'response headers: replace', '["replace_header_map_value", "response", "x-upstream", "b"]',
        headers => { 'x-upstream' => 'b' }),
    scripted(on_response_headers => 'response headers: remove', '["remove_header_map_value", "response", "x-upstream"]',
        headers => { 'x-upstream' => undef }),
    scripted(on_response_headers => 'response headers: :status', '["replace_header_map_value", "response", ":status", "202"]', status => 202),
);

# nginx's own words for a response of the upstream.
my $location = <<'E';
    location /t {
        add_header X-Upstream yes;
        return 200 "X-Rust-Conf=$http_x_rust_conf X-Go-Conf=$http_x_go_conf X-A=$http_x_a X-In=$http_x_in\n";
    }
E
my $upstream = start_nginx(no_module => 1, config => $location);

sub native {
    my ($case) = @_;
    return (
        http_config => "wasm_plugin p $ENV{TEST_NGINX_PLUGINS}/$case->{plugin}.wasm;",
        config      => 'location /t { proxy_wasm p conf_file=html/conf; proxy_pass http://127.0.0.1:' . $upstream->port . '; }',
        user_files  => [['conf', $case->{conf}]],
    );
}

sub lua {
    my ($case) = @_;
    return gateway(
        config_yaml => { wasm => { plugins => [{ name => 'p', priority => 1, file => "$case->{plugin}.wasm" }] } },
        apisix_yaml => { routes => [{ id => 1, uri => '/t', plugins => { p => { conf => $case->{conf} } } }] },
        upstream    => $location,
    );
}

for my $case (@cases) {
    subtest $case->{name} => sub {
        for (['proxy_wasm', \&native], ['resty.proxy-wasm', \&lua]) {
            my ($path, $conf) = @$_;
            my $s = start_nginx($conf->($case));
            my $r = $s->get('/t?a=1', @{ $case->{send} || [] });
            is $r->{status}, $case->{status} // 200, "$path: status";
            is $r->{body}, $case->{body}, "$path: body" if defined $case->{body};
            if (my $upstream = $case->{upstream}) {
                like $r->{body}, qr/\b$upstream->[0]=\Q$upstream->[1]\E(?: |$)/, "$path: what the upstream sees";
            }
            is $r->{headers}{$_}, $case->{headers}{$_}, "$path: $_" for sort keys %{ $case->{headers} || {} };
            if ($case->{log}) {
                ok $s->wait_for_log($case->{log}), "$path: log line $case->{log}"
                    or diag grep { !/\[notice\]/ } split /^/, $s->error_log;
            }
            is $s->get('/t?a=1')->{status}, $case->{then}, "$path: the next request" if $case->{then};
            $s->stop(allow => $case->{allow});
            is join('', grep { /\[(?:error|alert)\]/ } split /^/, $s->error_log), '', "$path: no error line"
                if ($case->{status} // 200) != 503;
            is scalar(() = $s->error_log =~ /create http/g), scalar(() = $s->error_log =~ /free http/g),
                "$path: every HTTP context ended";
        }
    };
}

$upstream->stop;
done_testing;
