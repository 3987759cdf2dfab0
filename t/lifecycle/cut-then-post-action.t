# A response that a plugin cuts off, in a location with a post_action: nginx goes on with that, and keeps the connection as after
# any other response. The client must not wait on it for one that never comes, nor take the next one for it.

use lib '.';
use t::ProxyWasm;

my %plugins = (
    'closes-at-header' => '{"on_response_headers": [["close_stream", "response"]]}',
    'closes-at-body'   => '{"on_response_body": [["close_stream", "response"]]}',
    'closes-at-end'    => '{"on_response_body": [
        {"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "continue"]]}, ["close_stream", "response"]]}',
    'answers-at-end'   => '{"on_response_body": [
        {"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "continue"]]}, ["send_local_response", 418, "tea"]]}',
);
my $proxied = 'proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/up/;';
my %sources = (
    file       => 'alias $TEST_NGINX_HTML_DIR/;',
    proxied    => $proxied,
    unbuffered => "proxy_buffering off; $proxied",
);

my $config = '';
for my $source (sort keys %sources) {
    $config .= "location /$source/$_/ { proxy_wasm hostcalls '$plugins{$_}'; $sources{$source} }\n" for sort keys %plugins;
}
my $s = start_nginx(
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;',
    user_files  => [['large.txt', '0123456789' x 20_000]],
    config      => $config . <<'E',
    keepalive_timeout 1h;
    post_action /after;
    location = /after { return 204; }
    location /up/ { post_action off; alias $TEST_NGINX_HTML_DIR/; }
    location = /plain { post_action off; return 200 plain; }
E
);

for my $source (sort keys %sources) {
    for my $name (sort keys %plugins) {
        for my $more ('alone', 'pipelined') {
            my $c = $s->connect(timeout => 5);
            $c->send_request('GET', "/$source/$name/large.txt");
            $c->send_request('GET', '/plain') if $more eq 'pipelined';
            1 while eval { $c->_more };
            unlike $@, qr/within/, "$source, $name, $more: the connection closes";
            unlike $c->{in}, qr/plain$/, "$source, $name, $more: and brings no other response";
        }
    }
}
is $s->get('/plain')->{body}, 'plain', 'the worker serves others';
$s->stop(allow => ['[error']);
done_testing;
