# What host functions answer, here and in Envoy: the same plugin gets the same requests from both, and
# what it logs, what the client gets and what the upstream gets are compared. Where they differ, the
# line of docs/proxy-wasm.md that says so is named; a difference that is gone fails, too.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Connection ();
use ProxyWasm::Envoy qw(envoy_binary start_envoy);
use ProxyWasm::Port qw(reserve_port);

Test::More::plan(skip_all => 'no Envoy: make deps installs one where there is a package of it') if !envoy_binary();

# The lines of docs/proxy-wasm.md that say of differences.
my %reason = (
    map       => 'A map that is not available now is empty, and a field of it NOT_FOUND',
    write     => 'Response fields can be set in request callbacks',
    remove    => 'Removing `:method`, `:path` or `:status` leaves it as it is',
    unknown   => 'A pseudo header that HTTP does not define is ignored',
    invalid   => 'A `:method` that HTTP does not allow gets 400, and such a `:status` is ignored',
    request   => 'The request\'s fields can be read in response callbacks',
    response  => 'In response callbacks the request body\'s buffer is the response\'s body',
    hidden    => '`connection` and `transfer-encoding` of a request are found by name',
    reasons   => 'The body of a failed call has this host\'s words',
    call      => 'A call without `:method`, `:path` or `:authority` gets their defaults',
    key       => 'A key that cannot be read is BAD_ARGUMENT',
    variables => 'A property that a plugin sets is read under the path that it was set by',
);

sub get { my ($map, @names) = @_; return map { qq(["get_header_map_value", "$map", "$_"]) } @names }

my @answered = (
    '["echo", "headers ${num_headers}, trailers ${num_trailers}"]',
    get(call_response => qw(:status content-type)),
    '["get_buffer_bytes", "call_response_body"]',
    '["set_effective_context", "${caller}"]',
    '["continue_stream", "request"]',
);

