# A stream of gRPC in both directions, through plugins that look at each message: no message waits for
# the next one.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Http2;
use File::Basename ();
use IO::Socket::INET ();

my $program = File::Basename::dirname($ENV{TEST_NGINX_PLUGINS}) . '/servers/grpc';
plan(skip_all => "there is no $program") if !-x $program;

my $grpc_port = free_port();
my $h2_port   = free_port();
my $server    = fork // die "fork: $!\n";
exec $program, "127.0.0.1:$grpc_port" or die "$program: $!\n" if !$server;
END { kill 'KILL', $server if $server }

my $s = start_nginx(
    http_config => 'wasm_plugin scripted $TEST_NGINX_PLUGINS/hostcalls.wasm; wasm_plugin go $TEST_NGINX_PLUGINS/log-go.wasm;',
    config => <<"E",
        listen 127.0.0.1:$h2_port http2;
        location /plain/ { rewrite /plain(.*) \$1 break; grpc_pass grpc://127.0.0.1:$grpc_port; }
        location /seen/ {
            rewrite /seen(.*) \$1 break;
            proxy_wasm scripted '{"trace": true, "on_request_body": [["get_buffer_bytes", "request_body", 5, 100]], "on_response_body": [["get_buffer_bytes", "response_body", 5, 100]]}';
            proxy_wasm go;
            grpc_pass grpc://127.0.0.1:$grpc_port;
        }
        location /upper/ {
            rewrite /upper(.*) \$1 break;
            proxy_wasm scripted '{"on_request_body": [{"if": ["eq", "\${body_size}", "10"], "then": [["set_buffer_bytes", "request_body", "HELLO", 5, 5]]}]}';
            grpc_pass grpc://127.0.0.1:$grpc_port;
        }
        location = /status { wasm_status; }
E
);
for (1 .. 400) {
    last if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $grpc_port);
    select undef, undef, undef, 0.05;
}

sub message { return pack 'CN/a', 0, $_[0] }

sub begin {
    my ($path, $first) = @_;
    my $c = ProxyWasm::Http2->new(port => $h2_port);
    $c->send_request('POST', "$path/test.Service/Echo", $first, unfinished => 1,
        headers => ['content-type' => 'application/grpc', te => 'trailers']);
    return $c;
}

# The next message that comes.
sub next_message {
    my ($c) = @_;
    $c->{echo} //= '';
    while (length $c->{echo} < 5 || length $c->{echo} < 5 + unpack 'xN', $c->{echo}) {
        $c->{echo} .= $c->read_data // return;
    }
    my $message = unpack 'xN/a', $c->{echo};
    substr $c->{echo}, 0, 5 + length $message, '';
    return $message;
}

for my $path ('/plain', '/seen') {
    subtest "$path: each message comes back before the next is sent" => sub {
        $s->mark_log;
        my $c = begin($path, message('message 1'));
        is next_message($c), 'message 1', 'the first';
        for my $i (2 .. 20) {
            $c->send_data(message("message $i"));
            is next_message($c), "message $i", "message $i";
        }
        $c->send_data('', 1);
        ok !defined next_message($c), 'then it ends';
        if ($path eq '/seen') {
            my @seen = $s->error_log =~ /get_buffer_bytes request_body 5 100 -> OK message (\d+)/g;
            is_deeply \@seen, [1 .. 20], 'the plugin saw each';
        }
    };
}

subtest 'a plugin changes a message' => sub {
    my $c = begin('/upper', message('hello'));
    is next_message($c), 'HELLO', 'the first';
    $c->send_data(message('there'));
    is next_message($c), 'HELLO', 'the next';
    $c->send_data('', 1);
    ok !defined next_message($c), 'then it ends';
};

subtest 'the client resets a stream' => sub {
    my $c = begin('/seen', message('hello'));
    is next_message($c), 'hello', 'in the midst';
    $c->reset_stream;
    my $until = time + 20;
    my $left;
    do { ($left) = $s->get('/status')->{body} =~ /"http_contexts": ?(\d+)/ } while $left && time < $until;
    is $left, 0, 'and nothing is left';
    is $c->request('GET', '/status')->{status}, 200, 'the connection serves';
};

$s->stop;
done_testing;
