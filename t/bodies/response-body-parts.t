# Responses that nginx makes of several requests: plugins see the body once, to one end.
#
# `slice` fetches a response in parts, which are one body to plugins. What `add_before_body`,
# `add_after_body` and `ssi` put into a response plugins do not see, which nginx -t says.

use lib '.';
use t::ProxyWasm;

my $trace = '"trace": true';
my $tail  = q{"trace": true, "on_response_body": [
    {"if": ["eq", "${end_of_stream}", "true"], "then": [["set_buffer_bytes", "response_body", "TAIL", 99999999, 0]]}]};
my $whole = q{"trace": true, "on_response_body": [
    {"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "pause"]]},
    ["set_buffer_bytes", "response_body", "<", 0, 0], ["set_buffer_bytes", "response_body", ">", 99999999, 0]]};
# Pauses at each piece, and goes on with the answer to a call.
my $calls = q{"trace": true, "on_response_body": [
        {"if": ["not", ["eq", "${end_of_stream}", "true"]], "then": [
            ["http_call", "callee", [[":method", "GET"], [":path", "/called"], [":authority", "x"]]], ["return", "pause"]]}],
    "on_http_call_response": [["continue_stream", "response"]]};
my $held = q{"on_response_headers": [
        ["http_call", "callee", [[":method", "GET"], [":path", "/called"], [":authority", "x"]]], ["return", "pause"]],
    "on_response_body": [], "on_http_call_response": [["continue_stream", "response"]]};
# It can see bodies, and not change them.
my $onlooker = <<'E';
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "a piece")
  (data (i32.const 16) "the end")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 1024)
  (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
    (drop (call $log (i32.const 2) (select (i32.const 16) (i32.const 0) (local.get 2)) (i32.const 7)))
    i32.const 0))
E
my %script = (trace => $trace, tail => $tail, whole => $whole, calls => $calls, held => $held);

my $large = join '', map { sprintf "%07d\n", $_ } 1 .. 40_000;
my %plugin = ((map { ($_ => "proxy_wasm hostcalls '{$script{$_}}';") } keys %script), none => '', onlooker => 'proxy_wasm onlooker;');
my $config = join '', map { <<"E" } sort keys %plugin;
    location /$_/added/ { add_before_body /before; add_after_body /after; addition_types *; $plugin{$_} alias html/; }
    location /$_/after/ { add_after_body /after; addition_types *; $plugin{$_} alias html/; }
    location /$_/ssi/ { ssi on; ssi_types *; $plugin{$_} alias html/; }
    location /$_/auth/ { auth_request /auth; $plugin{$_} alias html/; }
    location /$_/mirror/ { mirror /mirror; $plugin{$_} alias html/; }
    location /$_/sub/ { sub_filter_types *; sub_filter i I; sub_filter_once off; $plugin{$_} alias html/; }
    location /$_/sliced/ { $plugin{$_} slice 64k; proxy_set_header Range \$slice_range; proxy_http_version 1.1; proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT/; }
    location /$_/unbuffered/ { $plugin{$_} slice 64k; proxy_buffering off; proxy_set_header Range \$slice_range; proxy_http_version 1.1; proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT/; }
    location /$_/cached/ { $plugin{$_} sendfile on; slice 100k; proxy_cache cache; proxy_cache_key \$uri\$slice_range; proxy_cache_valid 200 206 1h; proxy_set_header Range \$slice_range; proxy_http_version 1.1; proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT/; }
    location /$_/ranges/ { $plugin{$_} proxy_force_ranges on; proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT/; }
E

my %conf = (
    user_files  => ">>> t.txt\nmain\n>>> i.txt\nin<!--# include virtual=\"/before\" -->side\n>>> onlooker.wat\n$onlooker>>> large\n$large",
    http_config => <<'E',
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_plugin onlooker $TEST_NGINX_HTML_DIR/onlooker.wat;
    proxy_cache_path $TEST_NGINX_SERVER_ROOT/cache keys_zone=cache:1m;
    upstream callee { server 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT; }
    server {
        listen 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
        access_log off;
        location / { root html; max_ranges 1; }
        location /called { return 200 called; }
    }
E
    config => $config . <<'E',
    location /before { return 200 "before "; }
    location /after { return 200 " after"; }
    location /auth { return 204; }
    location /mirror { return 200 "not for the client"; }
E
);

