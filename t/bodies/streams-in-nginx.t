# Bodies that stream through a plugin, where nginx does more with a request than to pass it on: events that
# come one by one, mirror, a DAV PUT, the next server, error pages and X-Accel-Redirect in the midst of an
# upload.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Origin;
use ProxyWasm::Port qw(reserve_port);
use IO::Select;

$ENV{MALLOC_PERTURB_} = 165;

my $origin  = ProxyWasm::Origin->new;
my $second  = ProxyWasm::Origin->new;
my $mirror  = ProxyWasm::Origin->new;
my ($port, $second_port, $mirror_port) = map { $_->port } $origin, $second, $mirror;
my $nobody  = reserve_port();
my $own     = '127.0.0.1:$TEST_NGINX_SERVER_PORT';
my $pass    = "proxy_http_version 1.1; proxy_buffering off; proxy_pass http://127.0.0.1:$port;";
my $stream  = 'proxy_request_buffering off;';

# Sees both bodies, and changes nothing.
my $watcher = <<'WAT';
(module
    (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 1024)
    (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) i32.const 0)
    (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) i32.const 0))
WAT

my $s = start_nginx(
    http_config => <<"CONF",
        wasm_plugin watches html/watches.wat; wasm_plugin upper \$TEST_NGINX_PLUGINS/c-upper.wasm;
        wasm_plugin rust \$TEST_NGINX_PLUGINS/rust-streams.wasm; wasm_plugin go \$TEST_NGINX_PLUGINS/go-streams.wasm;
        upstream several { server 127.0.0.1:$port max_fails=0; server 127.0.0.1:$second_port max_fails=0; }
        upstream gone_first { server 127.0.0.1:$nobody max_fails=0; server 127.0.0.1:$second_port backup; }
CONF
    config => <<"CONF",
        proxy_http_version 1.1;
        location = /events/watches { proxy_wasm watches; $pass }
        location = /events/upper { proxy_wasm upper; $pass }
        location = /events/rust { proxy_wasm rust '{}'; $pass }
        location = /events/go { proxy_wasm go '{}'; $pass }
        location = /events/all { proxy_wasm watches; proxy_wasm rust '{}'; proxy_wasm go '{}'; proxy_wasm upper; $pass }
        location = /events/buffered { proxy_wasm upper; proxy_pass http://127.0.0.1:$port; }

        location = /mirrored { mirror /mirror; $stream proxy_wasm upper; $pass }
        location = /mirrored/head { mirror /mirror_head; mirror_request_body off; $stream proxy_wasm upper; $pass }
        location = /mirror { internal; proxy_pass http://127.0.0.1:$mirror_port; }
        location = /mirror_head { internal; proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_pass http://127.0.0.1:$mirror_port; }

        location /dav/ { dav_methods PUT; create_full_put_path on; wasm_request_body stream; proxy_wasm upper; root html; client_body_buffer_size 1k; }

        location = /next/unbuffered { $stream proxy_wasm upper; proxy_next_upstream error http_500 non_idempotent; proxy_pass http://several; }
        location = /next/buffered { wasm_request_body stream; proxy_wasm upper; proxy_next_upstream error http_500 non_idempotent; proxy_pass http://several; }
        location = /next/gone { $stream proxy_wasm upper; proxy_pass http://gone_first; }

        location = /page { $stream proxy_wasm upper; proxy_intercept_errors on; error_page 403 /page.html; $pass }
        location = /page/named { $stream proxy_wasm upper; proxy_intercept_errors on; error_page 403 = \@page; $pass }
        location = /page/proxied { $stream proxy_wasm upper; proxy_intercept_errors on; error_page 403 = /elsewhere; $pass }
        location = /page.html { internal; default_type text/html; return 200 'the page'; }
        location \@page { return 200 'the page'; }
        location = /elsewhere { proxy_method GET; proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_set_header Transfer-Encoding ""; proxy_pass http://$own/next; }
        location = /accel { $stream proxy_wasm upper; $pass }
        location = /accel.html { internal; default_type text/html; return 200 'the file'; }
        location = /next { return 200 next; }
        location = /status { wasm_status; }
CONF
    user_files => [['watches.wat', $watcher]],
);

sub begin {
    my ($path, $length, $first, $method) = @_;
    my $c = $s->connect;
    my $framing = defined $length ? "Content-Length: $length" : 'Transfer-Encoding: chunked';
    push @{ $c->{methods} }, $method //= 'POST';
    $c->send_bytes("$method $path HTTP/1.1\r\nHost: x\r\n$framing\r\n\r\n$first");
    return $c;
}

# What comes to the client until it matches.
sub read_until {
    my ($c, $pattern) = @_;
    while ($c->{in} !~ $pattern) { $c->_more or return }
    $c->{in} =~ $pattern;
    my ($got, $start) = ($&, $-[0]);
    substr($c->{in}, 0, $start + length $got) = '';
    return $got;
}

sub is_sound { is $s->get('/next')->{body}, 'next', "$_[0]: the worker is well" }

for my $plugin (qw(watches upper rust go all)) {
    subtest "$plugin: each event reaches the client before the next is made" => sub {
        my $c = $s->connect;
        $c->send_request(GET => "/events/$plugin");
        my $u = $origin->accept;
        $u->read_head;
        $u->send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        ok read_until($c, qr/\r\n\r\n/), 'the header, before the first event' if $plugin eq 'watches';
        for my $n (1 .. 20) {
            my $event = "data: event $n\n\n";
            my $seen  = $plugin =~ /upper|all/ ? uc $event : $event;
            $u->send(sprintf "%x\r\n%s\r\n", length $event, $event);
            read_until($c, qr/\Q$seen\E/) or return fail("event $n");
        }
        pass('all of them');
        $u->send("0\r\n\r\n");
        ok defined read_until($c, qr/\r\n0\r\n\r\n\z/), 'and the end';
    };
}

subtest 'events of a server whose responses nginx buffers come as they come' => sub {
    my $c = $s->connect;
    $c->send_request(GET => '/events/buffered');
    my $u = $origin->accept;
    $u->read_head;
    $u->send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n");
    for my $n (1 .. 5) {
        $u->send(sprintf "%x\r\n%s\r\n", length "event $n", "event $n");
        ok read_until($c, qr/EVENT $n/), "event $n";
    }
    $u->close;
};

subtest 'a mirrored upload' => sub {
    my $c = begin('/mirrored', 10, 'hello');
    $c->send_bytes('world');
    my $m = $mirror->accept;
    like $m->read_head, qr/Content-Length: 10\r\n/i, 'nginx reads it as a whole for the mirror';
    is $m->read_bytes(10), 'HELLOWORLD', 'as the plugin left it';
    my $u = $origin->accept;
    like $u->read_head, qr/Content-Length: 10\r\n/i, 'and so for the server';
    is $u->read_bytes(10), 'HELLOWORLD', 'which gets the same';
    $_->respond('done') for $m, $u;
    is $c->read_response->{body}, 'DONE', 'the response';
    is $c->request(GET => '/next')->{body}, 'next', 'and the next request on the connection';
};

subtest 'an upload of which the head is mirrored' => sub {
    my $c = begin('/mirrored/head', 10, 'hello');
    my $m = $mirror->accept;
    unlike $m->read_head, qr/Content-Length/i, 'without the body';
    my $u = $origin->accept;
    $u->read_head;
    is $u->read_chunk, 'HELLO', 'the upload streams';
    $c->send_bytes('world');
    is $u->read_chunks, 'WORLD', 'to its end';
    $_->respond('done') for $m, $u;
    is $c->read_response->{body}, 'DONE', 'the response';
    is $c->request(GET => '/next')->{body}, 'next', 'and the next request on the connection';
};

subtest 'a file that is put' => sub {
    for my $length (10, 100_000) {
        my $body = substr 'small letters, and LARGE ones; ' x (1 + $length / 30), 0, $length;
        my $c = begin("/dav/$length", $length, substr($body, 0, 5), 'PUT');
        $c->send_bytes(substr $body, 5);
        my $res = $c->read_response;
        is $res->{status}, 201, "$length bytes: it is stored";
        my $path = $s->html_dir . "/dav/$length";
        my $stored = do { local $/; open my $in, '<', $path or die "$path: $!"; <$in> };
        is $stored, uc $body, 'as the plugin left it';
        is $c->request(GET => '/next')->{body}, 'next', 'and the next request on the connection';
    }
};

subtest 'the next server gets what the first has refused' => sub {
    my $c = begin('/next/buffered', 10, 'hello');
    $c->send_bytes('world');
    my ($first, $other) = $origin->accept;
    if (!$first) { fail('no server is asked'); return }
    $first->read_head;
    is $first->read_bytes(10), 'HELLOWORLD', 'the first gets the whole body';
    $first->respond('no', '500 No');
    $other = $second->accept;
    like $other->read_head, qr/Content-Length: 10\r\n/i, 'the next is asked';
    is $other->read_bytes(10), 'HELLOWORLD', 'with the same body, which the plugin saw once';
    $other->respond('done');
    is $c->read_response->{body}, 'DONE', 'the response';
};

subtest 'nobody else is asked when a part of a stream is sent' => sub {
    # The servers take turns.
    my $c = begin('/next/unbuffered', 10, 'hello');
    my ($ready) = IO::Select->new($origin->{listener}, $second->{listener})->can_read(30);
    my $u = ($ready == $origin->{listener} ? $origin : $second)->accept;
    $u->read_head;
    is $u->read_chunk, 'HELLO', 'the first part';
    $u->respond('no', '500 No');
    my $res = $c->read_response;
    is $res->{status}, 500, 'the client gets what the server said';
    ok $origin->is_idle && $second->is_idle, 'and no other one is asked';
    is_sound('after it');
};

subtest 'another server is asked before anything of a stream is sent' => sub {
    my $c = begin('/next/gone', 10, 'hello');
    my $u = $second->accept;
    $u->read_head;
    is $u->read_chunk, 'HELLO', 'the other server gets the first part';
    $c->send_bytes('world');
    is $u->read_chunks, 'WORLD', 'and the second';
    $u->respond('done');
    is $c->read_response->{body}, 'DONE', 'the response';
};

for my $case (['/page' => 'THE PAGE'], ['/page/named' => 'THE PAGE'], ['/page/proxied' => 'NEXT']) {
    my ($path, $expected) = @$case;
    for my $length (1_000_000, undef) {
        subtest "$path: an error page in the midst of an upload " . ($length ? 'with a length' : 'in chunks') => sub {
            my $c = begin($path, $length, $length ? 'hello' : "5\r\nhello\r\n");
            my $u = $origin->accept;
            $u->read_head;
            is $u->read_chunk, 'HELLO', 'the first part';
            $u->respond('no', '403 No');
            my $res = $c->read_response;
            is $res->{status} . ' ' . $res->{body}, ($path eq '/page' ? '403' : '200') . " $expected", 'the client gets the page';
            $c->close;
            is_sound('after it');
        };
    }
}

for my $length (1_000_000, undef) {
    subtest 'X-Accel-Redirect in the midst of an upload ' . ($length ? 'with a length' : 'in chunks') => sub {
        my $c = begin('/accel', $length, $length ? 'hello' : "5\r\nhello\r\n");
        my $u = $origin->accept;
        $u->read_head;
        is $u->read_chunk, 'HELLO', 'the first part';
        $u->send("HTTP/1.1 200 OK\r\nX-Accel-Redirect: /accel.html\r\nContent-Length: 0\r\n\r\n");
        my $res = $c->read_response;
        is $res->{body}, 'THE FILE', 'the client gets what the server named';
        $c->close;
        is_sound('after it');
    };
}

is_deeply [grep { $_ } $s->get('/status')->{body} =~ /"http_contexts": ?(\d+)/g], [], 'no context is left';
$s->stop;
done_testing;
