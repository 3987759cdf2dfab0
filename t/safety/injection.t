# CR, LF and NUL in what a plugin writes: refused in names and values, escaped in paths, wherever a
# message is made of them.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';

my @evil = ('\r\nx-evil: 1', '\nx-evil: 1', '\r', '\n', 'a\u0000b', 'a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n');
my %step = (
    add_value      => sub { qq(["add_header_map_value", "$_[1]", "x-a", "$_[0]"]) },
    add_name       => sub { qq(["add_header_map_value", "$_[1]", "x-a$_[0]", "b"]) },
    replace_value  => sub { qq(["replace_header_map_value", "$_[1]", "x-a", "$_[0]"]) },
    replace_name   => sub { qq(["replace_header_map_value", "$_[1]", "x-a$_[0]", "b"]) },
    set_value      => sub { qq(["set_header_map_pairs", "$_[1]", [["x-a", "$_[0]"]]]) },
    set_name       => sub { qq(["set_header_map_pairs", "$_[1]", [["x-a$_[0]", "b"]]]) },
    content_type   => sub { qq(["replace_header_map_value", "$_[1]", "content-type", "$_[0]"]) },
    location       => sub { qq(["replace_header_map_value", "$_[1]", "location", "$_[0]"]) },
    path           => sub { qq(["replace_header_map_value", "request", ":path", "/a$_[0]"]) },
    property       => sub { qq(["set_property", "args", "a$_[0]"]) },
    variable       => sub { qq(["set_property", "changed", "a$_[0]"]) },
    method         => sub { qq(["replace_header_map_value", "request", ":method", "GET$_[0]"]) },
    authority      => sub { qq(["replace_header_map_value", "request", ":authority", "a$_[0]"]) },
    status         => sub { qq(["replace_header_map_value", "response", ":status", "200$_[0]"]) },
    answer_value   => sub { qq(["send_local_response", 200, "body", [["x-a", "$_[0]"]]]) },
    answer_name    => sub { qq(["send_local_response", 200, "body", [["x-a$_[0]", "b"]]]) },
    answer_type    => sub { qq(["send_local_response", 200, "body", [["content-type", "$_[0]"]]]) },
    call_value     => sub { qq(["http_call", "127.0.0.1:9", [[":method", "GET"], [":path", "/"], [":authority", "a"], ["x-a", "$_[0]"]]]) },
    call_name      => sub { qq(["http_call", "127.0.0.1:9", [[":method", "GET"], [":path", "/"], [":authority", "a"], ["x-a$_[0]", "b"]]]) },
    call_path      => sub { qq(["http_call", "127.0.0.1:9", [[":method", "GET"], [":path", "/$_[0]"], [":authority", "a"]]]) },
    call_method    => sub { qq(["http_call", "127.0.0.1:9", [[":method", "GET$_[0]"], [":path", "/"], [":authority", "a"]]]) },
    call_authority => sub { qq(["http_call", "127.0.0.1:9", [[":method", "GET"], [":path", "/"], [":authority", "a$_[0]"]]]) },
    call_trailer   => sub { qq(["http_call", "127.0.0.1:9", [[":method", "GET"], [":path", "/"], [":authority", "a"]], "", [["x-a", "$_[0]"]]]) },
    call_upstream  => sub { qq(["http_call", "127.0.0.1:9$_[0]", [[":method", "GET"], [":path", "/"], [":authority", "a"]]]) },
    grpc_service   => sub { qq(["grpc_call", "127.0.0.1:9", "a$_[0]", "b", [], ""]) },
    grpc_metadata  => sub { qq(["grpc_call", "127.0.0.1:9", "a", "b", [["x-a", "$_[0]"]], ""]) },
);

# What SDKs that panic on a bad argument are told, where plugins commonly write what a client sent.
my %soft = map { $_ => 1 } qw(request-path request-method request-property request-variable);

# The client gets an answer in place of a message that would have another meaning.
my %rejected = ('request-method' => [400, undef]);

# A NUL in a path is what nginx takes of no client.
sub evil { grep { $_[0] ne 'path' || !/u0000/ } @evil }

my %plugins;
for my $name (keys %step) {
    for my $map ($name =~ /^(?:answer|call|grpc|path|method|authority|property|variable)/ ? 'request' : $name eq 'status' ? 'response' : qw(request response)) {
        $plugins{"$map-$name"} = {
            script => qq({"on_${map}_headers": [) . join(', ', map { $step{$name}->($_, $map) } evil($name)) . ']}',
            content => 'set $changed ""; add_header X-Method $request_method; add_header X-In $http_x_evil; add_header X-Args $args;
                        return 200 "$request_method $http_x_evil$args$changed";',
        };
    }
}
my $zoo = open_zoo(plugins => \%plugins);

for my $plugin (sort keys %plugins) {
    subtest $plugin => sub {
        $zoo->server->mark_log;
        my $got = $zoo->get("/$plugin");
        $got->{body} = undef if $rejected{$plugin};
        is_deeply [@$got{qw(status body)}, $got->{headers}{'x-evil'}, $got->{headers}{'x-a'}], [@{ $rejected{$plugin} // [200, 'GET '] }, undef, undef],
            'changes nothing of the message';
        my @results = map { /: \*\d+ \w+ .* -> (\w+)/ } $zoo->lines(qr/ -> [A-Z_]+[, ]/);
        my $answer = $soft{$plugin} ? 'OK' : 'BAD_ARGUMENT';
        is_deeply \@results, [($answer) x evil($plugin =~ s/^\w+-//r)], "and is told $answer";
    };
}
$zoo->is_unharmed('in the end');
$zoo->close;
done_testing;
