# Bodies, pauses, answers and trailers as plugins of the Rust and Go SDKs have them, on the
# native path and driven from Lua as APISIX does. What each is in detail stands in t/bodies,
# t/callbacks and t/lua, with a guest of no SDK.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Upstream qw(upstream);

my $proxied = 'proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT';
my $grpc    = free_port();
my $call    = '["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", "/headers"]';

# script: what the plugin does; serve: what nginx does; send: the request; path: where, if not on both.
my @cases = (
    {
        name   => 'a request body is seen, with its size and end',
        script => '"on_request_body": [["get_buffer_bytes", "request_body"]]',
        serve  => "$proxied/echo;", send => { body => 'hello' }, body => 'hello',
        log    => qr/on_request_body \d+ 5 true.*get_buffer_bytes request_body -> hello/s,
    },
    {
        name   => 'no request body, no callback',
        script => '"on_request_body": [["get_buffer_bytes", "request_body"]]',
        serve  => "$proxied/echo;", body => '', log => qr/on_request_headers \d+ \d+ true/, no_log => qr/on_request_body/,
    },
    {
        name   => 'a request body is replaced, and upstream told its length',
        script => '"on_request_body": [["set_buffer_bytes", "request_body", "something else"]]',
        serve  => "$proxied/echo;", send => { body => 'hello' }, body => 'something else', headers => { 'x-length' => 14 },
    },
    {
        name   => 'prepended and appended',
        script => '"on_request_body": [["set_buffer_bytes", "request_body", "<", 0, 0], ["set_buffer_bytes", "request_body", ">", 1000000, 0]]',
        serve  => "$proxied/echo;", send => { body => 'hello' }, body => '<hello>',
    },
    {
        name   => 'a body that nginx has in a file',
        script => '"on_request_body": [["set_buffer_bytes", "request_body", "<", 0, 0]]',
        serve  => "client_body_buffer_size 1k; $proxied/echo;", send => { body => 'x' x 50_000 }, body => '<' . 'x' x 50_000,
        log    => qr/on_request_body \d+ 50000 true/,
    },
    {
        name   => 'a chunked body, with proxy_request_buffering off',
        script => '"on_request_body": [["set_buffer_bytes", "request_body", "<", 0, 0]]',
        serve  => "proxy_request_buffering off; $proxied/echo;",
        send   => { headers => ['Transfer-Encoding' => 'chunked'], body => "5\r\nhello\r\n0\r\n\r\n" },
        body   => '<hello', headers => { 'x-length' => 6, 'x-encoding' => 'none' },
    },
    {
        name   => 'a client that expects 100-continue',
        script => '"on_request_body": [["set_buffer_bytes", "request_body", "<", 0, 0]]',
        serve  => "$proxied/echo;", send => { headers => [Expect => '100-continue'], body => 'hello' }, body => '<hello',
    },
    {
        name   => 'the body is asked for by property',
        script => '"on_request_headers": [["set_property", "wasm_process_req_body", "1"]],
                   "on_request_body": [["set_buffer_bytes", "request_body", "<", 0, 0]]',
        mode   => 'wasm_request_body property; wasm_response_body property;',
        serve  => "$proxied/echo;", send => { body => 'hello' }, body => '<hello', no_log => qr/on_response_body/,
    },
    {
        name   => 'a response is seen to its end',
        script => '"on_response_body": [["get_buffer_bytes", "response_body"]]',
        serve  => "proxy_buffering off; $proxied/pieces;", body => 'one two three',
        log    => qr/on_response_body \d+ 4 false.*get_buffer_bytes response_body -> one .*on_response_body \d+ \d true/s,
    },
    {
        name   => 'a response is replaced, and what told of the old one dropped',
        script => '"on_response_body": [{"until_end": [["set_buffer_bytes", "response_body", "something else"]]}]',
        serve  => "$proxied/headers;", body => 'something else',
        headers => { etag => undef, 'content-md5' => undef, 'accept-ranges' => undef, 'last-modified' => undef },
    },
    {
        name   => 'held until the whole is there',
        script => '"on_response_body": [{"until_end": [["get_buffer_bytes", "response_body"], ["set_buffer_bytes", "response_body", "<", 0, 0]]}]',
        serve  => "proxy_buffering off; $proxied/pieces;", body => '<one two three',
        log    => qr/get_buffer_bytes response_body -> one two three/,
    },
    {
        name   => 'a part of the body, asked for by Range',
        script => '"on_response_body": [{"until_end": [["set_buffer_bytes", "response_body", "something else"]]}]',
        serve  => 'alias html/t.txt;', send => { headers => [Range => 'bytes=1-2'] }, body => 'something else',
    },
    {
        name   => 'HEAD has no body to see',
        script => '"on_response_body": [["get_buffer_bytes", "response_body"]]',
        serve  => "$proxied/headers;", send => { method => 'HEAD' }, body => '', log => qr/on_response_headers \d+ \d+ true/, no_log => qr/on_response_body/,
    },
    {
        name   => 'nor has 304',
        script => '"on_response_body": [["get_buffer_bytes", "response_body"]]',
        serve  => 'if_modified_since before; alias html/t.txt;',
        send   => { headers => ['If-Modified-Since' => 'Fri, 31 Dec 2038 00:00:00 GMT'] }, status => 304, no_log => qr/on_response_body/,
    },
    {
        name   => 'nor has 204',
        script => '"on_response_body": [["get_buffer_bytes", "response_body"]]',
        serve  => 'content_by_lua_block { ngx.exit(204) }', status => 204,
        log    => qr/on_response_headers \d+ \d+ true/, no_log => qr/on_response_body/,
    },
    {
        name   => 'a subrequest is no response of its own',
        script => '"on_response_body": [["get_buffer_bytes", "response_body"]]',
        serve  => 'add_before_body /error.txt; addition_types *; alias html/t.txt;', body => "sorry\nhello\n",
        once   => 'on_response_headers', log => qr/get_buffer_bytes response_body -> hello/, path => 'native',
    },
    {
        name   => 'with X-Accel-Redirect, the response is what it leads to',
        script => '"on_response_body": [["get_buffer_bytes", "response_body"]]',
        serve  => 'proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/accel;', body => "sorry\n",
        log    => qr/get_buffer_bytes response_body -> sorry/, path => 'native',
    },
    {
        name   => 'an error_page is the response',
        script => '"on_response_body": [["get_buffer_bytes", "response_body"]]',
        serve  => 'error_page 502 =200 /error.txt; proxy_pass http://127.0.0.1:1;', body => "sorry\n",
        log    => qr/get_buffer_bytes response_body -> sorry/, path => 'native',
    },
    {
        name   => 'gzip packs what the plugin made',
        script => '"on_response_body": [{"until_end": [["set_buffer_bytes", "response_body", "something else"]]}]',
        serve  => "gzip on; gzip_types *; gzip_proxied any; gzip_min_length 1; $proxied/headers;",
        send   => { headers => ['Accept-Encoding' => 'gzip'] }, headers => { 'content-encoding' => 'gzip' },
    },
    {
        name   => 'request headers are held for a call',
        script => qq{"on_request_headers": [$call, ["return"]],
                     "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["continue_stream", "request"]]},
        serve  => "$proxied/echo;", send => { body => 'hello' }, body => 'hello', log => qr/get_buffer_bytes call_response_body -> hello/,
    },
    {
        name   => 'a request is not held longer than wasm_pause_timeout',
        script => '"on_request_headers": [["return"]]',
        serve  => "wasm_pause_timeout 50ms; $proxied/echo;", status => 504,
        log    => qr/held the request past wasm_pause_timeout/, path => 'native',
    },
    {
        name   => 'a request body is held for a call',
        script => qq{"on_request_body": [$call, ["return"]],
                     "on_http_call_response": [["set_buffer_bytes", "request_body", "<", 0, 0], ["continue_stream", "request"]]},
        serve  => "$proxied/echo;", send => { body => 'hello' }, body => '<hello',
    },
    {
        name   => 'response headers are held for a call',
        script => qq{"on_response_headers": [$call, ["return"]],
                     "on_http_call_response": [["replace_header_map_value", "response", "x-called", "1"], ["continue_stream", "response"]]},
        serve  => "$proxied/headers;", body => 'hello', headers => { 'x-called' => 1 }, path => 'native',
    },
    {
        name   => 'the end of a response body is held for a call',
        script => qq{"on_response_body": [{"until_end": [$call, ["return"]]}],
                     "on_http_call_response": [["continue_stream", "response"]]},
        serve  => "$proxied/headers;", body => 'hello', log => qr/on_http_call_response/,
    },
    {
        name   => 'answered from the request headers',
        script => '"on_request_headers": [["send_local_response", 403, "no"], ["return"]]',
        serve  => "$proxied/echo;", send => { body => 'hello' }, status => 403, body => 'no', headers => { 'x-local' => 1 },
        once   => 'on_response_headers',
    },
    {
        name   => 'answered from the request body',
        script => '"on_request_body": [["send_local_response", 403, "no"], ["return"]]',
        serve  => "$proxied/echo;", send => { body => 'hello' }, status => 403, body => 'no', once => 'on_response_headers',
    },
    {
        name   => 'answered in place of a response',
        script => '"on_response_headers": [["send_local_response", 403, "no"]]',
        serve  => "$proxied/headers;", status => 403, body => 'no', headers => { etag => undef }, once => 'on_response_headers',
    },
    {
        name   => 'answered from the response body, before anything was sent',
        script => '"on_response_body": [{"until_end": [["send_local_response", 403, "no"]]}]',
        serve  => "$proxied/headers;", status => 403, body => 'no', path => 'native',
    },
    {
        name   => 'answered by the call that the request waits for',
        script => qq{"on_request_headers": [$call, ["return"]], "on_http_call_response": [["send_local_response", 403, "no"]]},
        serve  => "$proxied/echo;", status => 403, body => 'no',
    },
    {
        name   => 'trailers are seen and changed',
        script => '"on_response_trailers": [["get_header_map_value", "response_trailers", "x-first"],
                   ["replace_header_map_value", "response_trailers", "x-new", "1"], ["remove_header_map_value", "response_trailers", "x-second"]]',
        serve  => "grpc_pass grpc://127.0.0.1:$grpc;", body => 'hello', trailers => { 'x-first' => 'one', 'x-new' => 1 },
        log    => qr/on_response_trailers \d+ 2.*get x-first -> one/s,
    },
    {
        name   => 'on_log knows the final status and sizes',
        script => '"on_log": [["get_property", "status"], ["get_property", "body_bytes_sent"], ["get_header_map_value", "response", ":status"]]',
        serve  => "$proxied/headers;", body => 'hello', log => qr/get status -> 200.*get body_bytes_sent -> [1-9].*get :status -> 200/s,
    },
);

