# A plugin of the Rust SDK that panics: the SDK never recovers from it, so its instance is replaced.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';

my $zoo = open_zoo(plugins => {
    panics => { file => 'rust-headers.wasm', script => 'conf' },
    open   => { file => 'rust-headers.wasm', script => 'conf', options => 'failure=open' },
});

for my $round (1, 2) {
    is $zoo->get('/panics')->{headers}{'x-rust'}, 'conf', "round $round: the plugin works";
    is $zoo->get('/panics', 'X-Panic' => 1)->{status}, 503, 'a panic ends its request';
    $zoo->is_unharmed('afterwards');
}
is $zoo->lines(qr/the request asked for it/), 2, 'the log has what the panic said, each time';
is $zoo->lines(qr/failed to call function: proxy_on_request_headers of plugin "panics"/), 2, 'and that the callback failed';
is $zoo->lines(qr/BorrowMutError|already borrowed/), 0, 'and no instance was used after';

my $open = $zoo->get('/open', 'X-Panic' => 1);
is $open->{body}, "open\n", 'with failure=open the request goes on';
is $open->{headers}{'x-rust'}, undef, 'without the plugin';
is $zoo->get('/open')->{headers}{'x-rust'}, 'conf', 'which is back for the next one';

$zoo->close(allow => [qr/the request asked for it|panicked at/]);
done_testing;
