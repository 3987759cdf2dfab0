# Requests that make a plugin panic, among good ones, from many connections at once. With isolation=request every good one is served;
# with isolation=worker at most those that are in flight when another one panics are lost. And the worker has as much memory, and as many
# descriptors and mappings, after as before. TEST_NGINX_PANICS=100000 for the long run.

use lib '.';
use t::ProxyWasm;
use IO::Select;
use ProxyWasm::Settings ();
use JSON::PP qw(decode_json);

use constant REQUESTS => $ENV{TEST_NGINX_PANICS} || ($ProxyWasm::Settings::Patience > 1 ? 300 : 2000);
use constant CONNECTIONS => 64;

sub serve {
    my ($file, %o) = @_;
    return start_nginx(
        log_level   => 'crit',
        http_config => "wasm_plugin p \$TEST_NGINX_PLUGINS/$file.wasm isolation=$o{isolation} image=$o{image}; keepalive_requests 1000000000;",
        config      => 'location = /x { proxy_wasm p conf; proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/plain; }'
            . ' location = /plain { return 200 plain; } location = /status { wasm_status; }',
        %{ $o{conf} // {} },
    );
}

sub worker { return ($_[0]->worker_pids)[0] }

sub resident {
    open my $status, '<', '/proc/' . worker($_[0]) . '/status' or die "no worker: $!\n";
    return (join('', <$status>) =~ /^VmRSS:\s+(\d+) kB/m)[0];
}

sub descriptors {
    opendir my $dir, '/proc/' . worker($_[0]) . '/fd' or die "no worker: $!\n";
    return scalar grep { /^\d/ } readdir $dir;
}

sub mappings {
    open my $maps, '<', '/proc/' . worker($_[0]) . '/maps' or die "no worker: $!\n";
    return scalar(() = <$maps>);
}

# Sends so many good requests, and as many bad ones in between, on some connections, each of which has one request at a time. Answers
# what the good ones, and what the bad ones got.
sub flood {
    my ($s, $requests, $bad, $mark) = @_;
    my ($sent, %got, %by_socket) = (0);
    my @idle = map { $s->connect } 1 .. CONNECTIONS;
    my $busy = IO::Select->new;
    while ($sent < 2 * $requests || $busy->count) {
        while ($sent < 2 * $requests && (my $connection = shift @idle)) {
            my $is_bad = $sent++ % 2;
            $connection->send_request('GET', '/x', headers => $is_bad ? [$bad => 1] : []);
            $by_socket{ $connection->{sock} } = [$connection, $is_bad];
            $busy->add($connection->{sock});
        }
        for my $socket ($busy->can_read(60)) {
            my ($connection, $is_bad) = @{ $by_socket{$socket} };
            my $r = $connection->read_response;
            $got{ $is_bad ? 'bad' : 'good' }{ $r ? "$r->{status} " . ($r->{headers}{$mark} // '') : 'nothing' }++;
            $busy->remove($socket);
            my $closes = !$r || ($r->{headers}{connection} // '') eq 'close';
            push @idle, $closes ? $s->connect : $connection;
        }
    }
    return \%got;
}

for my $case (['rust-headers', 'x-rust', 'auto'], ['go-headers', 'x-go', 'on']) {
    my ($file, $mark, $image) = @$case;
    subtest "$file, isolation=request" => sub {
        my $s = serve($file, isolation => 'request', image => $image);
        # Until there are as many instances as there will be.
        flood($s, 8 * CONNECTIONS, 'X-Panic', $mark);
        my @before = (resident($s), descriptors($s), mappings($s));
        my $got    = flood($s, REQUESTS, 'X-Panic', $mark);
        is_deeply $got, { good => { '200 conf' => REQUESTS }, bad => { '503 ' => REQUESTS } }, 'every good one is served, and no bad one'
            or diag explain $got;
        my $status = decode_json($s->get('/status')->{body});
        is_deeply [@$status{qw(request_instances waiting_requests)}], [0, 0], 'no instance is left';
        my @after = (resident($s), descriptors($s), mappings($s));
        cmp_ok $after[0], '<', 1.05 * $before[0] + 2000, "memory: $before[0] kB, and $after[0]";
        cmp_ok $after[1], '<=', $before[1] + 2, "descriptors: $before[1], and $after[1]";
        cmp_ok $after[2], '<=', $before[2] + 20, "mappings: $before[2], and $after[2]";
        $s->stop(allow => [qr/./]);
    };
}

subtest 'isolation=worker' => sub {
    my $s    = serve('rust-headers', isolation => 'worker', image => 'auto');
    my $got  = flood($s, REQUESTS, 'X-Panic', 'x-rust');
    my %good = %{ $got->{good} };
    my $lost = REQUESTS - ($good{'200 conf'} // 0);
    is_deeply [grep { !/^(?:200 conf|503 |200 )$/ } keys %good], [], 'good ones are served, or lost' or diag explain $got;
    my $failed = decode_json($s->get('/status')->{body})->{plugins}[0]{all_workers}{failed_requests};
    cmp_ok $lost, '<=', $failed->{collateral}, "$lost are lost, of those in flight when another one failed ($failed->{collateral})";
    is_deeply $got->{bad}, { '503 ' => REQUESTS }, 'no bad one is served' or diag explain $got;
    $s->stop(allow => [qr/./]);
};

done_testing;
