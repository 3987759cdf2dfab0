# proxy_on_response_trailers and the map of the response's trailers: those of a gRPC
# upstream, those that plugins make, and what the client gets, over HTTP/1.1 and HTTP/2.
#
# nginx 1.27.2 and newer pass those of proxy_pass in the same way (proxy_pass_trailers).

use lib '.';
use t::ProxyWasm;

my $held = q{"on_configure": [["set", "held", ""], ["set_tick_period_milliseconds", 20]],
    "on_response_trailers": [["set", "held", "${context_id}"], ["return", "pause"]]};
# The header waits until the trailers are there.
my $whole = '"on_response_body": [{"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "pause"]]}]';
sub in_tick { return qq{"on_tick": [{"if": ["not", ["eq", "\${held}", ""]], "then": [
    ["set_effective_context", "\${held}"], ["set", "held", ""], $_[0]]}]} }

my $upstream = 'grpc_pass grpc://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT';
my %script = (
    read => <<'E',
        "trace": true, "on_response_trailers": [
            ["get_header_map_size", "response_trailers"],
            ["get_header_map_pairs", "response_trailers"],
            ["get_header_map_value", "response_trailers", "X-First"],
            ["get_header_map_value", "response_trailers", "x-none"]]
E
    change => <<'E',
        "on_response_trailers": [
            ["add_header_map_value", "response_trailers", "X-Added", "a"],
            ["add_header_map_value", "response_trailers", "X-Added", "b"],
            ["replace_header_map_value", "response_trailers", "x-first", "new"],
            ["remove_header_map_value", "response_trailers", "x-second"]]
E
    set => '"on_response_trailers": [["set_header_map_pairs", "response_trailers", [["x-only", "this"]]]]',
    refused => <<'E',
        "on_response_trailers": [
            ["add_header_map_value", "response_trailers", ":status", "500"],
            ["add_header_map_value", "response_trailers", "x-bad", "a\nb"],
            ["add_header_map_value", "response_trailers", "content-length", "1"],
            ["set_header_map_pairs", "response_trailers", [["x-a", "b"], [":status", "500"]]]]
E
    close      => $whole . ', "on_response_trailers": [["close_stream", "response"]]',
    answer     => $whole . ', "on_response_trailers": [["send_local_response", 403, "no", [["x-a", "1"]]]]',
    bad        => $whole . ', "on_response_trailers": [["return", 2]]',
    rewritten  => '"on_response_body": [{"if": ["eq", "${body_size}", "5"], "then": [["set_buffer_bytes", "response_body", "something else"]]}]',
    resumed    => "$held, " . in_tick('["add_header_map_value", "response_trailers", "x-late", "1"], ["continue_stream", "response"]'),
    answered   => "$whole, $held, " . in_tick('["send_local_response", 403, "no"]'),
    timed_out  => "$whole, $held",
    new        => '"trace": true, "on_response_headers": [["add_header_map_value", "response_trailers", "x-new", "1"]]',
    new_at_end => '"trace": true, "on_response_body": [{"if": ["eq", "${end_of_stream}", "true"], "then": [["add_header_map_value", "response_trailers", "x-sum", "${body_size}"]]}]',
    none       => '"on_response_trailers": [["remove_header_map_value", "response_trailers", "x-first"], ["remove_header_map_value", "response_trailers", "x-second"]]',
    request    => <<'E',
        "trace": true, "on_request_body": [
            ["get_header_map_pairs", "request_trailers"],
            ["add_header_map_value", "request_trailers", "x-a", "b"]]
E
);

