# Expect: 100-continue where a plugin sees the body: the client is told to send it, unless
# the plugin has answered before.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Upstream qw(upstream);

my $s = start_nginx(
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;' . upstream(),
    config      => <<'E',
    location /echo {
        proxy_wasm hostcalls '{"on_request_body": [["set_buffer_bytes", "request_body", "> ", 0, 0]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
    location /refused {
        proxy_wasm hostcalls '{"on_request_headers": [["send_local_response", 403, "no"], ["return", "pause"]]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
E
);

subtest 'the body is asked for, and seen' => sub {
    my $c = $s->connect;
    $c->send_request('POST', '/echo', headers => [Expect => '100-continue', 'Content-Length' => 5]);
    $c->send_bytes('hello');
    my $r = $c->read_response;
    is $r->{informational}[0]{status}, 100, 'an interim answer';
    is $r->{body}, '> hello', 'and the final one';
    is $c->request('POST', '/echo', body => 'again')->{body}, '> again', 'the connection goes on';
};

subtest 'a refusal comes before the body' => sub {
    my $c = $s->connect;
    $c->send_request('POST', '/refused', headers => [Expect => '100-continue', 'Content-Length' => 5]);
    my $r = $c->read_response;
    is $r->{status}, 403, 'status';
    is $r->{body}, 'no', 'body';
};

$s->stop;
done_testing;