for my $version (qw(1.1 2)) {
    my $s    = start_nginx(%conf, http2 => $version eq '2');
    my @http = $version eq '2' ? '--http2-prior-knowledge' : ();
    my $get  = sub {
        my ($path, @more) = @_;
        $s->mark_log;
        my @command = ('curl', '-sS', '-m', 20, '-w', '\n%{http_code} %{size_download}', @http, @more);
        open my $curl, '-|', @command, 'http://127.0.0.1:' . $s->port . $path or die $!;
        my $all = do { local $/; <$curl> };
        my ($body, $status) = $all =~ /\A(.*)\n(\d+) \d+\z/s;
        return { body => $body, status => $status };
    };
    my $ends = sub {
        ok $s->wait_for_log(qr/on_delete/), "$_[0]: the request has ended";
        return scalar(my @ends = $s->error_log =~ /on_response_body \d+ \d+ true/g);
    };
    my $is = sub {
        my ($path, $body, @more) = @_;
        my $r = $get->($path, @more);
        ok $r->{body} eq $body, "HTTP/$version $path" or note length($r->{body}), ' bytes: ', substr $r->{body}, 0, 100;
        is $ends->($path), 1, "$path: one end" if $path !~ m{^/(none|held|onlooker)};
    };

    subtest "HTTP/$version: what is added" => sub {
        $is->('/tail/after/t.txt',  "main\nTAIL after");
        $is->('/tail/added/t.txt',  "before main\nTAIL after");
        $is->('/whole/added/t.txt', "before <main\n> after");
        $is->('/calls/added/t.txt', "before main\n after");
        $is->('/held/added/t.txt',  "before main\n after");
        $is->('/trace/added/large', "before $large after");
        $is->('/whole/added/large', "before <$large> after");
        $is->('/tail/ssi/i.txt',    "inbefore side\nTAIL");
        $is->('/whole/ssi/i.txt',   "<inbefore side\n>");
        $is->('/tail/auth/t.txt',   "main\nTAIL");
        $is->('/tail/mirror/t.txt', "main\nTAIL");
        $is->('/tail/sub/i.txt',    "In<!--# Include vIrtual=\"/before\" -->sIde\nTAIL");
    };

    for my $way (qw(sliced unbuffered cached cached)) {
        subtest "HTTP/$version: parts, $way" => sub {
            $is->("/$_/$way/large", $large) for qw(none trace calls held onlooker);
            $is->("/tail/$way/large", $large . 'TAIL');
            $is->("/whole/$way/large", "<$large>");
            $is->("/tail/$way/t.txt", "main\nTAIL");
            $is->("/whole/$way/t.txt", "<main\n>");
            my $range = substr $large, 150_000, 100_001;
            my @range = ('-H', 'Range: bytes=150000-250000');
            $is->("/$_/$way/large", $range, @range) for qw(none onlooker);
            like $s->error_log, qr/a piece.*the end/s, 'an onlooker sees the range, and an end';
            $is->("/tail/$way/large", $large . 'TAIL', @range);
            is $get->("/trace/$way/none")->{status}, 404, 'none';
        };
    }

    subtest "HTTP/$version: a range that nginx cuts out" => sub {
        my @range = ('-H', 'Range: bytes=150000-250000');
        my $r = $get->('/onlooker/ranges/large', @range);
        ok $r->{body} eq substr($large, 150_000, 100_001), 'is what the client gets';
        is scalar(my @ends = $s->error_log =~ /the end/g), 1, 'and has one end';
    };
    $s->stop;
}

subtest 'nginx -t says what plugins do not see' => sub {
    my $s = start_nginx(
        http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;',
        config      => <<'E',
    location /before { add_before_body /x; proxy_wasm hostcalls '{}'; }
    location /after { add_after_body /x; proxy_wasm hostcalls '{}'; }
    location /ssi { ssi on; proxy_wasm hostcalls '{}'; location /ssi/off { ssi off; } }
    location /never { ssi on; wasm_response_body never; proxy_wasm hostcalls '{}'; }
    location /without { ssi on; add_after_body /x; }
E
    );
    my $log = $s->error_log;
    for my $name (qw(add_before_body add_after_body ssi)) {
        my @lines = $log =~ /(\[warn\].*"$name" adds to responses what plugins do not see.*)/g;
        is scalar(@lines), 1, "$name: one line" or note $log;
        like $lines[0] // '', qr/those of "proxy_wasm" in .*nginx\.conf:\d+ among them/, 'which says where';
    }
    $s->stop;
};

done_testing;