my %guest = map { ($_ => "$ENV{TEST_NGINX_PLUGINS}/$_.wasm") } qw(rust-streams go-streams);

sub location {
    my ($path, $guest, $case) = @_;
    my $plugin = $path eq 'native' ? "proxy_wasm $guest '{$case->{script}}';" : <<"E";
        set \$wasm_process_req_body '';
        set \$wasm_process_resp_body '';
        set \$script '{$case->{script}}';
        access_by_lua_block { access("$guest") }
        header_filter_by_lua_block { header_filter() }
        body_filter_by_lua_block { body_filter() }
E
    my $mode = $case->{mode} // 'wasm_request_body always; wasm_response_body always;';
    return "location /$path/$guest/$case->{number} { $mode $plugin $case->{serve} }\n";
}

sub runs { return !$_[0]{path} || $_[0]{path} eq $_[1] }

$cases[$_]{number} = $_ for 0 .. $#cases;
my $config = '';
for my $path (qw(native lua)) {
    for my $guest (sort keys %guest) {
        $config .= location($path, $guest, $_) for grep { runs($_, $path) } @cases;
    }
}

my %conf = (
    lua         => 1,
    user_files  => [['t.txt', "hello\n"], ['error.txt', "sorry\n"]],
    http_config => join('', map { "wasm_plugin $_ $guest{$_};\n" } sort keys %guest) . upstream() . <<"E",
    server {
        listen 127.0.0.1:$grpc http2;
        add_trailer X-First one;
        add_trailer X-Second two;
        location / { content_by_lua_block { ngx.print("hello") } }
    }
    init_worker_by_lua_block {
        local wasm = require("resty.proxy-wasm")
        local plugins = {}
        local contexts = {}

        local function context(guest, script)
            if not contexts[guest .. script] then
                plugins[guest] = plugins[guest] or assert(wasm.load(guest, "$ENV{TEST_NGINX_PLUGINS}/" .. guest .. ".wasm"))
                contexts[guest .. script] = assert(wasm.on_configure(plugins[guest], script))
            end
            return contexts[guest .. script]
        end

        local function request_body()
            ngx.req.read_body()
            local name = ngx.req.get_body_file()
            if not name then return ngx.req.get_body_data() end
            local file = assert(io.open(name, "rb"))
            local body = file:read("*a")
            file:close()
            return body
        end

        local function check(ok, err)
            if not ok then
                ngx.log(ngx.INFO, err)
                return ngx.exit(503)
            end
        end

        function access(guest)
            local ctx = context(guest, ngx.var.script)
            ngx.ctx.wasm = ctx
            check(wasm.on_http_request_headers(ctx))
            if ngx.var.wasm_process_req_body ~= "" then
                ngx.var.wasm_process_req_body = ""
                local body = request_body()
                if body then check(wasm.on_http_request_body(ctx, body, true)) end
            end
        end

        function header_filter()
            if not ngx.ctx.wasm then return end
            check(wasm.on_http_response_headers(ngx.ctx.wasm))
            if ngx.var.wasm_process_resp_body ~= "" then
                ngx.var.wasm_process_resp_body = ""
                ngx.ctx.sees_response_body = true
            end
        end

        function body_filter()
            if ngx.ctx.sees_response_body then assert(wasm.on_http_response_body(ngx.ctx.wasm)) end
        end
    }
E
    config => $config . <<"E",
    location = /error.txt { }
    location = /accel { add_header X-Accel-Redirect /error.txt; return 200; }
    location = /both {
        proxy_wasm rust-streams '{"on_request_body": [["set_buffer_bytes", "request_body", "rust ", 0, 0], $call, ["return"]],
            "on_http_call_response": [["continue_stream", "request"]],
            "on_response_body": [{"until_end": [["set_buffer_bytes", "response_body", " rust", 1000000, 0]]}]}';
        proxy_wasm go-streams '{"on_request_body": [["get_buffer_bytes", "request_body"], ["set_buffer_bytes", "request_body", "go ", 0, 0]],
            "on_response_body": [{"until_end": [["set_buffer_bytes", "response_body", " go", 1000000, 0]]}]}';
        $proxied/echo;
    }
