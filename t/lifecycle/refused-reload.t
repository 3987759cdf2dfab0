# wasm_start_failure refuse: a reload with a plugin that does not start is refused, and nginx goes on
# with the configuration that it has.

use lib '.';
use t::ProxyWasm;

my $conf = sub { qq(location /t { proxy_wasm p '{"on_configure": [["return", $_[0]]], "on_request_headers": [["send_local_response", 200, "$_[1]"]]}'; }) };
my %options = (http_config => 'wasm_start_failure refuse; wasm_plugin p $TEST_NGINX_PLUGINS/hostcalls.wasm;');

my $s = start_nginx(%options, config => $conf->('true', 'first'));
my @workers = $s->worker_pids;
is $s->get('/t')->{body}, 'first', 'a plugin that starts';

ok !$s->reload(config => $conf->('false', 'second')), 'a reload is refused';
ok $s->wait_for_log(qr/\[emerg\] .*plugin "p" does not start: proxy_on_configure refused the configuration/), 'with the reason';
is $s->get('/t')->{body}, 'first', 'and nginx goes on';
is_deeply [$s->worker_pids], \@workers, 'with its workers';

ok $s->reload(config => $conf->('true', 'third')), 'a reload with one that starts';
is $s->get('/t')->{body}, 'third', 'is done';
$s->stop(allow => [qr/\[emerg\]/]);

done_testing;
