# Over HTTP/3: the cells of the ending matrix, and bodies that plugins read and change.

use lib '.';
use t::ProxyWasm;
use File::Temp ();
use ProxyWasm::Certificates ();
use ProxyWasm::Endings qw(cells dying_cells waiting_cells http_of config_of servers);
use ProxyWasm::Skip qw(nginx_info);
use IPC::Open2 qw(open2);
use JSON::PP qw(decode_json encode_json);
use List::Util qw(sum);
use Time::HiRes qw(sleep time);

plan skip_all => 'this nginx has no HTTP/3' if nginx_info()->{configure} !~ /http_v3_module/;
my $python = $ENV{TEST_PROXY_WASM_HTTP3} or plan skip_all => 'no HTTP/3 client: scripts/http3-client installs it';

# Freed memory is overwritten: who uses it goes astray at once.
$ENV{MALLOC_PERTURB_} = 165;
$ENV{TEST_NGINX_GRPC_PORT} = free_port();

# nginx runs a post_action before it ends the stream: what goes wrong there resets it, in stock nginx, too.

my $certs = File::Temp->newdir;
chmod 0755, $certs;
ProxyWasm::Certificates->new("$certs")->issue(localhost => 'DNS:localhost');

# nginx ends the stream after a post_action, and resets it if that one goes wrong, with or without
# plugins.
my @cells   = grep { $_->{id} !~ /^close.*post_action/ } cells(), dying_cells();
my @waiting = waiting_cells();
my $port    = free_port();
my $s       = start_nginx(
    worker_connections => 4096,
    user_files         => [['large.txt', '0123456789' x 20_000 . 'whole']],
    http_config        => http_of(@cells, @waiting) . servers(),
    config             => "listen 127.0.0.1:$port quic;\n" . config_of(@cells, @waiting) . <<"E" . <<'E',
        ssl_certificate $certs/localhost.crt;
        ssl_certificate_key $certs/localhost.key;
E
        location = /next { return 200 "next"; }
        location = /echo {
            proxy_wasm well '{"on_request_body": [["set_buffer_bytes", "request_body", "> ", 0, 0]]}';
            proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/back;
        }
        location = /back {
            client_body_buffer_size 1m;
            content_by_lua_block { ngx.req.read_body() ngx.print(ngx.req.get_body_data()) }
        }
        location = /changed {
            proxy_wasm well '{"on_response_body": [{"if": ["eq", "${count}", "1"],
                "then": [["set_buffer_bytes", "response_body", "> ", 0, 0]]}]}';
            alias $TEST_NGINX_HTML_DIR/large.txt;
        }
        location = /status { wasm_status; }
E
);

# Contexts and calls that live.
sub left {
    my $status = decode_json($s->get('/status')->{body});
    return sum(map { $_->{http_contexts} } @{ $status->{plugins} }), $status->{calls};
}

sub wait_until_left {
    my ($contexts) = @_;
    my $deadline = time + 20 * $ProxyWasm::Settings::Patience;
    sleep 0.02 while (left())[0] != $contexts && time < $deadline;
    return (left())[0] == $contexts;
}

sub start_client {
    my ($requests, @mode) = @_;
    my $pid = open2(my $out, my $in, $python, 't/clients/http3.py', $port, @mode);
    print $in encode_json($requests), "\n";
    $in->flush;
    return { pid => $pid, out => $out, in => $in };
}

sub ask {
    my $client = start_client([map { { $_->%{qw(method path body)} } } @_]);
    my $got    = decode_json(readline $client->{out});
    waitpid $client->{pid}, 0;
    return @$got;
}

sub request_of {
    my ($cell) = @_;
    return { method => $cell->{method}, path => $cell->{path}{h2}, body => $cell->{method} eq 'POST' ? 'body' : undef };
}

subtest 'each ending' => sub {
    my @got = ask(map { request_of($_) } @cells);
    for my $cell (@cells) {
        my ($sees, $next) = shift(@got)->@{qw(sees next)};
        my $want = $cell->{want};
        # What is cut off may end before the client has seen any of it.
        ok $next eq 'next' && ($sees eq $want || $want eq 'cut' && $sees eq 'none'), $cell->{id}
            or diag "saw $sees, not $want; then $next";
    }
};
ok wait_until_left(0), 'no context is left';

subtest 'the client leaves' => sub {
    my $client = start_client([map { request_of($_) } @waiting], 'leave');
    is readline $client->{out}, "waiting\n", 'it asks';
    ok wait_until_left(scalar @waiting), 'all wait';
    print { $client->{in} } "leave\n";
    $client->{in}->flush;
    is readline $client->{out}, "next\n", 'the connection is in use still';
    ok wait_until_left(0), 'no context is left';
    waitpid $client->{pid}, 0;
};

subtest 'bodies' => sub {
    my $body = 'x' x 300_000;
    my ($echo, $changed) = ask({ method => 'POST', path => '/echo', body => $body }, { method => 'GET', path => '/changed' });
    ok $echo->{body} eq "> $body", 'a request body is changed' or diag length $echo->{body};
    ok $changed->{body} eq '> ' . '0123456789' x 20_000 . 'whole', 'a response body is changed' or diag length $changed->{body};
};

is +(left())[1], 0, 'no call is left';
$s->stop(allow => [qr/\[error\]/]);
done_testing;
