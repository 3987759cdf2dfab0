# The spaces and tabs around a value are no part of it, and HTTP/2 and HTTP/3 forbid them: wherever a
# plugin writes a field, they go.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';

my $value = '\t a b \t';
my $call  = q([":method", "GET"], [":path", "/seen"], [":authority", "a"]);
my %steps = (
    'added-request'     => qq({"on_request_headers": [["add_header_map_value", "request", "x-a", "$value"]]}),
    'replaced-request'  => qq({"on_request_headers": [["replace_header_map_value", "request", "x-a", "$value"]]}),
    'set-request'       => qq({"on_request_headers": [["set_header_map_pairs", "request", [[":path", "/"], ["x-a", "$value"]]]]}),
    'added-response'    => qq({"on_response_headers": [["add_header_map_value", "response", "x-a", "$value"]]}),
    'replaced-response' => qq({"on_response_headers": [["replace_header_map_value", "response", "x-a", "$value"]]}),
    'set-response'      => qq({"on_response_headers": [["set_header_map_pairs", "response", [[":status", "200"], ["x-a", "$value"]]]]}),
    'answer'            => qq({"on_request_headers": [["send_local_response", 200, "body", [["x-a", "$value"]]]]}),
    'call'              => qq({"on_request_headers": [["http_call", "127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT", [$call, ["x-a", "$value"]]], ["return", "pause"]],
                             "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["continue_stream", "request"]]}),
);
my %plugins = map { $_ => { script => $steps{$_}, content => 'return 200 "[$http_x_a]";' } } keys %steps;
my $zoo     = open_zoo(plugins => \%plugins, http_config =>
    'server { listen 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT; return 200 "[$http_x_a]"; }');

for my $plugin (grep { /request$/ } sort keys %plugins) {
    is $zoo->get("/$plugin")->{body}, '[a b]', $plugin;
}
for my $plugin (grep { /response$|answer/ } sort keys %plugins) {
    like $zoo->server->raw("GET /$plugin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), qr/^x-a: a b\r$/m, $plugin;
}
is $zoo->get('/call')->{status}, 200, 'a call';
ok $zoo->server->wait_for_log(qr/\[a b\]/), 'which has the value, too';
$zoo->is_unharmed('in the end');
$zoo->close;
done_testing;
