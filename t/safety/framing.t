# What a plugin writes of Content-Length and Transfer-Encoding moves no boundary: a client that keeps its connection, and an upstream
# that does, find the next message where it begins.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';

my @lies = (
    ['content-length', '0'], ['content-length', '3'], ['Content-Length', '1000'], ['CONTENT-LENGTH', '-1'], ['content-length', '4, 5'],
    ['content-length', '99999999999999999999'], ['transfer-encoding', 'chunked'], ['Transfer-Encoding', 'identity'],
    ['transfer-encoding', 'chunked, gzip'],
);
my %how = (add => 'add_header_map_value', replace => 'replace_header_map_value', map => 'set_header_map_pairs');

sub step {
    my ($how, $map, $name, $value) = @_;
    return qq(["set_header_map_pairs", "$map", [["x-a", "b"], ["$name", "$value"]]]) if $how eq 'map';
    return qq(["$how{$how}", "$map", "$name", "$value"]);
}

my (%plugins, @cases);
for my $i (0 .. $#lies) {
    for my $how (sort keys %how) {
        my ($name, $value) = @{ $lies[$i] };
        push @cases, ["$how-$i", "$how $name: $value"];
        # Without a body callback in the VM's way: the plain case, and the one in which the header waits for the body.
        $plugins{"response-$how-$i"} = {
            script => '{"on_response_headers": [' . step($how, 'response', $name, $value) . ']}', location => 'wasm_response_body never;',
        };
        $plugins{"body-$how-$i"} = { script => '{"on_response_headers": [' . step($how, 'response', $name, $value) . ']}' };
        $plugins{"request-$how-$i"} = {
            script  => '{"on_request_headers": [' . step($how, 'request', $name, $value) . ']}',
            content => 'proxy_pass http://kept/echo; proxy_http_version 1.1; proxy_set_header Connection "";',
        };
    }
}

my $zoo = open_zoo(
    plugins          => \%plugins,
    # Keepalive to a server that tells what it got, by its framing.
    http_config => <<'E',
    wasm_plugin echo $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
    upstream kept { server 127.0.0.1:$TEST_NGINX_SERVER_PORT; keepalive 1; }
E
    config => <<'E',
    location = /echo {
        proxy_wasm echo '{"on_request_body": [["get_buffer_bytes", "request_body"], ["send_local_response", 200, "got ${last}"]],
            "on_request_headers": [{"if": ["eq", "${end_of_stream}", "true"], "then": [["send_local_response", 200, "got nothing"]]}]}';
        return 500;
    }
E
);

for (@cases) {
    my ($case, $title) = @$_;
    subtest "$title" => sub {
        my $connection = $zoo->server->connect;
        for my $kind (qw(response body)) {
            for my $round (1, 2) {
                my $got = eval { $connection->request('GET', "/$kind-$case") } || { body => $@ };
                is $got->{body}, "$kind-$case\n", "$kind: answer $round on one connection is whole";
            }
        }
        is eval { $connection->request('GET', '/plain')->{body} } // $@, "plain\n", 'and so is the next one';
        for my $round (1, 2) {
            my $got = eval { $connection->request('POST', "/request-$case", body => 'smuggled') } || { body => $@ };
            is $got->{body}, 'got smuggled', "request: upstream gets the body, round $round";
        }
        is eval { $connection->request('GET', '/plain')->{body} } // $@, "plain\n", 'and the client the next answer';
    };
}
$zoo->is_unharmed('in the end');
$zoo->close;
done_testing;