# A name; callbacks with their steps; the request; differs: lines of the plugin, by their begin, with the
# reason; response: the reason why the client gets another one; in_piece: one piece of a body is looked at.
my @cases = (
    ['the fields of a request', request_headers => ['["get_header_map_pairs", "request"]', get(request => qw(host HOST x-twice none :path :method :scheme :authority))],
        headers => ['X-Twice' => 1, 'X-Twice' => 2]],
    ['fields of the connection', request_headers => ['["get_header_map_pairs", "request"]', get(request => qw(connection transfer-encoding))],
        method => 'POST', headers => ['Transfer-Encoding' => 'chunked'], body => "2\r\nab\r\n0\r\n\r\n",
        differs => { 'get_header_map_value request' => 'hidden' }],
    ['the fields of a response before there is one', request_headers => ['["get_header_map_pairs", "response"]', '["get_header_map_size", "response"]',
            get(response => qw(:status x-a)), '["get_header_map_pairs", "response_trailers"]', '["get_property", "response", "code"]'],
        differs => { 'get_header_map_size response' => 'map', 'get_header_map_value response' => 'map' }],
    ['a response field that is set early', request_headers => ['["add_header_map_value", "response", "x-a", "b"]'],
        differs => { 'add_header_map_value response' => 'write' }, response => 'write'],
    ['the scheme', request_headers => ['["replace_header_map_value", "request", ":scheme", "https"]', get(request => ':scheme'),
        '["remove_header_map_value", "request", ":scheme"]', '["add_header_map_value", "request", ":scheme", "http"]', get(request => ':scheme')]],
    ['another method', request_headers => ['["replace_header_map_value", "request", ":method", "PUT"]', get(request => ':method')], path => '/method'],
    ['another path', request_headers => ['["replace_header_map_value", "request", ":path", "/args?a=b"]', get(request => ':path')]],
    ['a method and a path that are removed and set', request_headers => ['["remove_header_map_value", "request", ":method"]', '["remove_header_map_value", "request", ":path"]',
        '["add_header_map_value", "request", ":method", "PUT"]', '["add_header_map_value", "request", ":path", "/method"]', get(request => qw(:method :path))]],
    ['a method that is none', request_headers => ['["replace_header_map_value", "request", ":method", "M 1"]', get(request => ':method')],
        differs => { 'get_header_map_value request :method' => 'invalid' }],
    ['a method that is removed', request_headers => ['["remove_header_map_value", "request", ":method"]', get(request => ':method')],
        differs => { 'get_header_map_value request :method' => 'remove' }, response => 'remove'],
    ['a path that is removed', request_headers => ['["remove_header_map_value", "request", ":path"]', get(request => ':path')],
        differs => { 'get_header_map_value request :path' => 'remove' }, response => 'remove'],
    ['a pseudo header that there is not', request_headers => ['["replace_header_map_value", "request", ":fnord", "a"]', get(request => ':fnord')],
        differs => { 'get_header_map_value request :fnord' => 'unknown' }],
    ['the fields of a response', response_headers => [get(response => qw(:status content-type content-length none)),
        '["replace_header_map_value", "response", ":status", "202"]', get(response => ':status'), '["add_header_map_value", "response", "x-a", "b"]']],
    ['a status that is none', response_headers => ['["replace_header_map_value", "response", ":status", "abc"]', get(response => ':status')],
        differs => { 'get_header_map_value response :status' => 'invalid' }, response => 'invalid'],
    ['a status that is removed', response_headers => ['["remove_header_map_value", "response", ":status"]', get(response => ':status')],
        differs => { 'get_header_map_value response :status' => 'remove' }, response => 'remove'],
    ['the fields of a request in a response callback', response_headers => [get(request => ':method')], differs => { 'get_header_map_value request :method' => 'request' }],
    ['a body by range', request_body => [map({ qq(["get_buffer_bytes", "request_body", $_]) } '0, 4', '4, 100', '10, 0', '10, 5', '11, 1', '3, 0', '0, "max"', '1, "max"'),
        '["get_buffer_status", "request_body"]', map { qq(["get_buffer_bytes", "$_"]) } qw(response_body vm_configuration call_response_body foreign_arguments grpc_message)],
        method => 'POST', body => '0123456789', in_piece => 1],
    ['a body before it is there', request_headers => ['["get_buffer_bytes", "request_body"]', '["get_buffer_status", "response_body"]']],
    ['the body of a request in a response callback', response_body => ['["get_buffer_bytes", "request_body", 0, 1]'],
        differs => { 'get_buffer_bytes request_body' => 'response' }, in_piece => 1],
    ['a local response', request_headers => ['["send_local_response", 403, "no", [["x-a", "b"]]]', '["return", "pause"]']],
    ['a call', request_headers => ['["http_call", "up", [[":method", "GET"], [":path", "/"], [":authority", "a"]]]', '["return", "pause"]'],
        http_call_response => [@answered[1 .. $#answered]]],
    ['a call whose server is not there', request_headers => ['["http_call", "dead", [[":method", "GET"], [":path", "/"], [":authority", "a"]]]', '["return", "pause"]'],
        http_call_response => [@answered], differs => { 'get_buffer_bytes call_response_body' => 'reasons' }],
    ['a call that takes too long', request_headers => ['["http_call", "up", [[":method", "GET"], [":path", "/slow"], [":authority", "a"]], "", [], 100]', '["return", "pause"]'],
        http_call_response => [@answered]],
    ['calls without what they need', request_headers => [map { qq(["http_call", "up", $_]) } '[[":method", "GET"], [":path", "/"]]', '[[":path", "/"], [":authority", "a"]]'],
        differs => { 'http_call up' => 'call' }],
    ['properties', request_headers => [map { qq(["get_property", $_]) } split ' ', q("plugin_root_id" "request","path" "request","url_path" "request","method" "request","query"
        "request","scheme" "request","host" "request","headers","x-a" "request","none" "none")], path => '/?a=b', headers => ['X-A' => 'c']],
    ['a property that is the plugin\'s own', request_headers => ['["set_property", "tenant", "a"]', '["get_property", "tenant"]'],
        response_headers => ['["get_property", "tenant"]']],
    ['a property of an attribute\'s name', request_headers => ['["set_property", "request", "path", "/x"]', '["get_property", "request", "path"]']],
    ['a property of several segments', request_headers => ['["set_property", "a", "b", "c"]', '["get_property", "a", "b"]'],
        differs => { 'get_property a b' => 'variables' }],
    ['attributes before there is a response', request_headers => [map { qq(["get_property", $_]) } split ' ', q("request","protocol" "request","headers","x-twice"
        "response","code" "response","code_details" "response","flags" "response","grpc_status" "response","trailers" "connection","requested_server_name"
        "connection","tls_version" "connection","uri_san_peer_certificate" "connection","sha256_peer_certificate_digest" "upstream","address" "upstream","local_address"
        "upstream","request_attempt_count" "upstream","transport_failure_reason" "upstream","cx_pool_ready_duration" "xds","filter_chain_name"
        "xds","listener_direction" "xds","route_metadata" "xds","listener_metadata" "metadata" "xds","node","cluster" "xds","none")],
        headers => ['X-Twice' => 1, 'X-Twice' => 2]],
    ['attributes of a response', request_headers => ['["set_property", "tenant", "a"]'], response_headers => [map { qq(["get_property", $_]) } split ' ', q("response","code"
        "response","code_details" "response","flags" "response","grpc_status" "response","trailers" "upstream","address" "upstream","port"
        "upstream","request_attempt_count" "upstream","transport_failure_reason" "upstream","num_endpoints" "upstream","tls_version" "xds","cluster_name"
        "filter_state","wasm.tenant" "filter_state","tenant")]],
    ['foreign functions', request_headers => [map { qq(["call_foreign_function", $_]) } '"uncompress", "hello"',
        '"uncompress", {"hex": "789ccb48cdc9c957c84090003a2e067d"}', '"declare_property", {"hex": "0a0161"}', '"declare_property", {"hex": "0a0161"}',
        '"set_envoy_filter_state", "x"', '"sign", ""', '"verify_signature", ""', '"verify_signature", "x"', '"verify_signature", {"hex": "120161"}',
        '"clear_route_cache"', '"none"'], differs => { 'call_foreign_function verify_signature \\x12' => 'key' }],
    ['metrics of one name', request_headers => ['["define_metric", "counter", "m"]', '["define_metric", "gauge", "m"]', '["set", "gauge", "${last}"]',
        '["increment_metric", "${gauge}", -1]', '["get_metric", "${gauge}"]']],
);

my @scripts;
for my $case (@cases) {
    my ($name, %o) = @$case;
    my @callbacks = map { qq("on_$_": [) . join(', ', @{ $o{$_} }) . ']' }
        grep { $o{$_} } qw(request_headers request_body response_headers response_body http_call_response);
    push @scripts, '{' . join(', ', @callbacks, '"on_log": [["log", "info", "END"]]') . '}';
}

my $upstream = start_nginx(no_module => 1, lua => 1, config => <<'E');
    location = / { return 200 "answer"; }
    location = /method { return 200 "$request_method"; }
    location = /args { return 200 "$args"; }
    location = /slow { content_by_lua_block { ngx.sleep(2) } }
E
my $dead  = reserve_port();
my $plugin = "$ENV{TEST_NGINX_PLUGINS}/hostcalls-portable.wasm";
my $envoy = start_envoy(plugin => $plugin, scripts => \@scripts, clusters => { up => $upstream->port, dead => $dead }, upstream => 'up');

my @ports   = map { reserve_port() } @cases;
my $plugins = join ' ', map { "wasm_plugin case$_ $plugin;" } 0 .. $#cases;
my $servers = join "\n", map { "server { listen 127.0.0.1:$ports[$_]; location / { proxy_wasm case$_ conf_file=html/$_; proxy_pass http://up; } }" } 0 .. $#cases;
my $nginx   = start_nginx(
    http_config => "upstream up { server 127.0.0.1:${\$upstream->port}; } upstream dead { server 127.0.0.1:$dead; } $plugins $servers",
    config      => '',
    user_files  => [map { [$_, $scripts[$_]] } 0 .. $#cases],
);

# What the plugin logged here, up to its last line.
my $at = length $nginx->error_log;
sub plugin_log {
    my $new;
    $nginx->_wait(sub { ($new = substr $nginx->error_log, $at) =~ /log info END -> OK.*\n/ });
    $at += length $new;
    return $new =~ /\[info\] \d+#\d+: (?:\*\d+ )?([a-z_]+ .* -> .*?)(?: while [\w ]+)?(?:, client: .*)?$/mg;
}

# What is not to be compared: ids, and fields that Envoy adds.
sub line {
    my ($line) = @_;
    $line =~ s/\b\d+\b/N/g if $line =~ /^(?:define_metric|increment_metric|get_metric|http_call|set_effective_context) /;
    if ($line =~ /^(get_header_map_pairs request -> OK )(.*)/) {
        my @fields = grep { !/^x-(?:forwarded-proto|request-id):/ } split / \| /, $2;
        $line = $1 . join ' | ', sort @fields;
    }
    return $line;
}

sub response {
    my ($r) = @_;
    my %fields = %{ $r->{headers} };
    delete @fields{qw(server date connection transfer-encoding content-length)};
    # The pages of errors are each host's own.
    my $body = $r->{status} >= 400 && $r->{status} != 403 ? '' : $r->{body};
    return join "\n", $r->{status}, (map { "$_: $fields{$_}" } grep { !/^x-envoy/ } sort keys %fields), $body;
}

my $docs = do { open my $in, '<', 'docs/proxy-wasm.md' or die $!; local $/; <$in> } =~ s/\s+/ /gr;
for my $index (0 .. $#cases) {
    my ($name, %o) = @{ $cases[$index] };
    my @request = ($o{method} // 'GET', $o{path} // '/', headers => $o{headers} // [], body => $o{body}, close => 1);
    subtest $name => sub {
        my ($theirs, $ours) = map { response($_) } $envoy->request($index, @request),
            ProxyWasm::Connection->new(port => $ports[$index])->request(@request);
        my @theirs = map { line($_) } grep { / -> / } $envoy->plugin_log('log info END -> OK');
        my @ours   = map { line($_) } plugin_log();
        # Envoy tells of the end of a body in a piece of its own.
        splice @theirs, $#ours, @theirs - @ours if $o{in_piece};
        my %unused = map { $_ => 1 } values %{ $o{differs} // {} }, $o{response} // ();
        my $documented = sub {
            my ($reason, $what) = @_;
            delete $unused{$reason};
            isnt index($docs, $reason{$reason}), -1, "$what: differs, as docs/proxy-wasm.md says ($reason{$reason})";
        };
        is scalar @ours, scalar @theirs, 'lines of the plugin' or diag join "\n", 'here:', @ours, 'in Envoy:', @theirs;
        for my $line (0 .. $#ours) {
            my ($start) = grep { index($ours[$line], $_) == 0 } keys %{ $o{differs} // {} };
            if ($ours[$line] eq ($theirs[$line] // '') || !$start) { is $ours[$line], $theirs[$line], $ours[$line] }
            else { $documented->($o{differs}{$start}, $ours[$line]) }
        }
        if ($ours ne $theirs && $o{response}) { $documented->($o{response}, 'the response') }
        else { is $ours, $theirs, 'the response' }
        is join(' ', sort keys %unused), '', 'and no difference is gone';
    };
}

$envoy->stop;
$nginx->stop;
$upstream->stop;
done_testing;
