# A client that takes its response slowly, or not at all for a while: what plugins make
# of the rest waits with the upstream, not in memory.

use lib '.';
use t::ProxyWasm;

use constant MEGABYTES => 40;

my $changing = q{proxy_wasm hostcalls '{"on_response_body": [
    {"if": ["eq", "${count}", "1"], "then": [["echo", "begun"]]},
    {"if": ["not", ["eq", "${body_size}", "0"]], "then": [
        {"op": "set_buffer_bytes", "args": ["response_body", "1", 0, 1], "quiet": true}
    ]}
]}';};
my $proxied = 'proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/upstream;';

my $s = start_nginx(
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;',
    config      => <<"E",
    location /upstream { alias html/large; }
    location /file { $changing alias html/large; }
    location /buffered { $changing $proxied }
    location /unbuffered { $changing proxy_buffering off; $proxied }
E
);

open my $large, '>', $s->html_dir . '/large' or die $!;
print {$large} '0' x (1 << 20) for 1 .. MEGABYTES;
close $large;

# Kilobytes that the worker has of its own.
sub memory {
    my ($pid) = $s->worker_pids;
    open my $in, '<', "/proc/$pid/status" or die $!;
    my ($kilobytes) = join('', <$in>) =~ /^RssAnon:\s+(\d+)/m;
    return $kilobytes;
}

# What is warm has its memory.
is length($s->get('/file')->{body}), MEGABYTES << 20, 'a client that reads';
my $before = memory();

for my $path (qw(/file /buffered /unbuffered)) {
    subtest $path => sub {
        $s->mark_log;
        my @clients = map { $s->connect } 1 .. 4;
        $_->send_request('GET', $path) for @clients;
        ok $s->wait_for_log(qr/echo begun/, count => 4), 'all are being served';
        my $first = shift @clients;
        my $r = $first->read_response;
        is length $r->{body}, MEGABYTES << 20, 'one takes all of its response';
        like $r->{body}, qr/\A(?:10+)+\z/, 'which is changed, piece by piece';
        cmp_ok memory() - $before, '<', 12 << 10, 'while the others wait the worker needs little';
        $_->close for @clients;
    };
}

$s->stop;
done_testing;
