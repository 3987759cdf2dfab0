# Every host function in every callback, the wrong ones too: an answer by the spec, and nothing of anybody else's.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';
use ProxyWasm::Hostcalls qw(hostcalls parameters);

my $steps = join ",\n", map {
    my ($name, @parameters) = @$_;
    '["raw", "' . join('", "', $name, map { parameters($_) } @parameters) . '"]'
} grep { $_->[0] !~ /close_stream|http_call|send_local_response/ } hostcalls('env');

my @callbacks = qw(
    on_vm_start on_configure on_context_create on_request_headers on_request_body on_response_headers on_response_body
    on_done on_log on_delete
);
my $zones = "wasm_shared_data 64k; wasm_shared_queue 64k; wasm_metrics_zone 64k;\n";
my $zoo   = open_zoo(
    http_config => $zones,
    plugins     => {
        (map { ($_ => { script => qq({"$_": [$steps]}) }) } @callbacks),
        on_tick => { script => qq({"on_configure": [["set_tick_period_milliseconds", 5]], "on_tick": [["set_tick_period_milliseconds", 0], $steps]}) },
        answers => { script => '{' . join(', ', map { qq("$_": [["send_local_response", 418, "late"]]) } @callbacks) . '}' },
        closes  => { script => '{' . join(', ', map { qq("$_": [["close_stream", "response"]]) } qw(on_configure on_done on_log on_delete)) . '}' },
    },
);

for my $callback (@callbacks) {
    $zoo->server->mark_log;
    is $zoo->post("/$callback", 'body')->{status}, 200, "all of them in $callback";
    is $zoo->lines(qr/failed to call function/), 0, 'and none ends the instance';
}
ok $zoo->server->wait_for_log(qr/raw/), 'on_tick ran its own';
is $zoo->lines(qr/proxy_on_tick/), 0, 'and nothing ended it';
$zoo->is_unharmed('after all of them');

is $zoo->get('/answers')->{status}, 418, 'a plugin that answers in every callback answers once';
is $zoo->get('/closes')->{status}, 200, 'closing a stream when all is over is no harm';
$zoo->is_unharmed('in the end');
$zoo->close;
done_testing;
