# A plugin that names contexts which are not its own to use: those of other plugins do not exist for it, and a request that is over
# is out of its reach. Contexts of one VM share its memory, and may be named: the spec wants that.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';

# Each id that may be in use, and some that cannot; then the request's header through it.
my $probe = join ', ', map { qq(["set_effective_context", $_], ["get_header_map_value", "request", "x-secret"]) } 0 .. 12, 4294967295, 2147483648;
my $zoo = open_zoo(
    plugins => {
        victim => { script => '{"on_request_headers": [{"if": ["request_header", "x-secret"], "then": [["return", "pause"]]}]}', location => 'wasm_pause_timeout 2s;' },
        spy    => { script => qq({"on_request_headers": [$probe]}) },
        late   => {
            script => '{
                "on_request_headers": [{"if": ["request_header", "x-secret"], "then": [["set", "id", "${context_id}"]],
                    "else": [["set_effective_context", "${id}"], ["get_header_map_value", "request", "x-secret"],
                             ["add_header_map_value", "response", "x-late", "1"], ["continue_stream", "request"]]}],
                "on_done": [{"if": ["request_header", "x-secret"], "then": [["return", false]]}]
            }',
        },
    },
);

subtest 'contexts of another plugin' => sub {
    my $waiting = $zoo->server->connect;
    $waiting->send_request('GET', '/victim', headers => ['X-Secret' => 'hush'], close => 1);
    ok $zoo->server->wait_for_log(qr/create http context/), 'are alive';
    $zoo->server->mark_log;
    is $zoo->get('/spy')->{status}, 200, 'a plugin that tries all ids';
    is $zoo->lines(qr/hush/), 0, 'sees nothing of their request';
    my @found = map { /set_effective_context (\d+) -> OK/ } $zoo->lines(qr/set_effective_context/);
    is_deeply \@found, [1, 2], 'and finds the two of its own VM';
    $waiting->close;
};

subtest 'a request that is over' => sub {
    is $zoo->get('/late', 'X-Secret' => 'hush')->{status}, 200, 'while its context waits for proxy_done';
    $zoo->server->mark_log;
    is $zoo->get('/late')->{status}, 200, 'another request names that context';
    is $zoo->lines(qr/get_header_map_value .*hush/), 0, 'and reads nothing of it';
    ok $zoo->lines(qr/get_header_map_value request x-secret -> NOT_FOUND/), 'but that it is not there';
    $zoo->is_unharmed('afterwards');
};

$zoo->close;
done_testing;
