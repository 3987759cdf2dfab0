# Requests that end while their client takes nothing: what nginx has not been able to send keeps the
# request, or its upstream, past its end.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Http2;

# Freed memory is overwritten: who uses it goes astray at once.
$ENV{MALLOC_PERTURB_} = 165;

my ($h2_port, $grpc_port) = (free_port(), free_port());
my $call = '["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT",'
    . ' [[":method", "GET"], [":path", "/when-told"], [":authority", "u"]]]';
my %then = (
    closes  => '["close_stream", "response"]',
    answers => '["send_local_response", 418, "tea"]',
    traps   => '["trap"]',
);

my $s = start_nginx(
    lua         => 1,
    user_files  => [['large.txt', '0123456789' x 1_600_000]],
    http_config => 'lua_shared_dict told 1m; lua_check_client_abort on;'
        . join('', map { "wasm_plugin $_ \$TEST_NGINX_PLUGINS/hostcalls.wasm;" } 'fails', sort keys %then)
        . <<"E",
    server {
        listen 127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT;
        listen 127.0.0.1:$grpc_port http2;
        # The header at once, whatever comes of the request.
        location /header-first {
            content_by_lua_block {
                ngx.send_headers() ngx.flush(true)
                ngx.req.read_body()
                ngx.log(ngx.INFO, "upstream has the request: ", ngx.req.get_body_data())
            }
        }
        location = /when-told {
            content_by_lua_block {
                while not ngx.shared.told:get("now") do ngx.sleep(0.01) end
                ngx.print("told")
            }
        }
    }
E
    config => "listen 127.0.0.1:$h2_port http2;" . <<"E"
        location = /next { return 200 next; }
        location = /tell {
            content_by_lua_block { ngx.shared.told:set("now", ngx.var.args == "now") ngx.print("done") }
        }
        location /header-first {
            wasm_request_body never;
            proxy_wasm fails '{"on_response_headers": [["trap"]]}';
            grpc_pass grpc://127.0.0.1:$grpc_port;
        }
E
        . join '', map { <<"E" } sort keys %then,
        location = /$_ {
            # One frame, larger than what sockets keep.
            sendfile on;
            http2_chunk_size 16000k;
            wasm_response_body never;
            proxy_wasm $_ '{"on_response_headers": [$call],
                "on_http_call_response": [["log", "info", "is told"], $then{$_}]}';
            alias \$TEST_NGINX_HTML_DIR/large.txt;
        }
E
);

subtest "gRPC's upstream has more to send when a page takes the place of its response" => sub {
    my $client = ProxyWasm::Http2->new(port => $h2_port);
    $client->set_window(0);
    $client->send_request('POST', '/header-first', 'some', unfinished => 1);
    ok $s->wait_for_log(qr/plugin "fails" failed/), 'the plugin fails';
    $client->send_data(' and more', 1);
    $client->set_window(0x7fffffff);
    my $r = $client->read_response;
    is $r->{status}, 503, 'the page has begun';
    ok $r->{ended}, 'and comes to its end when the client takes it';
    is $client->request('GET', '/next')->{body}, 'next', 'the connection goes on';
};

for my $how (sort keys %then) {
    subtest "nginx has closed a request of HTTP/2 when a call $how" => sub {
        $s->mark_log;
        $s->get('/tell?not');
        my $client = ProxyWasm::Http2->new(port => $h2_port);
        $client->send_request('GET', "/$how");
        ok $s->wait_for_log(qr/http_call .* OK/), 'a plugin calls';
        $client->reset_stream;
        ok $s->wait_for_log(qr/client prematurely closed/), 'the client resets the stream';
        is $s->get('/tell?now')->{body}, 'done', 'the call';
        ok $s->wait_for_log(qr/is told/), 'is answered';
        is $client->request('GET', '/next')->{body}, 'next', 'the connection goes on';
        ok $s->wait_for_log(qr/free http context/), 'the request ends';
    };
}
$s->stop(allow => [qr/\[error\]/]);
done_testing;
