# A body of several pieces that is all there when it comes (a file, what Lua prints, a local
# response): the header waits for the plugins to have seen all of it, up to 2 MiB, of which
# they may have made 256 KiB.

use lib '.';
use t::ProxyWasm;

my $body = '"on_response_body"';
sub nth { return qq({"if": ["eq", "\${count}", "$_[0]"], "then": [$_[1]]}) }
my %script = (
    changes => qq($body: [["set_buffer_bytes", "response_body", "+", 0, 0]]),
    grows   => qq($body: [["set_buffer_bytes", "response_body", {"repeat": ["+", 100000]}, 0, 0]]),
    answers => qq($body: [${\nth(3, '["send_local_response", 451, "no"]')}]),
    pauses  => qq($body: [${\nth(3, '["http_call", "callee", [[":method", "GET"], [":path", "/callee"], [":authority", "x"]]], ["return", "pause"]')}],
        "on_http_call_response": [["continue_stream", "response"]]),
    traps   => qq($body: [${\nth(3, '["panic", "there"]')}]),
    keeps   => '',
);

my $s = start_nginx(
    http_config => join('', map { "wasm_plugin $_ \$TEST_NGINX_PLUGINS/hostcalls.wasm;\n" } sort keys %script) . <<'E_',
    upstream callee { server 127.0.0.1:$TEST_NGINX_SERVER_PORT; }
E_
    config => join('', map {
        my $plugin = "sendfile on; proxy_wasm $_ '{$script{$_}}';";
        <<"E_"
        location /$_/ { $plugin alias html/; }
        location /$_/limited/ { limit_rate 8m; $plugin alias html/; }
        location /$_/sub/ { sub_filter_types *; sub_filter_once off; sub_filter 0 x; $plugin alias html/; }
        location /$_/at-once/ { postpone_output 0; $plugin alias html/; }
E_
    } sort keys %script) . 'location /callee { return 204; }',
);

sub make_file {
    my ($name, $size) = @_;
    open my $out, '>', $s->html_dir . "/$name" or die $!;
    print {$out} '0' x $size;
    close $out;
}
my ($PIECE, $size) = (64 << 10, 1 << 20);
my $pieces = $size / $PIECE;
make_file(three => 3 * $PIECE);
make_file(there => $size);
make_file(more  => 3 << 20);

sub strong { return $_[0]{headers}{etag} =~ /^"/ }

for my $way ('', 'limited/', 'at-once/') {
    subtest "from a file, /$way" => sub {
        my $r = $s->get("/keeps/${way}there");
        is $r->{headers}{'content-length'}, $size, 'unchanged, it says its length';
        ok strong($r), 'and keeps its strong tag';
        is length $r->{body}, $size, 'and is whole';

        $r = $s->get("/changes/${way}three");
        is $r->{headers}{'content-length'}, 3 * ($PIECE + 1), 'changed, it says the new length';
        is $r->{headers}{etag}, undef, 'and no tag';
        ok $r->{body} eq ('+' . '0' x $PIECE) x 3, 'and is what the plugin made of it';

        $r = $s->get("/pauses/${way}there");
        is $r->{headers}{'content-length'}, $size, 'held in between, it says its length';
        is length $r->{body}, $size, 'and is whole';

        $r = $s->get("/answers/${way}there");
        is $r->{status}, 451, 'a later piece may still be answered';
        is $r->{body}, 'no', 'with nothing of what was there';

        $r = $s->get("/traps/${way}there");
        is $r->{status}, 503, 'a failure there is still a page of its own';
        unlike $r->{body}, qr/000/, 'with nothing of what was there';
    };
}

subtest 'what grows too large for memory is sent without its length' => sub {
    my $r = $s->get('/grows/there');
    is $r->{headers}{'content-length'}, undef, 'no length';
    is $r->{headers}{etag}, undef, 'no tag';
    ok $r->{body} eq ('+' x 100_000 . '0' x $PIECE) x $pieces, 'and all of it';
};

subtest 'so is what is larger from the start' => sub {
    my $r = $s->get('/keeps/more');
    is $r->{headers}{'content-length'}, undef, 'no length';
    ok !strong($r), 'a weak tag';
    is length $r->{body}, 3 << 20, 'and all of it';
};

subtest 'a filter that reads the file' => sub {
    for my $plugin (qw(keeps changes)) {
        my $r = $s->get("/$plugin/sub/there");
        is $r->{body} =~ tr/x//, $size, "$plugin: sees all of it";
        is $r->{headers}{'content-length'}, undef, "$plugin: and says that it changes it";
    }
};

subtest 'the connection goes on' => sub {
    my $c = $s->connect;
    for my $path (qw(/keeps/there /answers/there /changes/there /keeps/there)) {
        $c->send_request('GET', $path);
        my $r = $c->read_response;
        is $r->{status}, $path =~ /answers/ ? 451 : 200, $path;
    }
};

$s->stop;
done_testing;
