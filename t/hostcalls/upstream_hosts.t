# proxy_get_upstream_hosts and proxy_set_upstream_override_host, of Higress's ABI: a plugin looks at the servers of the location's
# upstream and chooses one.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::LuaSetup;

my ($one, $two, $three, $backup, $down, $dead, $zone_dead, $at_times) = map { free_port() } 1 .. 8;
my $choose = '{"on_request_headers": [{"op": "get_header_map_value", "args": ["request", "x-host"], "as": "host"},
    ["set_upstream_override_host", "${host}"]]}';
my $list = '{"on_request_headers": [["get_upstream_hosts"], ["send_local_response", 200, "${status} ${last}"]]}';

my %kinds = (
    robin => '', zone => 'zone z 64k;', least => 'least_conn;', ip => 'ip_hash;', hash => 'hash $uri;', random => 'random;', keepalive => 'keepalive 4;',
    keepalive_zone => 'zone y 64k; keepalive 4;',
);
my $servers   = "server 127.0.0.1:$one; server 127.0.0.1:$two; server 127.0.0.1:$three;";
my $balancers = join "\n", map { $kinds{$_} =~ /keepalive/ ? "upstream $_ { $servers $kinds{$_} }" : "upstream $_ { $kinds{$_} $servers }" } sort keys %kinds;

# The server that is chosen there does not answer, and its failures are not enough to leave it alone.
my $tried = join "\n", map { my $both = "server 127.0.0.1:$dead max_fails=0; server 127.0.0.1:$two max_fails=0;";
    $kinds{$_} =~ /keepalive/ ? "upstream tried_$_ { $both @{[$kinds{$_} =~ s/zone y/zone ty/r]} }" : "upstream tried_$_ { @{[$kinds{$_} =~ s/zone z/zone tz/r]} $both }"
} sort keys %kinds;

