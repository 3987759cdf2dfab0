# A request that ends while its body streams: by nginx's page, at once, or by an `error_page`, which another server may
# make. That server gets no body: the client's is dropped, and nobody reads what still comes of it.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Origin;

$ENV{MALLOC_PERTURB_} = 165;

my $origin = ProxyWasm::Origin->new;
my $port   = $origin->port;

# Does something in a tick, while the plugin holds what has come of a body.
sub in_tick {
    return '{"on_configure": [["set", "held", ""], ["set_tick_period_milliseconds", 5]],
        "on_request_body": [["set", "held", "${context_id}"], ["return", "pause"]],
        "on_tick": [{"if": ["not", ["eq", "${held}", ""]], "then": [["set_effective_context", "${held}"], ["set", "held", ""], ' . "$_[0]]}]}";
}

my $alone = '"on_request_headers": [["return", 1]]';
my %ends  = (
    trap     => [503, qq({$alone, "on_request_body": [["trap"]]})],
    answer   => [403, qq({$alone, "on_request_body": [["send_local_response", 403]]})],
    hold     => [413, qq({$alone, "on_request_body": [["return", "pause"]]}), 'body_buffer_size=2'],
    tick     => [503, in_tick('["trap"]')],
    answered => [403, in_tick('["send_local_response", 403]')],
);
my %passes = (
    unbuffered => "proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://127.0.0.1:$port;",
    buffered   => "wasm_request_body stream; proxy_http_version 1.1; proxy_pass http://127.0.0.1:$port;",
);
my %pages = ('' => '', '/page' => 'error_page 403 413 503 @page;', '/never' => 'wasm_response_body never;');
my ($plugins, $locations) = ('', '');
for my $end (sort keys %ends) {
    for my $pass (sort keys %passes) {
        my $name  = "$end-$pass";
        my $pause = $ends{$end}[1] =~ /on_request_headers/ ? 'headers' : 'all';
        $plugins .= "wasm_plugin $name \$TEST_NGINX_PLUGINS/hostcalls.wasm pause=$pause " . ($ends{$end}[2] // '') . ";\n";
        $locations .= "location = /$name$_ { wasm_pause_timeout 1h; client_body_timeout 1h; proxy_wasm $name '$ends{$end}[1]'; "
            . "$pages{$_} $passes{$pass} }\n" for sort keys %pages;
    }
}

my $s = start_nginx(
    http_config => "$plugins wasm_plugin held \$TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;",
    config      => <<"E",
        $locations
        location \@page { client_body_timeout 1ms; proxy_ignore_client_abort on; proxy_http_version 1.0; proxy_pass http://127.0.0.1:$port; }
        location = /held { wasm_pause_timeout 100ms; proxy_wasm held '{"on_request_headers": [["return", "pause"]]}'; return 204; }
        location = /status { wasm_status; }
E
);

sub begin {
    my ($path) = @_;
    my $c = $s->connect;
    push @{ $c->{methods} }, 'POST';
    $c->send_bytes("POST $path HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
    return $c;
}

# The connection of the error page. Others may have been made before the plugin ended its request; they stay open.
my @before;

sub accept_page {
    while (my $u = $origin->accept) {
        my $head = $u->read_head;
        return ($u, $head) if defined $head && $head =~ m{ HTTP/1\.0\r};
        push @before, $u;
    }
    return;
}

for my $end (sort keys %ends) {
    for my $pass (sort keys %passes) {
        my $status = $ends{$end}[0];
        subtest "$end, $pass" => sub {
            for my $path ("/$end-$pass", "/$end-$pass/never") {
                is begin($path)->read_response->{status}, $status, "$path: nginx's page comes at once";
            }
            my $c = begin("/$end-$pass/page");
            my ($u, $head) = accept_page();
            like $head, qr/^Content-Length: 0\r$/m, 'the server of the error page gets no body';
            $c->send_bytes('world');
            is $s->get('/held')->{status}, 504, 'time passes, in which nginx could wait for the body';
            $u->respond('page');
            my $got = $c->read_response;
            is "$got->{status} $got->{body}", "$status page", 'and the client gets the page';
            $c->close;
        };
    }
}
like $s->get('/status')->{body}, qr/"http_contexts": ?0\b/, 'no context is left';
$s->stop;
done_testing;
