# What the host keeps for a plugin, by what it keeps: past the limit a plugin is refused more, and all is given back in the end. A
# call outlives its request: what it keeps is given back when it is over.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';

use constant LIMIT => 'host_memory=1m';

my $called = free_port();
my $text   = '{"repeat": ["x", 600000]}';

# A step whose outcome is added to what the plugin answers.
sub quiet { my ($name, $op, @args) = @_; return qq({"op": "$op", "args": [@{[join ', ', @args]}], "as": "$name", "quiet": true}) }

# Two steps of a kind, of which the first fits, and an answer that says what came of them.
sub twice {
    my ($op, @args) = @_;
    return '{"on_request_headers": ['
        . join(', ', quiet(first => $op, @args), quiet(second => $op, @args))
        . ', ["send_local_response", 200, "${first} ${second}"]]}';
}

my $server = qq("127.0.0.1:$called");
my %scripts = (
    call     => twice('http_call', $server, '[[":method", "GET"], [":authority", "a"], [":path", "/never"]]', $text, '[]', 300),
    trailers => twice('http_call', $server, '[[":method", "GET"], [":authority", "a"], [":path", "/never"]]', '""', qq([["a", $text]]), 300),
    message  => twice('grpc_call', $server, '"s"', '"m"', '[]', $text, 300),
    metadata => twice('grpc_call', $server, '"s"', '"m"', qq([["a", $text]]), '""', 300),
    field    => twice('add_header_map_value', '"response"', '"x-long"', $text),
    stream   => '{"on_request_headers": ['
        . join(', ', quiet(stream => 'grpc_stream', $server, '"s"', '"m"'),
            quiet(first => 'grpc_send', '"${stream}"', $text), quiet(second => 'grpc_send', '"${stream}"', $text))
        . ', ["send_local_response", 200, "${first} ${second}"]]}',
    answer => '{"on_request_headers": ['
        . quiet(first => 'send_local_response', 200, '{"repeat": ["x", 1100000]}')
        . ', ["send_local_response", 200, "${first}"]]}',
    body => '{"on_request_body": ['
        . quiet(first => 'set_buffer_bytes', '"request_body"', '{"repeat": ["x", 1100000]}')
        . ', ["send_local_response", 200, "${first}"]]}',
    response => qq({"on_request_headers": [["http_call", $server, [[":method", "GET"], [":authority", "a"], [":path", "/large"]]], ["return", "pause"]],
        "on_http_call_response": [["send_local_response", 200, "fields: \${num_headers}"]]}),
    held => '{"on_response_body": [{"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "pause"]]}]}',
);
my %answers = (
    (map { $_ => qr/^(?:OK|\d+) INTERNAL_FAILURE$/ } qw(call trailers message metadata stream)),
    field    => qr/^OK INTERNAL_FAILURE$/,
    answer   => qr/^INTERNAL_FAILURE$/,
    body     => qr/^INTERNAL_FAILURE$/,
    response => qr/^fields: 3$/,
);

# Reads a variable that nginx evaluates anew each time, until there is none any more.
my $reader = <<'WAT';
(module
  (import "env" "proxy_get_property" (func $get (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "connection")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (loop $again
      (br_if $again (i32.eqz (call $get (i32.const 0) (i32.const 10) (i32.const 64) (i32.const 68)))))
    (i32.const 0)))
WAT

# The same of a property that a plugin set: nginx looks for a variable of its name first.
(my $kept = $reader) =~ s/"connection"/"conn-quota"/;
$kept =~ s/(  \(memory)/  (import "env" "proxy_set_property" (func \$set (param i32 i32 i32 i32) (result i32)))\n$1/;
$kept =~ s/(\(loop)/(drop (call \$set (i32.const 0) (i32.const 10) (i32.const 0) (i32.const 1)))\n    $1/;

my $zoo = open_zoo(
    plugins => {
        (map { $_ => { script => $scripts{$_}, options => LIMIT } } keys %scripts),
        reader => { file => 'reader.wat', options => 'host_memory=128k callback_timeout=60s' },
        kept   => { file => 'kept.wat', options => 'host_memory=128k callback_timeout=60s' },
        held   => { script => $scripts{held}, options => LIMIT, content => 'proxy_buffering off; proxy_pass http://127.0.0.1:' . $called . '/large;' },
    },
    user_files  => [['reader.wat', $reader], ['kept.wat', $kept], ['large', 'x' x 2_000_000]],
    config      => 'location = /status { wasm_status; }',
    http_config => <<"CONF",
    server {
        listen 127.0.0.1:$called;
        client_max_body_size 10m;
        location = /never { lua_check_client_abort on; content_by_lua_block { ngx.req.read_body() ngx.sleep(3600) } }
        location = /large { alias \$TEST_NGINX_HTML_DIR/large; }
    }
CONF
);

sub given_back {
    for (1 .. 2000) {
        return 1 if host_memory() == 0;
        select undef, undef, undef, 0.005;
    }
    return 0;
}

sub host_memory { return $zoo->get('/status')->{body} =~ /^  "host_memory": (\d+)/m ? $1 : -1 }

for my $name (sort keys %answers) {
    subtest $name => sub {
        for my $time (qw(first second)) {
            my $got = $name eq 'body' ? $zoo->post("/$name", 'text') : $zoo->get("/$name");
            like $got->{body}, $answers{$name}, "is refused past the limit, the $time time too";
            ok given_back(), 'all is given back';
        }
        is $zoo->lines(qr/\[error\].*plugin "$name" is refused \d+ bytes past wasm_host_memory \(1048576\)/) > 0, 1, 'which is told';
        $zoo->is_unharmed('afterwards');
    };
}

for my $what (['variables', 'reader'], ['properties that were set', 'kept']) {
    my ($name, $plugin) = @$what;
    subtest $name => sub {
        is $zoo->get("/$plugin")->{status}, 200, 'are not found, past the limit';
        ok $zoo->lines(qr/plugin "$plugin" is refused \d+ bytes past wasm_host_memory/), 'which is told';
        is host_memory(), 0, 'all is given back';
    };
}

subtest 'a body that is held' => sub {
    my $got = eval { $zoo->get('/held') };
    isnt $got && length($got->{body} // ''), 2_000_000, 'does not come through';
    ok $zoo->lines(qr/plugin "held" is refused/), 'which is told';
    is host_memory(), 0, 'all is given back';
    $zoo->is_unharmed('afterwards');
};

$zoo->close;
done_testing;
