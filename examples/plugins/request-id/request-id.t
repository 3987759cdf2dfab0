# request-id: each request has an identifier, and no two have the same, whichever instance gives it.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Example;

# In each instance the first identifiers: of all that were restored from one image they would be the same.
for my $file (qw(request-id request-id-go)) {
    subtest "$file: instances that are restored" => sub {
        my $s = start_nginx(
            workers     => 4,
            http_config => "wasm_plugin request-id \$TEST_NGINX_PLUGINS/$file.wasm image=on phase=rewrite;",
            config      => 'location = /id { proxy_wasm request-id; return 200 ok; } location = /status { wasm_status; }',
        );
        my (%seen, %pids);
        my $ask = sub { $seen{ $s->get('/id')->{headers}{'x-request-id'} // 'none' }++ for 1 .. 40 };
        $ask->();
        for (1 .. 3) {
            my @before = $s->worker_pids;
            kill KILL => @before;
            $s->wait_for_workers(4, \@before);
            $ask->();
        }
        $s->reload;
        $ask->();
        is keys %seen, 5 * 40, 'never give the same identifier';
        is grep({ !/^[0-9a-f]{32}$/ } keys %seen), 0, 'and each is one';
        my $status = $s->get('/status')->{body};
        like $status, qr/"restores": (?:1[0-9]|[2-9][0-9])/, 'most were restored';
        $s->stop(allow => [qr/exited on signal 9/]);
    };
}

# With isolation=request most requests get an instance that another one has left.
for my $file (qw(request-id request-id-go)) {
    subtest "$file: an instance for each request" => sub {
        my $s = start_nginx(
            workers     => 2,
            http_config => "wasm_plugin request-id \$TEST_NGINX_PLUGINS/$file.wasm image=on isolation=request phase=rewrite;",
            config      => 'location = /id { proxy_wasm request-id; return 200 ok; } location = /status { wasm_status; }',
        );
        my %seen;
        $seen{ $s->get('/id')->{headers}{'x-request-id'} // 'none' }++ for 1 .. 200;
        is keys %seen, 200, 'never gives the same identifier';
        is grep({ !/^[0-9a-f]{32}$/ } keys %seen), 0, 'and each is one';
        my $spare = qr/"spare_instances": 1\b/;
        like $s->get_until(sub { $_[0]{body} =~ $spare }, '/status')->{body}, $spare, 'an instance is left';
        $s->stop;
    };
}

test_example(
    'request-id',
    languages => [qw(rust go)],
    cases     => [
        {   name    => 'a request that has an identifier keeps it',
            conf    => '{}',
            request => [GET => '/headers', headers => ['X-Request-Id' => 'mine']],
            headers => { 'x-request-id' => 'mine' },
        },
    ],
);
