# A request's body that a plugin read or changed, in the form of each kind of upstream: FastCGI,
# uwsgi, SCGI, gRPC and HTTP, with request buffering and without. Upstream gets what it would have
# got from a client that sent the changed body with its length. If the body streams through a plugin,
# which holds all of it, upstream gets the same body, perhaps without its length.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Gateway;
use ProxyWasm::Port qw(reserve_port);
use ProxyWasm::Upstream qw(upstream);

my $gateway  = ProxyWasm::Gateway->start;
my $gateways = '127.0.0.1:' . $gateway->port;
my %port     = map { $_ => reserve_port() } qw(h2 grpc);

# -- what becomes of a body ----------------------------------------------------------------------

my %steps = (
    read      => '["get_buffer_bytes", "request_body", 0, 10]',
    replaced  => '["set_buffer_bytes", "request_body", "something else"]',
    shortened => '["set_buffer_bytes", "request_body", "", 0, 2]',
    emptied   => '["set_buffer_bytes", "request_body", ""]',
    appended  => '["set_buffer_bytes", "request_body", "!", 1000000, 0]',
    prepended => '["set_buffer_bytes", "request_body", "<", 0, 0]',
    grown     => '["set_buffer_bytes", "request_body", {"repeat": ["0123456789", 10000]}]',
);
my %result = (
    read      => sub { $_[0] },
    replaced  => sub { 'something else' },
    shortened => sub { length $_[0] > 2 ? substr $_[0], 2 : '' },
    emptied   => sub { '' },
    appended  => sub { "$_[0]!" },
    prepended => sub { "<$_[0]" },
    grown     => sub { '0123456789' x 10_000 },
);

# -- where it goes -------------------------------------------------------------------------------

my $params = join ' ', map { "%1\$s_param $_;" } 'CONTENT_LENGTH $content_length',
    'CONTENT_TYPE $content_type', 'REQUEST_METHOD $request_method';
my %kind = (
    (map { $_ => sprintf "$params %1\$s_pass $gateways;", $_ } qw(fastcgi uwsgi)),
    # nginx makes a CONTENT_LENGTH of its own.
    scgi => "scgi_param REQUEST_METHOD \$request_method; scgi_pass $gateways;",
    grpc => "grpc_pass grpc://127.0.0.1:$port{grpc};",
    http => 'proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/echo;',
);
my %unbuffered = (
    http => 'proxy_request_buffering off;',
    map { $_ => $_ . '_request_buffering off;' } qw(fastcgi uwsgi scgi),
);

my $until_end = '{"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "pause"]]}';

