# What host functions answer, here and in Envoy: the same plugin gets the same requests from both, and
# what it logs, what the client gets and what the upstream gets are compared. Where they differ, the
# line of docs/proxy-wasm.md that says so is named; a difference that is gone fails, too.

use lib '.';
use t::ProxyWasm;
use Compress::Zlib ();
use File::Temp ();
use ProxyWasm::Certificates ();
use ProxyWasm::Connection ();
use ProxyWasm::Envoy qw(envoy_binary start_envoy);
use ProxyWasm::Message qw(hex_of message);
use ProxyWasm::Port qw(reserve_port);

Test::More::plan(skip_all => 'no Envoy: make deps installs one where there is a package of it') if !envoy_binary();

# The lines of docs/proxy-wasm.md that say of differences.
my %reason = (
    map        => 'A map that is not available now is empty, and a field of it NOT_FOUND',
    write      => 'Response fields can be set in request callbacks',
    remove     => 'Removing `:method`, `:path` or `:status` leaves it as it is',
    attributes => 'the request\'s attributes are there in response callbacks',
    dispatch   => 'The cause of a failed call is `:dispatch_status`',
    added      => 'Adding a pseudo header that is there replaces it',
    empty      => 'An empty `:authority` or `:scheme` is removed',
    unknown    => 'A pseudo header that HTTP does not define is ignored',
    invalid    => 'A `:method` that HTTP does not allow gets 400, and such a `:status` is ignored',
    request    => 'The request\'s fields can be read in response callbacks',
    response   => 'In response callbacks the request body\'s buffer is the response\'s body',
    hidden     => '`connection` and `transfer-encoding` of a request are found by name',
    again      => 'A metric that is defined again has the same id',
    no_metric  => 'The id of no metric is NOT_FOUND',
    reasons    => 'The body of a failed call has this host\'s words',
    key        => 'A key that cannot be read is BAD_ARGUMENT',
    declared   => 'A property that a request\'s context declares is declared for the plugin',
    variables  => 'A property that a plugin sets is read under the path that it was set by',
);

sub get { my ($map, @names) = @_; return map { qq(["get_header_map_value", "$map", "$_"]) } @names }

# Whether two variables are the same.
sub same {
    my ($one, $other) = @_;
    return qq({"if": ["eq", "\${$one}", "\${$other}"], "then": [["echo", "$one is $other"]], "else": [["echo", "$one is not $other"]]});
}

# Whether an attribute of the request is what the variable of its name has.
sub stays { my ($name) = @_; return (qq({"op": "get_property", "args": ["request", "$name"], "as": "now", "quiet": true}), same('now', $name)) }

# What can be done with the metric whose id the variable has.
sub metric { my ($id) = @_; return map { qq(["$_->[0]", "\${$id}"$_->[1]]) } ['increment_metric', ', 2'], ['record_metric', ', 5'], ['get_metric', ''] }

# A foreign function with its argument.
sub foreign { my ($name, $argument) = @_; return qq(["call_foreign_function", "$name", $argument]) }

# The same, where the argument is too long for a line of the log.
sub quietly { my ($name, $argument) = @_; return (qq({"op": "call_foreign_function", "args": ["$name", $argument], "quiet": true}), '["echo", "${status} ${last}"]') }

