# The ending matrix: how a request ends × where it is then × what makes its response × over
# which protocol. In each cell the client sees what it should, the next request on its
# connection is answered right or not at all, and nothing is left.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Endings qw(cells dying_cells waiting_cells http_of config_of servers PROTOCOLS);
use ProxyWasm::EndingClient;
use ProxyWasm::Settings ();
use JSON::PP qw(decode_json);
use List::Util qw(sum);
use Time::HiRes qw(sleep time);

# Freed memory is overwritten: who uses it goes astray at once.
$ENV{MALLOC_PERTURB_} = 165;

my @cells   = cells();
my @dying   = dying_cells();
my @waiting = waiting_cells();
my @every   = (@cells, @dying, @waiting);
my $h2_port = free_port();
$ENV{TEST_NGINX_GRPC_PORT} = free_port();

my $s = start_nginx(
    worker_connections => 4096,
    user_files         => [['large.txt', '0123456789' x 20_000 . 'whole']],
    http_config        => http_of(@every) . servers(),
    config             => "listen 127.0.0.1:$h2_port http2;\n" . config_of(@every) . <<'E',
        location = /next { return 200 "next"; }
        location = /endless/left {
            proxy_wasm well '{"on_response_body": [
                {"if": ["eq", "${count}", "1"], "then": [["return", "continue"]]}, ["return", "pause"]]}';
            post_action /whole/left;
            proxy_buffering off;
            proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
        }
        location = /whole/left {
            proxy_wasm well '{
                "on_request_headers": [["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT",
                    [[":method", "GET"], [":path", "/quick"], [":authority", "u"]]], ["return", "pause"]],
                "on_http_call_response": [["log", "info", "after the client"], ["continue_stream", "request"]]}';
            proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
        }
        location = /status { wasm_status; }
E
);
$s->{h2_port} = $h2_port;

sub status { return $s->get('/status')->{body} }

# Contexts and calls that live, and the worker's descriptors.
sub left {
    my $status   = decode_json(status());
    my ($worker) = $s->worker_pids;
    my @open     = glob "/proc/$worker/fd/*";
    return (sum(map { $_->{http_contexts} } @{ $status->{plugins} }), $status->{calls}, scalar @open);
}

my (undef, undef, $descriptors) = left();

# Waits until nothing is left, and says what still is.
sub is_left_clean {
    my ($name) = @_;
    my $deadline = time + 20 * $ProxyWasm::Settings::Patience;
    my ($contexts, $calls, $open);
    do {
        ($contexts, $calls, $open) = left();
        sleep 0.02;
    } while (($contexts || $calls || $open > $descriptors) && time < $deadline);
    is $contexts, 0, "$name: no context is left";
    is $calls, 0, "$name: no call is left";
    cmp_ok $open, '<=', $descriptors, "$name: no descriptor is left";
}

sub try_cells {
    my ($name, @these) = @_;
    subtest $name => sub {
        for my $cell (@these) {
            my %client = map { $_ => ProxyWasm::EndingClient->ask($_, $s, $cell->{method}, $cell->{path}{$_}) } PROTOCOLS;
            for my $protocol (PROTOCOLS) {
                my ($sees, $next) = ($client{$protocol}->sees, $client{$protocol}->next);
                my $want = $cell->{want};
                # What is cut off may end before the client has seen any of it. Over HTTP/1.0 the end of a body is
                # that of the connection.
                my $right = $sees eq $want || $want eq 'cut' && ($sees eq 'none' || $protocol eq 'old' && $sees eq 'whole');
                my $then = $protocol eq 'h2' ? $next eq 'next'
                    : $want =~ /cut|none/ ? $next eq 'closed' : $next =~ /^(?:next|closed)$/;
                ok $right && $then, "$cell->{id}: $protocol" or diag "saw $sees, not $want; then $next";
            }
        }
    };
    is_left_clean($name);
}

is $s->get('/next')->{body}, 'next', 'it runs';
$s->get($_->{path}{old}) for grep { $_->{id} eq 'answer at once, response headers, cached' } @cells;

my %by_how;
push @{ $by_how{ $_->{id} =~ /^([^,]+)/ ? $1 : '' } }, $_ for @cells;
try_cells($_, $by_how{$_}->@*) for sort keys %by_how;
try_cells('an upstream that dies or is silent', @dying);

sub all_wait {
    my @clients = map { ProxyWasm::EndingClient->ask('kept', $s, $_->{method}, $_->{path}{kept}) } @waiting;
    my $deadline = time + 20 * $ProxyWasm::Settings::Patience;
    sleep 0.02 while (left())[0] < @clients && time < $deadline;
    is +(left())[0], scalar @clients, 'all wait';
    return @clients;
}

subtest 'the client leaves' => sub {
    $_->leave for all_wait();
    is_left_clean('then');
};

subtest 'the client says that it sends no more, which nginx takes for leaving' => sub {
    my @clients = all_wait();
    $_->half_close for @clients;
    like $_->sees, qr/^(?:none|cut)$/, 'a client sees no answer' for @clients;
    is_left_clean('then');
};

subtest 'the client leaves a download whose post_action waits' => sub {
    $s->mark_log;
    my @clients = map { ProxyWasm::EndingClient->ask('kept', $s, 'GET', '/endless/left') } 1 .. 5;
    ok length $_->{connection}->_bytes(500), 'it comes' for @clients;
    $_->leave for @clients;
    ok $s->wait_for_log(qr/after the client/, count => 5), 'each post_action goes on';
    is_left_clean('then');
};

subtest 'over HTTP/0.9' => sub {
    my %body = (504 => qr/504 Gateway/, none => qr/^$/, 418 => qr/^tea$/);
    for my $cell (grep { $_->{id} =~ /^(?:timeout|close|answer), (?:request|response) headers, buffered$/ } @cells) {
        my $c = $s->connect;
        $c->send_bytes("GET $cell->{path}{old}\r\n");
        1 while $c->_more;
        like $c->{in}, $body{ $cell->{want} }, $cell->{id};
    }
    is_left_clean('then');
};

subtest 'the worker ends at once' => sub {
    $s->mark_log;
    my @clients  = all_wait();
    my ($worker) = $s->worker_pids;
    $s->signal(TERM => $worker);
    ok $s->wait_for_exit($worker), 'by itself';
    like $_->sees, qr/^(?:none|cut)$/, 'a client sees no answer' for @clients;
    my $log = $s->error_log;
    is scalar(() = $log =~ /free http context/g), scalar @clients, 'all contexts have ended';
};

subtest 'a reload' => sub {
    ok $s->wait_for_workers(1), 'there is a worker';
    my @clients  = all_wait();
    my ($worker) = $s->worker_pids;
    ok $s->reload, 'is done';
    $_->leave for @clients;
    ok $s->wait_for_exit($worker), 'the old worker ends with its requests';
    is $s->get('/next')->{body}, 'next', 'the new one serves';
};

$s->stop(allow => [qr/\[error\]/]);
my $log = do { $s->{since} = 0; $s->error_log };
is scalar(() = $log =~ /create http context/g), scalar(() = $log =~ /free http context/g), 'each context has ended';
done_testing;
