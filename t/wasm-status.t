# wasm_status: what a worker runs, as JSON, and as a page for browsers.

use lib '.';
use t::ProxyWasm;
use JSON::PP ();

my $s = start_nginx(
    user_files => [['broken.wat', <<'WAT']],
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize") unreachable))
WAT
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm memory_limit=32m;
                    wasm_plugin broken $TEST_NGINX_HTML_DIR/broken.wat;
                    wasm_plugin "<b>&" $TEST_NGINX_PLUGINS/hostcalls.wasm;',
    config      => <<'E',
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["set_shared_data", "k", "v"], ["send_local_response", 200]]
        }';
    }
    location /broken { proxy_wasm broken; }
    location /other { proxy_wasm '<b>&'; }
    location /trap { proxy_wasm hostcalls '{"on_request_headers": [["trap"]]}'; }
    location = /status { wasm_status; }
E
);

sub status { return JSON::PP::decode_json($s->get('/status')->{body}) }

sub of_plugin {
    my ($name) = @_;
    return (grep { $_->{name} eq $name } @{ status()->{plugins} })[0];
}

$s->get('/t');
my $res = $s->get('/status');
is $res->{headers}{'content-type'}, 'application/json', 'content type';
is $res->{headers}{'cache-control'}, 'no-store', 'is not kept by caches';
my $status = status();
is_deeply [$status->{pid}], [$s->worker_pids], 'pid';
like $status->{nginx}, qr/^\d+\.\d+\.\d+$/, 'version of nginx';
like $status->{wasmtime}, qr/^48\.\d+\.\d+$/, 'version of wasmtime';
is $status->{calls}, 0, 'calls under way';
my $plugin = of_plugin('hostcalls');
ok $plugin->{running}, 'runs';
is $plugin->{abi_version}, '0.2.1', 'ABI version';
is $plugin->{size}, -s "$ENV{TEST_NGINX_PLUGINS}/hostcalls.wasm", 'size of the file';
like $plugin->{blake3}, qr/^[0-9a-f]{64}$/, 'its hash';
cmp_ok $plugin->{memory}, '>=', 65536, 'memory';
is $plugin->{memory_limit}, 32 << 20, 'limit of memory';
is $plugin->{plugin_contexts}, 2, 'contexts';
is $plugin->{failures}, 0, 'failures';
is $plugin->{all_workers}{requests}, 1, 'requests in all workers';
is $plugin->{all_workers}{starts}, 1, 'starts in all workers';
is $status->{zones}{shared_data}{items}, 1, 'items in shared data';

is $s->get('/trap')->{status}, 503, 'a trap';
my $trapped = of_plugin('hostcalls');
is_deeply [@$trapped{qw(failures starts)}, !!$trapped->{running}], [1, 1, !!0], 'is counted, and its instance is gone';
is $s->get('/t')->{status}, 200, 'the next request';
my $restarted = of_plugin('hostcalls');
is_deeply [@$restarted{qw(failures starts)}, !!$restarted->{running}], [1, 2, !!1], 'starts another';

my $type = sub { return $s->get(@_)->{headers}{'content-type'} };
my $html = 'text/html; charset=utf-8';
is $type->('/status', Accept => 'text/html,application/xhtml+xml,*/*;q=0.8'), $html, 'a browser gets HTML';
is $type->('/status', Accept => 'application/json'), 'application/json', 'who asks for JSON gets JSON';
is $type->('/status', Accept => '*/*'), 'application/json', 'and who takes anything';
is $type->('/status?format=html'), $html, 'HTML by argument';
is $type->('/status?format=json', Accept => 'text/html'), 'application/json', 'JSON by argument';
is $s->get('/status')->{headers}{vary}, 'Accept', 'caches are told so';

my $page = $s->get('/status', Accept => 'text/html');
like $page->{body}, qr{<th scope="row">hostcalls<small[^>]*>ABI 0\.2\.1 .*<span class="state on">running</span>}s, 'the plugin';
like $page->{body}, qr{<small>of 32 MB</small>}, 'its memory';
like $page->{body}, qr{<th scope="row">&lt;b&gt;&amp;<small}, 'what an operator wrote is escaped';
unlike $page->{body}, qr{<b>&<|<script|(?:src|href)="(?!\?)|url\(|\@import}, 'nothing else is fetched, and no script runs';
is $page->{headers}{'content-security-policy'}, q{default-src 'none'; style-src 'unsafe-inline'}, 'nor could it be';
unlike $page->{body}, qr/http-equiv/, 'it stays as it is';
like $s->get('/status?refresh=5', Accept => 'text/html')->{body}, qr/<meta http-equiv="refresh" content="5">/,
    'or loads itself again';
unlike $s->get('/status?refresh=0%22', Accept => 'text/html')->{body}, qr/http-equiv/, 'if the argument is a number of seconds';

my %counts = %{ $restarted->{all_workers}{failed_requests} };
is_deeply \%counts, { caused => 1, collateral => 0 }, 'requests that caused failures, in all workers';

$s->get('/broken') for 1 .. 2;
my $failed = of_plugin('broken');
ok !$failed->{running}, 'a plugin whose start failed does not run';
ok $failed->{retry_in} > 0, 'and will be tried again';
cmp_ok $failed->{all_workers}{failures}, '>=', 2, 'its failures in all workers';
like $s->get('/status', Accept => 'text/html')->{body}, qr{<span class="state bad">failed</span><small>again in}, 'the page says so';

$s->stop(allow => [qr/failed to call function/, qr/unreachable/, qr/fails again and again/]);
done_testing;