my $dir = File::Temp->newdir;
ProxyWasm::Certificates->new("$dir")->issue('signer', 'DNS:signer.test');
sub key {
    my ($arguments) = @_;
    return scalar `openssl $arguments 2>$dir/errors` || die "openssl $arguments: see $dir/errors\n";
}
my $private     = key("pkcs8 -topk8 -nocrypt -in $dir/signer.key -outform DER");
my $private_pem = key("pkcs8 -topk8 -nocrypt -in $dir/signer.key");
my $public      = key("pkey -in $dir/signer.key -pubout -outform DER");
my $public_pem  = key("pkey -in $dir/signer.key -pubout");
sub signature { return key("dgst -$_[0] -sign $_[1] $dir/signer.ext") }
my $text = do { open my $in, '<', "$dir/signer.ext" or die $!; local $/; <$in> };
key("ecparam -name prime256v1 -genkey -noout -out $dir/ec.key 2>&1; echo made");
my $ec_public = key("pkey -in $dir/ec.key -pubout -outform DER");

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
    ['a missing field in ABI 0.1.0', plugin => 'hostcalls-portable-0-1-0',
        request_headers => [get(request => qw(none :none host)), get(response => 'none'), get(request_trailers => 'none'), get(call_response => 'none')],
        response_headers => [get(response => qw(none :none)), get(response_trailers => 'none')],
        differs => { map { ("get_header_map_value $_ none" => 'map') } qw(response request_trailers call_response response_trailers) }],
    ['the authority', request_headers => [map({ ("[\"${_}_header_map_value\", \"request\", \":authority\", \"$_.test\"]", get(request => qw(:authority host))) } qw(replace add)),
        '["remove_header_map_value", "request", ":authority"]', get(request => ':authority'), '["add_header_map_value", "request", ":authority", "again.test"]', get(request => ':authority')],
        differs => { 'get_header_map_value request :authority' => 'added', 'get_header_map_value request host' => 'added' }],
    ['pseudo headers that are emptied', request_headers => [map { (qq(["replace_header_map_value", "request", "$_", ""]), get(request => $_)) } qw(:scheme :authority)],
        differs => { 'get_header_map_value request' => 'empty' }, response => 'empty'],
    ['pseudo headers that are added', request_headers => [map { (qq(["add_header_map_value", "request", "$_->[0]", "$_->[1]"]), get(request => $_->[0])) }
        [':path', '/args?a'], [':method', 'PUT'], [':scheme', 'https']],
        differs => { 'get_header_map_value request' => 'added' }, response => 'added'],
    ['pseudo headers that a request does not have', request_headers => [map { (qq(["add_header_map_value", "request", "$_", "200"]), get(request => $_)) } qw(:status :protocol)],
        differs => { 'get_header_map_value request' => 'unknown' }],
    ['pseudo headers of a response that are added', response_headers => [map { (qq(["add_header_map_value", "response", "$_->[0]", "$_->[1]"]), get(response => $_->[0])) }
        [':status', '201']], differs => { 'get_header_map_value response :status' => 'added' }, response => 'added'],
    ['pseudo headers that a response does not have', response_headers => [map { (qq(["add_header_map_value", "response", "$_", "/"]), get(response => $_)) } qw(:path :none)],
        differs => { 'get_header_map_value response' => 'unknown' }],
    ['all fields at once', request_headers => ['["set_header_map_pairs", "request", [[":method", "GET"], [":path", "/args?b"], [":authority", "a.test"], [":scheme", "http"], ["x-new", "1"], ["x-forwarded-proto", "http"]]]',
        '["get_header_map_pairs", "request"]', get(request => 'x-old')], headers => ['X-Old' => 1]],
    ['all fields at once, without pseudo headers', response_headers => ['["set_header_map_pairs", "response", [[":status", "201"], ["x-new", "1"]]]', get(response => qw(:status x-new content-type))]],
    ['the fields of a failed call', request_headers => ['["http_call", "dead", [[":method", "GET"], [":path", "/"], [":authority", "a"]]]', '["return", "pause"]'],
        http_call_response => ['["get_header_map_pairs", "call_response"]', '["get_header_map_size", "call_response"]', get(call_response => ':dispatch_status'), '["get_header_map_pairs", "call_response_trailers"]',
            '["set_effective_context", "${caller}"]', '["continue_stream", "request"]'],
        differs => { 'get_header_map_pairs call_response ' => 'reasons', 'get_header_map_size call_response' => 'reasons',
            'get_header_map_value call_response :dispatch_status' => 'dispatch' }],
    ['variables that stay all through a request', request_headers => ['{"op": "get_property", "args": ["request", "id"], "as": "id", "quiet": true}', '{"op": "get_property", "args": ["request", "time"], "as": "time", "quiet": true}',
            map { stays($_) } qw(id time)],
        response_headers => [map { stays($_) } qw(id time)], differs => { 'echo now is' => 'attributes' }],
    ['metrics of one name under every type', request_headers => [map({ qq({"op": "define_metric", "args": ["$_", "mm"], "as": "$_"}) } qw(counter gauge histogram)),
        map({ metric($_) } qw(counter gauge histogram)), '{"op": "define_metric", "args": ["gauge", "mm"], "as": "again"}',
        same('again', 'gauge'), '["get_metric", "${again}"]', '["get_metric", 99999]'],
        differs => { 'echo again is' => 'again', 'get_metric N -> NOT_FOUND' => 'no_metric' }],
    ['a local response', request_headers => ['["send_local_response", 403, "no", [["x-a", "b"]]]', '["return", "pause"]']],
    ['a call', request_headers => ['["http_call", "up", [[":method", "GET"], [":path", "/"], [":authority", "a"]]]', '["return", "pause"]'],
        http_call_response => [@answered[1 .. $#answered]]],
    ['a call whose server is not there', request_headers => ['["http_call", "dead", [[":method", "GET"], [":path", "/"], [":authority", "a"]]]', '["return", "pause"]'],
        http_call_response => [@answered], differs => { 'get_buffer_bytes call_response_body' => 'reasons' }],
    ['a call that takes too long', request_headers => ['["http_call", "up", [[":method", "GET"], [":path", "/slow"], [":authority", "a"]], "", [], 100]', '["return", "pause"]'],
        http_call_response => [@answered]],
    ['calls without what they need', request_headers => [map { qq(["http_call", "up", $_]) } '[[":method", "GET"], [":path", "/"]]', '[[":path", "/"], [":authority", "a"]]',
        '[[":method", "GET"], [":authority", "a"]]', '[]']],
    ['a call of a cluster that nobody knows', request_headers => ['["http_call", "unknown", [[":method", "GET"], [":path", "/"], [":authority", "a"]]]']],
    ['a call with a host', request_headers => ['["http_call", "up", [[":method", "GET"], [":path", "/"], ["host", "a"]]]', '["return", "pause"]'],
        http_call_response => [@answered[1 .. $#answered]]],
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
    # What is compressed has other bytes in each host.
    ['foreign functions that compress', request_headers => [
        '{"op": "call_foreign_function", "args": ["compress", {"repeat": ["hello ", 100]}], "as": "compressed", "quiet": true}',
        '{"op": "call_foreign_function", "args": ["uncompress", "${compressed}"], "quiet": true}', '["echo", "${status} ${last}"]',
        map({ foreign(uncompress => hex_of(Compress::Zlib::compress('abc' x 1000, $_))) } 0, 1, 9), foreign(uncompress => hex_of(Compress::Zlib::compress('abc') . 'more'))]],
    ['foreign functions that sign', request_headers => [
        map({ quietly(sign => message(1 => $_, 2 => $private, 3 => $text)) } qw(sha1 sha224 sha256 sha384 sha512 SHA256 md5)),
        quietly(sign => message(1 => 'sha256', 4 => $private_pem, 3 => $text)), quietly(sign => message(1 => 'sha256', 2 => $private))]],
    ['foreign functions that verify', request_headers => [
        map({ quietly(verify_signature => message(1 => $_, 2 => $public, 3 => signature($_, "$dir/signer.key"), 4 => $text)) } qw(sha1 sha224 sha256 sha384 sha512)),
        quietly(verify_signature => message(1 => 'sha256', 5 => $public_pem, 3 => signature('sha256', "$dir/signer.key"), 4 => $text)),
        quietly(verify_signature => message(1 => 'sha256', 2 => $public, 3 => signature('sha512', "$dir/signer.key"), 4 => $text)),
        quietly(verify_signature => message(1 => 'sha256', 2 => $public, 3 => 'short', 4 => $text)), quietly(verify_signature => message(1 => 'sha256', 2 => $public, 4 => $text)),
        quietly(verify_signature => message(1 => 'md5', 2 => $public, 3 => 'short', 4 => $text)),
        quietly(verify_signature => message(1 => 'sha256', 2 => $ec_public, 3 => signature('sha256', "$dir/ec.key"), 4 => $text))]],
    ['foreign functions that declare and set', configure => ['{"op": "call_foreign_function", "args": ["declare_property", {"hex": "0a046f6e63651001"}], "quiet": true}'], request_headers => [
        foreign(declare_property => message(1 => 'declared')), '["set_property", "declared", "a"]', '["get_property", "declared"]', '["set_property", "declared", "b"]', '["get_property", "declared"]',
        foreign(declare_property => '{"hex": "0a046c6174651001"}'), map({ ('["set_property", "' . $_ . '", "a"]', '["set_property", "' . $_ . '", "b"]', '["get_property", "' . $_ . '"]') } qw(once late)),
        foreign(set_envoy_filter_state => message(1 => 'envoy.network.upstream_server_name', 2 => 'name.test')), '["get_property", "filter_state", "envoy.network.upstream_server_name"]',
        foreign(set_envoy_filter_state => message(1 => 'envoy.tcp_proxy.cluster', 2 => 'up'))], response_headers => ['["get_property", "declared"]'],
        differs => { 'set_property late b' => 'declared', 'get_property late' => 'declared' }],
    ['metrics of one name', request_headers => ['["define_metric", "counter", "m"]', '["define_metric", "gauge", "m"]', '["set", "gauge", "${last}"]',
        '["increment_metric", "${gauge}", -1]', '["get_metric", "${gauge}"]']],
);

my @scripts;
for my $case (@cases) {
    my ($name, %o) = @$case;
    my @callbacks = map { qq("on_$_": [) . join(', ', @{ $o{$_} }) . ']' }
        grep { $o{$_} } qw(configure request_headers request_body response_headers response_body http_call_response);
    push @scripts, '{' . join(', ', @callbacks, '"on_log": [["log", "info", "END"]]') . '}';
}

my $upstream = start_nginx(no_module => 1, lua => 1, config => <<'E');
    location = / { return 200 "answer"; }
    location = /method { return 200 "$request_method"; }
    location = /args { return 200 "$args"; }
    location = /slow { content_by_lua_block { ngx.sleep(2) } }
E
my $dead  = reserve_port();
my @plugins = map { my ($name, %o) = @$_; "$ENV{TEST_NGINX_PLUGINS}/" . ($o{plugin} // 'hostcalls-portable') . '.wasm' } @cases;
my $envoy = start_envoy(plugins => \@plugins, scripts => \@scripts, clusters => { up => $upstream->port, dead => $dead }, upstream => 'up');

my @ports   = map { reserve_port() } @cases;
my $plugins = join ' ', map { "wasm_plugin case$_ $plugins[$_];" } 0 .. $#cases;
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
    $line =~ s/\b\d+\b/N/g if $line =~ /^(?:define_metric|increment_metric|record_metric|get_metric|http_call|set_effective_context) /;
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