E
);

my $s = start_nginx(%conf);

for my $guest (sort keys %guest) {
    for my $path (qw(native lua)) {
        subtest "$guest, $path" => sub {
            check($_, "/$path/$guest/$_->{number}") for grep { runs($_, $path) } @cases;
        };
    }
}

sub check {
    my ($case, $uri) = @_;
    my %send = %{ $case->{send} || {} };
    my $method = delete $send{method} // (defined $send{body} ? 'POST' : 'GET');
    $s->mark_log;
    my $r = eval { $s->request($method, $uri, %send) };
    my $name = $case->{name};
    is $r->{status}, $case->{status} // 200, "$name: status";
    is $r->{body}, $case->{body}, "$name: body" if defined $case->{body};
    is $r->{headers}{$_}, $case->{headers}{$_}, "$name: $_" for sort keys %{ $case->{headers} || {} };
    is_deeply $r->{trailers}, $case->{trailers}, "$name: trailers" if $case->{trailers};
    ok $s->wait_for_log(qr/free http context/), "$name: over";
    my $log = $s->error_log;
    like $log, $case->{log}, "$name: seen" if $case->{log};
    unlike $log, $case->{no_log}, "$name: not seen" if $case->{no_log};
    is scalar(() = $log =~ /$case->{once}/g), 1, "$name: $case->{once} once" if $case->{once};
    is scalar(() = $log =~ /\bon_log \d/g), 1, "$name: logged once";
}

