# A plugin that held the header, and then holds each piece of the body until the end: the source goes
# on meanwhile.

use lib '.';
use t::ProxyWasm;

my $upstream = '127.0.0.1:$TEST_NGINX_SERVER_PORT';
my %source   = (
    buffered   => "proxy_pass http://$upstream/large.txt;",
    unbuffered => "proxy_buffering off; proxy_pass http://$upstream/large.txt;",
    file       => 'sendfile off; output_buffers 2 8k; alias $TEST_NGINX_HTML_DIR/large.txt;',
);
my $header = qq("on_response_headers": [["http_call", "$upstream", [[":method", "GET"], [":path", "/quick"], [":authority", "u"]]], ["return", "pause"]],
    "on_http_call_response": [["continue_stream", "response"]]);
my $body   = '"on_response_body": [{"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "pause"]]}]';
my %plugins = (
    one => "proxy_wasm p '{$header, $body}';",
    two => "proxy_wasm p '{$header}'; proxy_wasm p '{$body}';",
);

my $text      = '0123456789' x 10_000;
my $locations = '';
for my $plugins (sort keys %plugins) {
    $locations .= "location = /$plugins/$_ { $plugins{$plugins} $source{$_} }\n" for sort keys %source;
}
my $s = start_nginx(
    user_files  => [['large.txt', $text]],
    http_config => 'wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;',
    config      => "$locations location = /large.txt { limit_rate 0; } location = /quick { return 200 quick; }",
);
for my $plugins (sort keys %plugins) {
    for my $source (sort keys %source) {
        my $got = eval { $s->get("/$plugins/$source") } // { status => $@, body => '' };
        is_deeply [$got->{status}, length $got->{body}], [200, length $text], "$plugins, $source";
    }
}
$s->stop;
done_testing;