my %conf = (
    user_files  => ">>> t.txt\nhello\n",
    http_config => <<'E',
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
    server {
        listen 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT http2;
        default_type application/grpc;
        location / {
            add_trailer X-First one;
            add_trailer X-Second two;
            content_by_lua_block { ngx.print("hello") }
        }
        location /plain { content_by_lua_block { ngx.print("hello") } }
    }
E
    config => join('', map { "location /$_ { proxy_wasm hostcalls '{$script{$_}}'; $upstream; }\n" } sort keys %script) . <<"E",
        location /never { wasm_response_body never; proxy_wasm hostcalls '{$script{read}}'; $upstream; }
        location /plain { proxy_wasm hostcalls '{$script{read}}'; $upstream; }
        location /plain/new { proxy_wasm hostcalls '{$script{new}}'; $upstream; }
        location /plain/new_at_end { proxy_wasm hostcalls '{$script{new_at_end}}'; $upstream; }
        location /late { wasm_pause_timeout 50ms; proxy_wasm hostcalls '{$script{timed_out}}'; $upstream; }
        location /file/new/ { proxy_wasm hostcalls '{$script{new}}'; alias html/; }
        location /file/new_at_end/ { proxy_wasm hostcalls '{$script{new_at_end}}'; alias html/; }
        location /file/nginx/ { add_trailer X-Nginx 1; proxy_wasm hostcalls '{$script{new}}'; alias html/; }
        location /two { proxy_wasm hostcalls '{$script{change}}'; proxy_wasm hostcalls '{$script{read}}'; $upstream; }
        location /gone { proxy_wasm hostcalls '{$script{none}}'; proxy_wasm hostcalls '{$script{read}}'; $upstream; }
E
);

my $s;
my @http;

# Header, body and trailers as curl got them.
sub fetch {
    my ($path, @options) = @_;
    my @command = ('curl', '-s', '-D', '-', '-m', 10, @http, @options, 'http://127.0.0.1:' . $s->port . $path);
    open my $out, '-|', @command or die "curl: $!\n";
    my $all = do { local $/; <$out> } // '';
    my ($status, $header, $rest) = $all =~ m{\AHTTP/\S+ (\d+).*?\r\n(.*?\r\n)\r\n(.*)\z}s or return {};
    # Over HTTP/1.1 the body is all that ends with no CR LF.
    my @trailers = $rest =~ /((?i)x-[\w-]+: [^\r\n]*)\r\n/g;
    $rest =~ s/x-[\w-]+: [^\r\n]*\r\n//gi;
    $rest =~ s/\r\n\z//;
    return { status => $status, header => lc $header, body => $rest, trailers => join ', ', map { lc } @trailers };
}

sub is_served {
    my ($path, $body, $trailers, @options) = @_;
    my $r = fetch($path, @options);
    is $r->{status}, 200, "$path: status";
    is $r->{body}, $body, "$path: body";
    is $r->{trailers}, $trailers, "$path: trailers" or note explain $r;
    return $r;
}