subtest 'both in a row: each sees what the other left, and waits for it' => sub {
    $s->mark_log;
    is $s->post('/both', 'hello')->{body}, 'go rust hello rust go', 'the body';
    like $s->error_log, qr/on_http_call_response.*get_buffer_bytes request_body -> rust hello/s, 'in order';
    ok $s->wait_for_log(qr/free http context/, count => 2), 'over';
};

subtest 'a client that leaves while a plugin holds its request' => sub {
    for my $guest (sort keys %guest) {
        my ($case) = grep { $_->{name} eq 'request headers are held for a call' } @cases;
        $s->mark_log;
        my $c = $s->connect;
        $c->send_request('GET', "/native/$guest/$case->{number}");
        $c->close;
        ok $s->wait_for_log(qr/free http context/), "$guest: is noticed";
        is scalar(() = $s->error_log =~ /\bon_log \d/g), 1, "$guest: logged once";
    }
};

is join('', grep { /\[error\]/ && !/connect\(\) failed|held the request past/ } split /^/, $s->error_log), '', 'no error line';
$s->stop(allow => [qr/\[error\]/]);

$s = start_nginx(%conf, http2 => 1);
subtest 'HTTP/2' => sub {
    for my $guest (sort keys %guest) {
        for my $path (qw(native lua)) {
            for my $name ('a request body is replaced, and upstream told its length', 'held until the whole is there') {
                my ($case) = grep { $_->{name} eq $name } @cases;
                my @send = $case->{send} ? ('-d', $case->{send}{body}) : ();
                open my $out, '-|', 'curl', '-s', '-m', 10, '--http2-prior-knowledge', @send,
                    'http://127.0.0.1:' . $s->port . "/$path/$guest/$case->{number}" or die "curl: $!\n";
                local $/;
                is scalar(<$out>), $case->{body}, "$guest, $path: $name";
            }
        }
    }
};
$s->stop;
done_testing;
