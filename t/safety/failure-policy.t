# What a failure means for requests: `closed` answers 503, `open` goes on without the plugin; the same for the request that failed,
# for those that were in the plugin's hands at that moment, and for those that come while it is not tried.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo qw(open_zoo bad_in);
use IO::Select;
use IO::Socket::INET;
use Time::HiRes 'time';

# An upstream under the test's hand: who connects waits for what the test answers.
my $upstream = IO::Socket::INET->new(Listen => 10, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "listen: $!\n";
my $port     = $upstream->sockport;

# Answers the next request for that path; others are of clients that have gone.
sub answer {
    my ($path) = @_;
    while (IO::Select->new($upstream)->can_read(30)) {
        my $connection = $upstream->accept or die "accept: $!\n";
        my $request = '';
        $request .= <$connection> // last while $request !~ /\r\n\r\n/;
        next if $request !~ m{^GET \Q$path\E };
        print {$connection} "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nupstream\n";
        return 1;
    }
    die "no request came\n";
}

my @callbacks = qw(on_context_create on_request_headers on_request_body on_response_headers on_response_body);
my $waits = qq({
    "on_request_headers": [
        {"if": ["request_header", "x-bad"], "then": [["trap"]]},
        {"if": ["request_header", "x-pause"], "then": [["return", "pause"]]},
        {"if": ["request_header", "x-call"], "then": [
            ["http_call", "127.0.0.1:$port", [[":method", "GET"], [":path", "/gone"], [":authority", "a"]], "", [], 9000],
            ["return", "pause"]
        ]}
    ],
    "on_response_headers": [
        {"if": ["request_header", "x-hold"], "then": [["return", "pause"]]},
        {"if": ["request_header", "x-response-call"], "then": [
            ["http_call", "127.0.0.1:$port", [[":method", "GET"], [":path", "/gone"], [":authority", "a"]], "", [], 9000],
            ["trap"]
        ]}
    ],
    "on_response_body": [{"if": ["request_header", "x-hold-body"], "then": [["return", "pause"]]}]
});
my $calls = qq({
    "on_request_headers": [
        ["http_call", "127.0.0.1:$port", [[":method", "GET"], [":path", "/call"], [":authority", "a"]]], ["return", "pause"]
    ],
    "on_http_call_response": [["trap"]]
});

my %plugins;
for my $policy (qw(closed open)) {
    my %o = (options => "failure=$policy");
    $plugins{"$policy-$_"}      = { script => bad_in($_, '["trap"]'), %o } for @callbacks;
    $plugins{"$policy-waits"}   = { script => $waits, %o };
    $plugins{"$policy-response"} = { script => $waits, %o };
    $plugins{"$policy-calls"}   = { script => $calls, %o };
    $plugins{"$policy-refused"} = { script => '{"on_configure": [["return", false]]}', %o };
    $plugins{"$policy-vm"}      = { script => '{"on_vm_start": [["return", false]]}', %o };
    $plugins{"$policy-start"}   = { script => '{"on_configure": [["trap"]]}', %o };
    $plugins{"$policy-action"}  = { script => '{"on_request_headers": [["return", 7]]}', %o };
    $plugins{"$policy-proxied"} = {
        script => bad_in('on_request_headers', '["trap"]'), content => "proxy_pass http://127.0.0.1:$port;", %o,
    };
}
my $zoo = open_zoo(plugins => \%plugins);

for my $policy (qw(closed open)) {
    my $status = $policy eq 'closed' ? 503 : 200;

    for my $callback (@callbacks) {
        my $got = $zoo->post("/$policy-$callback", 'body', 'X-Bad' => 1);
        is $got->{status}, $status, "$policy: a failure in $callback gives $status";
        is $got->{body}, "$policy-$callback\n", 'and the answer is whole' if $status == 200;
    }

    for my $start (qw(refused vm start action)) {
        is $zoo->get("/$policy-$start")->{status}, $status, "$policy: so does one in " . ($start eq 'action' ? 'what it returns' : "its start ($start)");
    }

    subtest "$policy: requests in the plugin's hands when another one fails" => sub {
        $zoo->server->mark_log;
        my %waiting = map { ($_ => $zoo->server->connect) } qw(x-pause x-call x-hold x-hold-body);
        for (sort keys %waiting) {
            $waiting{$_}->send_request('GET', "/$policy-waits", headers => [$_ => 1], close => 1);
        }
        ok $zoo->server->wait_for_log(qr/register http call callout/), 'are waiting';
        # They are where they wait once the worker has answered something that came later.
        $zoo->get('/plain');
        my $begin = time;
        is $zoo->get("/$policy-waits", 'X-Bad' => 1)->{status}, $status, 'the one that fails';
        for (sort keys %waiting) {
            my $got = $waiting{$_}->read_response;
            is $got->{status}, $status, "end like it: $_";
            is $got->{body}, "$policy-waits\n", 'with the whole answer' if $status == 200;
        }
        cmp_ok time - $begin, '<', 8, 'before their calls end';
        is $zoo->lines(qr/\[error\]/), 1, 'and one error line is written for all';
        $zoo->is_unharmed('afterwards');
    };

    subtest "$policy: a request at its upstream when another one fails" => sub {
        my $proxied = $zoo->server->connect;
        $proxied->send_request('GET', "/$policy-proxied", close => 1);
        $zoo->get('/plain');
        is $zoo->get("/$policy-proxied", 'X-Bad' => 1)->{status}, 503, 'which is closed' if $policy eq 'closed';
        if ($policy eq 'open') {
            my $bad = $zoo->server->connect;
            $bad->send_request('GET', "/$policy-proxied", headers => ['X-Bad' => 1], close => 1);
            $zoo->server->wait_for_log(qr/failed to call function: .*"open-proxied"/);
            answer("/$policy-proxied") for 1 .. 2;
            is $bad->read_response->{body}, "upstream\n", 'which goes on without the plugin';
        }
        else {
            answer("/$policy-proxied");
        }
        is $proxied->read_response->{status}, $status, 'ends by the policy, too';
        $zoo->is_unharmed('afterwards');
    };

    subtest "$policy: a plugin that fails in the response, with a call under way" => sub {
        is $zoo->get("/$policy-response", 'x-response-call' => 1)->{status}, $status, "gives $status";
        $zoo->is_unharmed('afterwards');
        is $zoo->get("/$policy-response")->{status}, 200, 'and the next request works';
    };

    subtest "$policy: a failure in the answer to a call" => sub {
        my $waiting = $zoo->server->connect;
        $waiting->send_request('GET', "/$policy-calls", close => 1);
        answer('/call');
        is $waiting->read_response->{status}, $status, "gives $status";
        $zoo->is_unharmed('afterwards');
    };
}

$zoo->close;
done_testing;
