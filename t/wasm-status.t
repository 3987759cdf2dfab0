# wasm_status: what a worker runs, as JSON.

use lib '.';
use t::ProxyWasm;
use JSON::PP ();

my $s = start_nginx(
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;',
    config      => <<'E',
    location /t { proxy_wasm hostcalls '{"on_request_headers": [["set_shared_data", "k", "v"], ["send_local_response", 200]]}'; }
    location = /status { wasm_status; }
E
);

$s->get('/t');
my $res = $s->get('/status');
is $res->{headers}{'content-type'}, 'application/json', 'content type';
my $status = JSON::PP::decode_json($res->{body});
is_deeply [$status->{pid}], [$s->worker_pids], 'pid';
like $status->{nginx}, qr/^\d+\.\d+\.\d+$/, 'version of nginx';
my ($plugin) = @{ $status->{plugins} };
is $plugin->{name}, 'hostcalls', 'plugin';
ok $plugin->{running}, 'runs';
cmp_ok $plugin->{memory}, '>=', 65536, 'memory';
is $plugin->{plugin_contexts}, 1, 'contexts';
is $plugin->{failures}, 0, 'failures';
is $status->{zones}{shared_data}{items}, 1, 'items in shared data';

$s->stop;
done_testing;
