# Over HTTP/3: what plugins see of requests and responses, change in them, and hold.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Http3 ();

my $missing = ProxyWasm::Http3::missing();
plan skip_all => $missing if $missing;

my $h3 = ProxyWasm::Http3->new;
my $s  = start_nginx(
    user_files  => [['large.txt', '0123456789' x 20_000 . 'whole']],
    http_config => "wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls.wasm;\n",
    config      => $h3->config . <<'E',
        location = /headers {
            proxy_wasm hostcalls '{
                "on_request_headers": [
                    {"op": "get_header_map_pairs", "args": ["request"], "as": "pairs", "quiet": true},
                    {"op": "get_property", "args": ["request", "protocol"], "as": "protocol", "quiet": true},
                    ["remove_header_map_value", "request", "x-b"],
                    ["replace_header_map_value", "request", ":path", "/back/of/plugin"],
                    ["add_header_map_value", "request", "x-of-plugin", "yes"]
                ],
                "on_response_headers": [
                    ["add_header_map_value", "response", "x-seen", "${pairs}"],
                    ["add_header_map_value", "response", "x-protocol", "${protocol}"],
                    ["replace_header_map_value", "response", ":status", "202"]
                ]
            }';
            proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT;
        }
        location /back/ { return 200 "$request_uri,$http_x_a,$http_x_b,$http_x_of_plugin"; }

        location = /answered {
            proxy_wasm hostcalls '{"on_request_headers": [["send_local_response", 418, "of plugin", [["x-a", "b"]]], ["return", "pause"]]}';
            alias $TEST_NGINX_HTML_DIR/large.txt;
        }

        location = /echo {
            proxy_wasm hostcalls '{"on_request_body": [["set_buffer_bytes", "request_body", "> ", 0, 0]]}';
            proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/body;
        }
        location = /pieces {
            proxy_request_buffering off;
            proxy_http_version 1.1;
            proxy_wasm hostcalls '{"on_request_body": [{"if": ["not", ["eq", "${body_size}", "0"]],
                "then": [["set_buffer_bytes", "request_body", "> ", 0, 0]]}]}';
            proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/body;
        }
        location = /held {
            proxy_request_buffering off;
            proxy_http_version 1.1;
            proxy_wasm hostcalls '{"on_request_body": [{"if": ["eq", "${end_of_stream}", "true"],
                "then": [["set_buffer_bytes", "request_body", "> ", 0, 0]], "else": [["return", "pause"]]}]}';
            proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/body;
        }
        location = /body {
            client_body_buffer_size 1m;
            content_by_lua_block { ngx.req.read_body() ngx.print(ngx.req.get_body_data()) }
        }
        location = /changed {
            proxy_wasm hostcalls '{"on_response_body": [{"if": ["eq", "${count}", "1"],
                "then": [["set_buffer_bytes", "response_body", "> ", 0, 0]]}]}';
            alias $TEST_NGINX_HTML_DIR/large.txt;
        }

        location = /waits/request {
            proxy_wasm hostcalls '{
                "on_request_headers": [
                    ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/back/call"], [":authority", "u"]]],
                    ["return", "pause"]
                ],
                "on_http_call_response": [
                    {"op": "get_buffer_bytes", "args": ["call_response_body"], "as": "called", "quiet": true},
                    ["set_effective_context", "${caller}"],
                    ["add_header_map_value", "request", "x-a", "${called}"],
                    ["continue_stream", "request"]
                ]
            }';
            proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/back/;
        }
        location = /waits/response {
            proxy_wasm hostcalls '{
                "on_response_headers": [
                    ["http_call", "127.0.0.1:$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":path", "/back/call"], [":authority", "u"]]],
                    ["return", "pause"]
                ],
                "on_http_call_response": [
                    {"op": "get_buffer_bytes", "args": ["call_response_body"], "as": "called", "quiet": true},
                    ["set_effective_context", "${caller}"],
                    ["add_header_map_value", "response", "x-called", "${called}"],
                    ["continue_stream", "response"]
                ]
            }';
            alias $TEST_NGINX_HTML_DIR/large.txt;
        }
        location = /waits/long {
            wasm_pause_timeout 200ms;
            proxy_wasm hostcalls '{"on_request_headers": [["return", "pause"]]}';
            alias $TEST_NGINX_HTML_DIR/large.txt;
        }
E
);

sub fields {
    my ($got) = @_;
    return { map { @$_ } @{ $got->{headers} } };
}

subtest 'headers' => sub {
    my ($got) = $h3->ask({ method => 'GET', path => '/headers?q', headers => [['x-a', 'a'], ['x-b', 'b']] });
    is $got->{sees}, 202, 'the status is changed';
    is $got->{body}, '/back/of/plugin,a,,yes', 'path and fields of the request are changed';
    my $fields = fields($got);
    is $fields->{'x-protocol'}, 'HTTP/3', 'request.protocol';
    like $fields->{'x-seen'}, qr/^(?=.*:authority: localhost)(?=.*:method: GET)(?=.*:path: \/headers\?q)(?=.*:scheme: https)(?=.*x-b: b)/,
        'the pseudo headers and fields that the plugin sees';
    unlike $fields->{'x-seen'}, qr/(?:^|\| )host:/, 'there is no host beside :authority';

    ($got) = $h3->ask({ method => 'GET', path => '/answered' });
    is "$got->{sees} $got->{body}, " . fields($got)->{'x-a'}, '418 of plugin, b', 'a local response';
    is $got->{next}, 'next', 'the connection is in use still';
};

subtest 'bodies' => sub {
    my $body = 'x' x 300_000;
    my ($echo, $changed) = $h3->ask({ method => 'POST', path => '/echo', body => $body }, { method => 'GET', path => '/changed' });
    ok $echo->{body} eq "> $body", 'a request body is changed' or diag length $echo->{body};
    ok $changed->{body} eq '> ' . '0123456789' x 20_000 . 'whole', 'a response body is changed' or diag length $changed->{body};

    my @pieces = map { { method => 'POST', path => $_, body => ['first', 'second'] } } qw(/echo /pieces /held);
    my ($whole, $streamed, $held) = map { $_->{body} } $h3->ask(@pieces);
    is $whole, '> firstsecond', 'a body that comes in pieces is one where nginx buffers it';
    is $streamed, '> first> second', 'it streams through the plugin where nginx does not';
    is $held, '> firstsecond', 'unless the plugin holds it';
};

subtest 'pauses' => sub {
    my ($request, $response, $long) = $h3->ask(map { { method => 'GET', path => "/waits/$_" } } qw(request response long));
    like $request->{body}, qr{^/back/,/back/call,}, 'a request goes on when a call is answered, with what that said';
    is $response->{sees}, 'whole', 'so does a response';
    like fields($response)->{'x-called'}, qr{^/back/call}, 'with its header changed';
    ok $response->{body} eq '0123456789' x 20_000 . 'whole', 'and whole';
    is $long->{sees}, 504, 'a pause that takes too long ends with 504';
    is $_->{next}, 'next', 'the connection is in use still' for $request, $response, $long;
};

$s->stop(allow => [qr/\[error\]/]);
done_testing;
