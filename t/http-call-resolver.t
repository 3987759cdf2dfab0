# Host names of outgoing calls: nginx's resolver asks a DNS server.

use lib '.';
use t::ProxyWasm;
use IO::Socket::INET ();
use POSIX ();

# Answers "known.test" with 127.0.0.1, "two.test" with an address where nobody listens and one where somebody does; leaves "silent.test"
# unanswered; knows no other name.
my %addresses = ('known.test' => ['127.0.0.1'], 'two.test' => ['127.0.0.9', '127.0.0.1']);
my $dns = IO::Socket::INET->new(LocalHost => '127.0.0.1', LocalPort => 0, Proto => 'udp') or die "udp: $!\n";
my $dns_pid = fork // die "fork: $!\n";
if (!$dns_pid) {
    while (defined $dns->recv(my $query, 512)) {
        my ($id, $rest, @labels) = (substr($query, 0, 2), substr $query, 12);
        while ((my $length = ord $rest) > 0) {
            push @labels, substr $rest, 1, $length;
            $rest = substr $rest, 1 + $length;
        }
        my $name = lc join '.', @labels;
        next if $name eq 'silent.test';
        my $type = unpack 'n', substr $rest, 1, 2;
        my $question = substr $query, 12, length($query) - 12 - length($rest) + 5;
        my @found = $type == 1 ? @{ $addresses{$name} // [] } : ();
        my $code = $addresses{$name} ? 0 : 3;
        $dns->send($id . pack('n5', 0x8180 | $code, 1, scalar @found, 0, 0) . $question
            . join '', map { pack('n3Nn', 0xc00c, 1, 1, 60, 4) . IO::Socket::INET::inet_aton($_) } @found);
    }
    POSIX::_exit(0);
}
END { kill 'KILL', $dns_pid if $dns_pid }

sub location {
    my ($path, $host, $extra) = @_;
    return <<"CONF";
    location $path {
        $extra
        proxy_wasm hostcalls '{
            "on_request_headers": [["http_call", "$host:\$TEST_NGINX_SERVER_PORT", [[":method", "GET"], [":authority", "$host:\$TEST_NGINX_SERVER_PORT"], [":path", "/called"]], "", [], 3000], ["return", "pause"]],
            "on_http_call_response": [["get_buffer_bytes", "call_response_body"], ["send_local_response", 200, "\${last}"]]
        }';
    }
CONF
}

my $port = $dns->sockport;
my $s = start_nginx(
    http_config => "resolver 127.0.0.1:$port ipv6=off; resolver_timeout 300ms;
        wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls.wasm; wasm_plugin other \$TEST_NGINX_PLUGINS/hostcalls.wasm;",
    config => "location /called { return 200 \"called as \$http_host\"; }\n"
        . location('/known', 'Known.test', '')
        . location('/two', 'two.test', '')
        . location('/unknown', 'unknown.test', '')
        . location('/silent', 'silent.test', '')
        . <<'CONF',
    location /t { return 200 ok; }
    location /traps {
        proxy_wasm other '{
            "on_request_headers": [["call_foreign_function", "resolve", "known.test"], ["return", "pause"]],
            "on_foreign_function": [["trap"]]
        }';
    }
    location /resolves {
        proxy_wasm hostcalls '{
            "on_configure": [["call_foreign_function", "resolve", "known.test"]],
            "on_foreign_function": [["get_buffer_bytes", "foreign_arguments"]]
        }';
    }
CONF
);

my $server_port = $s->port;
is $s->get('/known')->{body}, "called as Known.test:$server_port", 'a name is looked up';
is $s->get('/known')->{body}, "called as Known.test:$server_port", 'and known from then on';
is $s->get('/two')->{body}, "called as two.test:$server_port", 'each address is tried';
like $s->get('/unknown')->{body}, qr/unknown\.test could not be resolved/, 'a name that does not exist';
ok $s->wait_for_log(qr/http call failed: unknown\.test could not be resolved \(Host not found\), uri: /), 'is told';
like $s->get('/silent')->{body}, qr/silent\.test could not be resolved/, 'a server that does not answer';
ok $s->wait_for_log(qr/http call failed: silent\.test could not be resolved \(Operation timed out\)/), 'is told';
ok $s->wait_for_log(qr/get_buffer_bytes foreign_arguments -> OK 127\.0\.0\.1/), 'the foreign function resolve';
is $s->get('/traps')->{status}, 503, 'a plugin that fails in its callback fails the request that waits';
ok $s->wait_for_log(qr/failed to call function: proxy_on_foreign_function of plugin "other"/), 'which is told';
$s->stop;

done_testing;
