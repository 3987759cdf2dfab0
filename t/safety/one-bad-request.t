# A request that makes a plugin panic costs itself, and those that the plugin had in its hands at that moment: each is told which call it
# was, and metrics count the two kinds apart. The next request is served as if nothing had been.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Settings ();
use JSON::PP qw(decode_json);

# A start of Go's runtime takes some milliseconds, and under a sanitizer many: after so many it may have to wait.
use constant ROUNDS => $ProxyWasm::Settings::Patience > 1 ? 2 : 3;

my $waits = '{"on_request_headers": [
    {"if": ["request_header", "x-bad"], "then": [["trap"]]},
    {"if": ["request_header", "x-wait"], "then": [["return", "pause"]]}
]}';
$waits =~ s/\s*\n\s*/ /g;

for my $workers (1, 3) {
    for my $case ([rust => 'rust-headers', 'x-rust'], [go => 'go-headers', 'x-go']) {
        my ($name, $file, $mark) = @$case;
        subtest "$workers worker(s), a plugin in $name" => sub {
            my $s = start_nginx(
                workers     => $workers,
                http_config => "wasm_plugin $name \$TEST_NGINX_PLUGINS/$file.wasm;",
                config      => "location /x/ { proxy_wasm $name conf; proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/plain/; }\n"
                    . 'location /plain/ { return 200 plain; }',
            );
            my %got;
            for (1 .. ROUNDS) {
                $got{bad}{ $s->get('/x/', 'X-Panic' => 1)->{status} }++;
                for (1 .. 5) {
                    my $good = $s->get('/x/');
                    $got{good}{"$good->{status} $good->{headers}{$mark}"}++;
                }
            }
            is_deeply \%got, { bad => { 503 => ROUNDS }, good => { '200 conf' => 5 * ROUNDS } }, 'only the bad requests fail';
            $s->stop(allow => [qr/./]);
        };
    }
}

for my $path (qw(native lua)) {
    subtest "$path: requests in its hands" => sub {
        my $s = start_nginx(
            lua         => 1,
            http_config => "wasm_plugin p \$TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;",
            config      => "location = /native { proxy_wasm p '$waits'; return 200 ok; }\n" . <<"CONF",
    location = /lua {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            plugin = plugin or assert(wasm.load("p", "\$TEST_NGINX_PLUGINS/hostcalls.wasm"))
            ctx = ctx or assert(wasm.on_configure(plugin, [=[$waits]=]))
            local ok = wasm.on_http_request_headers(ctx)
            ngx.exit(ok and 200 or 503)
        }
    }
    location = /status { wasm_status; }
    location = /metrics { wasm_metrics; }
    location = /plain { return 200 plain; }
CONF
        );
        my @waiting = map { $s->connect } 1 .. 3;
        $_->send_request('GET', "/$path", headers => ['X-Wait' => 1], close => 1) for @waiting;
        ok $s->wait_for_log(qr/create http context/, count => 3), 'three';
        # They are where they wait once the worker has answered something that came later.
        $s->get('/plain');
        is $s->get("/$path", 'X-Bad' => 1)->{status}, 503, 'another one makes the plugin trap';
        is $_->read_response->{status}, 503, 'which they get to know' for @waiting;

        my $log = $s->error_log;
        my ($id) = $log =~ /\[error\] .*failed to call function: proxy_on_request_headers of plugin "p" in context (\d+): wasm trap/;
        my @lines = $log =~ /^.*plugin "p" failed: .*$/mg;
        my ($collateral, $caused) = map { my $kind = $_; [grep { /$kind/ } @lines] } qr/another call/, qr/wasm trap/;
        is_deeply [scalar @$collateral, scalar @$caused, scalar @lines], [3, 1, 4], 'each has one line' or diag @lines;
        is grep({ /\[info\] .*: its instance failed in another call: proxy_on_request_headers of context $id, client: / } @$collateral),
            3, 'at info, which names the call that failed';

        my $metrics = $s->get('/metrics')->{body};
        like $metrics, qr/^proxy_wasm_failed_requests_total\{plugin="p",role="caused"\} 1$/m, 'a metric counts who caused it';
        like $metrics, qr/^proxy_wasm_failed_requests_total\{plugin="p",role="collateral"\} 3$/m, 'and who was there';
        my ($plugin) = grep { $_->{failures} } @{ decode_json($s->get('/status')->{body})->{plugins} };
        is_deeply $plugin->{all_workers}{failed_requests}, { caused => 1, collateral => 3 }, 'as the status does';
        like $s->get('/status', Accept => 'text/html')->{body}, qr{>4<small>1 caused, 3 collateral</small></td>}, 'and its page';
        is $s->get("/$path")->{status}, 200, 'the next request works';
        $s->stop(allow => [qr/failed to call function/, qr/unreachable/]);
    };
}

done_testing;
