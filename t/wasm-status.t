# wasm_status: what a worker runs, as JSON.

use lib '.';
use t::ProxyWasm;
use JSON::PP ();

my $s = start_nginx(
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;',
    config      => <<'E',
    location /t { proxy_wasm hostcalls '{"on_request_headers": [["set_shared_data", "k", "v"], ["send_local_response", 200]]}'; }
    location /trap { proxy_wasm hostcalls '{"on_request_headers": [["trap"]]}'; }
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
is $plugin->{plugin_contexts}, 2, 'contexts';
is $plugin->{failures}, 0, 'failures';
is $status->{zones}{shared_data}{items}, 1, 'items in shared data';

is $s->get('/trap')->{status}, 503, 'a trap';
sub now { return JSON::PP::decode_json($s->get('/status')->{body})->{plugins}[0] }
my $failed = now();
is_deeply [@$failed{qw(failures starts)}, !!$failed->{running}], [1, 1, !!0], 'is counted, and its instance is gone';
is $s->get('/t')->{status}, 200, 'the next request';
my $restarted = now();
is_deeply [@$restarted{qw(failures starts)}, !!$restarted->{running}], [1, 2, !!1], 'starts another';

$s->stop;
done_testing;