sub locations_of {
    my ($kind) = @_;
    my $locations = "location /$kind/plain { $kind{$kind} }\n";
    for my $step (sort keys %steps) {
        my $plugin = "proxy_wasm hostcalls '{"
            . '"on_request_headers": [["set_property", "wasm_process_req_body", "1"]], '
            . qq("on_request_body": [$steps{$step}]}';);
        $locations .= "location /$kind/$step { wasm_request_body whole; $plugin $kind{$kind} }\n";
        my $off = $unbuffered{$kind} // '';
        my $held = $plugin =~ s/"on_request_body": \[/"on_request_body": [$until_end, /r;
        $locations .= "location /$kind/$step/streamed { $held $off $kind{$kind} }\n";
        next if !$off;
        $locations .= "location /$kind/$step/unbuffered { wasm_request_body whole; $plugin $off $kind{$kind} }\n";
    }
    return $locations;
}

my $s = start_nginx(
    lua         => 1,
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;' . upstream() . <<"E",
    server {
        listen 127.0.0.1:$port{grpc} http2;
        client_body_buffer_size 1m;
        location / {
            content_by_lua_block {
                ngx.req.read_body()
                local length = ngx.var.http_content_length or "none"
                ngx.print("length: ", length, "\\n\\n", ngx.req.get_body_data() or "")
            }
        }
    }
E
    config => "listen $port{h2} http2; client_body_buffer_size 8k;\n"
        . join('', map { locations_of($_) } sort keys %kind),
);

# -- how it comes --------------------------------------------------------------------------------

# For curl; over HTTP/2, it takes this field for a wish not to tell the length.
my $without_length = 'header = "Transfer-Encoding: chunked"';
my $h2 = 'http2-prior-knowledge';
my %form = (
    'HTTP/1.1'                 => { port => $s->port },
    'HTTP/1.1, without length' => { port => $s->port, options => [$without_length] },
    'HTTP/2'                   => { port => $port{h2}, options => [$h2] },
    'HTTP/2, without length'   => { port => $port{h2}, options => [$h2, $without_length] },
);

my $folder = $s->root . '/bodies';
mkdir $folder or die "$folder: $!\n";

sub write_file {
    my ($name, $content) = @_;
    open my $out, '>', "$folder/$name" or die "$folder/$name: $!\n";
    print {$out} $content;
    close $out;
}

sub content_of {
    my ($name) = @_;
    open my $in, '<', "$folder/$name" or return 'no answer';
    local $/;
    return scalar <$in>;
}

# Answers to requests of [path, form, body], from one curl for all, which ends if one hangs. Each
# goes to an address of its own: curl 7.88 fails to send a second body over a connection of HTTP/2.
sub answers {
    my @requests = @_;
    my @conf;
    for my $i (0 .. $#requests) {
        my ($path, $form, $body) = @{ $requests[$i] };
        write_file("in-$i", $body // '');
        unlink "$folder/out-$i";
        my $address = '127.0.0.' . ($form =~ m{HTTP/2} ? 2 + $i % 250 : 1);
        push @conf, join "\n", qq(url = "http://$address:$form{$form}{port}$path"),
            'silent', 'show-error', 'fail-early', 'max-time = 60', 'request = "POST"',
            (map { qq(header = "$_") } 'Host: example', 'Expect:', 'Content-Type: a/b'),
            @{ $form{$form}{options} // [] },
            defined $body ? qq(data-binary = "\@$folder/in-$i") : (),
            qq(output = "$folder/out-$i"), '';
    }
    open my $curl, '|-', 'curl', '-K', '-' or die "curl: $!\n";
    print {$curl} join "next\n", @conf;
    close $curl;
    return map { content_of("out-$_") } 0 .. $#requests;
}

# -- the cells -----------------------------------------------------------------------------------

# Each with the request of a client that sent what the plugin makes of it.
sub cells_of {
    my ($kind, $body) = @_;
    my @cells;
    for my $step (sort keys %steps) {
        my $becomes = $result{$step}->($body // '');
        my $is_read = $step eq 'read';
        for my $form (grep { defined $body || !/without/ } sort keys %form) {
            # By itself, grpc_pass does not wait for the end of a body to learn its length.
            my $as_form = $is_read && $kind ne 'grpc' ? $form : $form =~ s/, without length//r;
            my $same = ["/$kind/plain", $as_form, $is_read ? $body : $becomes];
            push @cells, map { [["/$kind/$step$_", $form, $body], $same] }
                '', $unbuffered{$kind} ? '/unbuffered' : ();
            push @cells, [["/$kind/$step/streamed", $form, $body], $same];
        }
    }
    return @cells;
}

for my $kind (sort keys %kind) {
    for my $body (undef, 'hello', 'b' x 100_000) {
        subtest "$kind, " . (defined $body ? length $body : 'no') . ' bytes' => sub {
            my @cells = cells_of($kind, $body);
            my @got   = answers(map { $_->[0] } @cells);
            my @want  = answers(map { $_->[1] } @cells);
            for my $i (0 .. $#cells) {
                my ($path, $form) = $cells[$i][0]->@*;
                my $becomes = $cells[$i][1][2] // '';
                if ($path =~ /streamed$/) {
                    my $body = $kind eq 'http' ? $got[$i] : $got[$i] =~ /\n\n(.*)\z/s ? $1 : '';
                    ok $got[$i] ne 'no answer' && $body eq $becomes, "$path, $form: the body" or diag substr $got[$i], 0, 500;
                    next;
                }
                ok $got[$i] eq $want[$i], "$path, $form: as from a client"
                    or diag map { substr($_, 0, 500) . "\n--\n" } $got[$i], $want[$i];
                is substr($got[$i], -length $becomes), $becomes, "$path, $form: the body"
                    if length $becomes;
            }
        };
    }
}
$s->stop;
done_testing;