for my $version (qw(1.1 2)) {
    $s    = start_nginx(%conf, http2 => $version eq '2');
    @http = $version eq '2' ? '--http2-prior-knowledge' : ();
    my $both = 'x-first: one, x-second: two';

    subtest "HTTP/$version: read" => sub {
        is_served('/read', 'hello', $both);
        like $s->error_log, qr/on_response_body \d+ \d true.*on_response_trailers \d+ 2/s, 'after the end of the body, with their number';
        like $s->error_log, qr/get_header_map_pairs response_trailers -> OK x-first: one \| x-second: two/, 'all';
        like $s->error_log, qr/get_header_map_value response_trailers X-First -> OK one/, 'one by its name';
        like $s->error_log, qr/get_header_map_value response_trailers x-none -> NOT_FOUND/, 'one that is not there';
        $s->mark_log;
        is_served('/never', 'hello', $both);
        like $s->error_log, qr/on_response_trailers \d+ 2/, 'also by a plugin that is not to see the body';
        unlike $s->error_log, qr/on_response_body/, 'which it does not';
        $s->mark_log;
        is_served('/plain', 'hello', '');
        is fetch('/read', '-I')->{status}, 200, 'HEAD';
        unlike $s->error_log, qr/on_response_trailers/, 'none, no callback';
    };

    subtest "HTTP/$version: changed" => sub {
        is_served('/change', 'hello', 'x-added: a, x-added: b, x-first: new');
        is_served('/set', 'hello', 'x-only: this');
        is_served('/none', 'hello', '');
        is_served('/rewritten', 'something else', $both);
        is_served('/two', 'hello', 'x-added: a, x-added: b, x-first: new');
        like $s->error_log, qr/on_response_trailers \d+ 3.*x-added: a \| x-added: b \| x-first: new/s, 'a plugin sees what the one before left';
        $s->mark_log;
        is_served('/gone', 'hello', '');
        unlike $s->error_log, qr/on_response_trailers/, 'and nothing, if that is nothing';
        is_served('/refused', 'hello', $both);
        like $s->error_log, qr/add_header_map_value response_trailers :status 500 -> BAD_ARGUMENT/, 'no pseudo headers';
        like $s->error_log, qr/add_header_map_value response_trailers x-bad a\\nb -> BAD_ARGUMENT/, 'no two lines';
        like $s->error_log, qr/add_header_map_value response_trailers content-length 1 -> OK/, 'what frames the body is ignored';
        like $s->error_log, qr/set_header_map_pairs response_trailers .* -> BAD_ARGUMENT/, 'a map with a bad one is none';
    };

    subtest "HTTP/$version: made for a response that had none" => sub {
        is_served('/plain/new', 'hello', 'x-new: 1');
        like $s->error_log, qr/on_response_trailers \d+ 1/, 'are trailers as others';
        is_served('/plain/new_at_end', 'hello', 'x-sum: 0');
        return if $version eq '2';    # curl looks no further than the length
        my $r = is_served('/file/new/t.txt', "hello\n", 'x-new: 1');
        like $r->{header}, qr/transfer-encoding: chunked/, 'need chunks';
        unlike $r->{header}, qr/content-length/, 'and no length';
        is_served('/file/new_at_end/t.txt', "hello\n", 'x-sum: 6');
        is_served('/file/nginx/t.txt', "hello\n", 'x-new: 1, x-nginx: 1');
        is fetch('/file/new/t.txt', '-0')->{body}, "hello\n", 'HTTP/1.0 has none';
    };

    subtest "HTTP/$version: held" => sub {
        is_served('/resumed', 'hello', "$both, x-late: 1");
        my $r = fetch('/answered');
        is "$r->{status} $r->{body}$r->{trailers}", '403 no', 'answered';
        is fetch('/late')->{status}, 504, 'held too long';
        like $s->error_log, qr/plugin "hostcalls" held the response past wasm_pause_timeout/, 'an error line says so';
    };

    subtest "HTTP/$version: what else a plugin may want" => sub {
        my $r = fetch('/answer');
        is "$r->{status} $r->{body}$r->{trailers}", '403 no', 'an answer in place of a response of which nothing was sent';
        like $r->{header}, qr/x-a: 1/, 'with its header';
        is fetch('/close')->{status}, undef, 'no answer at all';
        is fetch('/bad')->{status}, 503, 'something that is none of the ABI';
    };
    $s->stop(allow => [qr/\[error\]/]);
}

$s = start_nginx(%conf, config => $conf{config} . <<"E");
    location /echo { proxy_wasm hostcalls '{$script{request}}'; proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/body; }
    location /body { content_by_lua_block { ngx.req.read_body() ngx.print(ngx.req.get_body_data()) } }
E

subtest 'those of a request nginx does not keep' => sub {
    my $c = $s->connect;
    $c->send_bytes("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-End: 1\r\n\r\n");
    is $c->read_response->{body}, 'hello', 'the body is as it was';
    unlike $s->error_log, qr/on_request_trailers/, 'no callback';
    like $s->error_log, qr/get_header_map_pairs request_trailers -> OK ""/, 'an empty map';
    like $s->error_log, qr/add_header_map_value request_trailers x-a b -> NOT_FOUND/, 'to which nothing can be added';
};

$s->stop(allow => [qr/\[error\]/]);
done_testing;