my %options = (
    http_config => <<"CONF",
    wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls-0-2-100.wasm;
    $balancers
    $tried
    upstream tried_backup { server 127.0.0.1:$dead max_fails=0; server 127.0.0.1:$dead max_fails=0; server 127.0.0.1:$two max_fails=0 backup; }
    upstream at_times { server 127.0.0.1:$at_times max_fails=2 fail_timeout=1s; server 127.0.0.1:$two; }
    server { listen 127.0.0.1:$at_times; location / { if (\$arg_bad) { return 500; } return 200 'at times'; } }
    upstream mixed { server 127.0.0.1:$one weight=3; server 127.0.0.1:$down down; server 127.0.0.1:$backup backup; server unix:/nowhere; }
    upstream failing { server 127.0.0.1:$dead max_fails=1 fail_timeout=60s; server 127.0.0.1:$two; }
    upstream failing_zone { zone f 64k; server 127.0.0.1:$zone_dead max_fails=1 fail_timeout=60s; server 127.0.0.1:$two; }
    server { listen 127.0.0.1:$one; location / { return 200 one; } }
    server { listen 127.0.0.1:$two; location / { return 200 two; } }
    server { listen 127.0.0.1:$three; location / { return 200 three; } }
    server { listen 127.0.0.1:$backup; location / { return 200 backup; } }
CONF
    config => join('', map { "location = /$_ { proxy_wasm hostcalls conf_file=html/choose; proxy_pass http://$_/; }\n" } sort(keys %kinds),
            'mixed', 'failing', 'failing_zone', map { "tried_$_" } sort(keys %kinds), 'backup')
        . join('', map { "location = /list-$_ { proxy_wasm hostcalls conf_file=html/list; proxy_pass http://$_/; }\n" } 'mixed', 'zone', 'failing', 'failing_zone', 'at_times')
        . <<"CONF",
    location = /at_times { proxy_wasm hostcalls conf_file=html/choose; proxy_next_upstream error http_500; proxy_pass http://at_times; }
    location = /list-address { proxy_wasm hostcalls conf_file=html/list; proxy_pass http://127.0.0.1:$one; }
    location = /list-none { proxy_wasm hostcalls conf_file=html/list; }
    location = /list-variable { set \$up robin; proxy_wasm hostcalls conf_file=html/list; proxy_pass http://\$up/; }
    location = /variable { set \$up robin; proxy_wasm hostcalls conf_file=html/choose; proxy_pass http://\$up/; }
    location = /grpc { proxy_wasm hostcalls conf_file=html/list; grpc_pass robin; }
    location = /plain { proxy_pass http://robin/; }
    location = /log { proxy_wasm hostcalls conf_file=html/choose; proxy_pass http://robin/; add_header X-Upstream \$upstream_addr always; }
CONF
    user_files => [[choose => $choose], [list => $list]],
);
my $s = start_nginx(%options);
sub chosen { my ($path, $port) = @_; return $s->get("/$path", 'X-Host' => "127.0.0.1:$port")->{body} }
sub healthy { return qq(127.0.0.1:$_[0]: {"health_status":"Healthy","weight":1,"backup":false}) }

my %names = ($one => 'one', $two => 'two', $three => 'three');
for my $kind (sort(keys %kinds), 'variable') {
    my @got = map { chosen($kind, $_) } map { ($_, $_) } sort keys %names;
    is "@got", join(' ', map { ($names{$_}, $names{$_}) } sort keys %names), "$kind: the chosen server answers";
}
my %spread = map { chosen(robin => 1) => 1 } 1 .. 6;
is_deeply [sort keys %spread], [qw(one three two)], 'one that is not among the servers has no effect';
%spread = map { $s->get('/plain')->{body} => 1 } 1 .. 6;
is_deeply [sort keys %spread], [qw(one three two)], 'nor has the choice any on other requests';
like chosen(mixed => $backup), qr/^backup$/, 'a backup can be chosen';
like chosen(mixed => $down), qr/^one$/, 'a server that is down cannot';
is $s->get('/log', 'X-Host' => "127.0.0.1:$three")->{headers}{'x-upstream'}, "127.0.0.1:$three", 'nginx has it as its upstream';

is $s->get('/list-mixed')->{body}, 'OK ' . join(' | ', qq(127.0.0.1:$one: {"health_status":"Healthy","weight":3,"backup":false}),
    qq(127.0.0.1:$down: {"health_status":"Unhealthy","weight":1,"backup":false}), qq(unix:/nowhere: {"health_status":"Healthy","weight":1,"backup":false}),
    qq(127.0.0.1:$backup: {"health_status":"Healthy","weight":1,"backup":true})), 'the servers of a block';
is $s->get('/list-zone')->{body}, 'OK ' . join(' | ', map { healthy($_) } $one, $two, $three), 'of a block in shared memory';
is $s->get('/grpc')->{body}, 'OK ' . join(' | ', map { healthy($_) } $one, $two, $three), 'of grpc_pass';
is $s->get('/list-address')->{body}, 'OK ' . healthy($one), 'the server that proxy_pass names';
like $s->get("/list-$_")->{body}, qr/^NOT_FOUND/, "$_: not known" for qw(none variable);

for my $case ([failing => $dead], [failing_zone => $zone_dead]) {
    my ($kind, $port) = @$case;
    is chosen($kind, $port), 'two', "$kind: where the chosen server fails, the balancer chooses";
    like $s->get("/list-$kind")->{body}, qr/\Q127.0.0.1:$port\E: \{"health_status":"Unhealthy"/, 'the failure counts';
    is chosen($kind, $port), 'two', 'and the server is not chosen again';
}
like $s->error_log, qr/connect\(\) failed .*Connection refused.* upstream: "http:\/\/127\.0\.0\.1:$dead\//, 'nginx says so';
my @tries = $s->error_log =~ /connect\(\) failed .*upstream: "http:\/\/127\.0\.0\.1:(?:$dead|$zone_dead)\//g;
is @tries, 2, 'once for each';

for my $kind (sort(keys %kinds), 'backup') {
    is join(' ', map { chosen("tried_$kind", $dead) } 1 .. 6), join(' ', ('two') x 6), "$kind: the balancer does not try it again";
}

# The time of a failure is over when a request succeeds after it.
sub at_times { my ($query) = @_; return $s->get("/at_times$query", 'X-Host' => "127.0.0.1:$at_times")->{body} }
is at_times('?bad=1'), 'two', 'a failure';
sleep 3;
is at_times(''), 'at times', 'a success';
is at_times('?bad=1'), 'two', 'and another failure';
like $s->get('/list-at_times')->{body}, qr/\Q127.0.0.1:$at_times\E: \{"health_status":"Healthy"/, 'are not two failures in fail_timeout';
is at_times('?bad=1'), 'two', 'a second one';
like $s->get('/list-at_times')->{body}, qr/\Q127.0.0.1:$at_times\E: \{"health_status":"Unhealthy"/, 'is';
$s->stop(allow => [qr/connect\(\) failed|temporarily disabled/]);

my $lua = start_nginx(
    http_config => "$ProxyWasm::LuaSetup::WASM_VM$ProxyWasm::LuaSetup::INIT_WORKER" . ($options{http_config} =~ s/wasm_plugin .*\n//r),
    config => join '', map { <<"CONF" } ['/choose', $choose], ['/list', $list]);
    location $_->[0] {
        access_by_lua_block { assert(wasm.on_http_request_headers(configured("hostcalls-0-2-100", [==[$_->[1]]==]))) }
        proxy_pass http://robin/;
    }
CONF
is join(' ', map { $lua->get('/choose', 'X-Host' => "127.0.0.1:$_")->{body} } $three, $three, $one, $one), 'three three one one', 'by Lua: a chosen server';
is $lua->get('/list')->{body}, 'OK ' . join(' | ', map { healthy($_) } $one, $two, $three), 'by Lua: the servers';
$lua->stop;

done_testing;
