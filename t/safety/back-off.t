# A plugin that fails again and again. After a failure in a request the next one is served at once; a start or a configuration that fails
# itself, or that takes long, is not repeated at once: meanwhile requests are answered by the policy, and the log stays quiet.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo qw(open_zoo bad_in);
use Time::HiRes qw(sleep time);

use constant { QUIET => 50, FAILURES => 20 };

# A plugin that takes long to configure, and fails in each request with X-Bad: SLOW steps of a loop.
my $slow = <<'WAT';
(module
  (import "env" "proxy_get_header_map_value" (func $header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "x-bad") (data (i32.const 16) "x-zoo") (data (i32.const 32) "alive")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (local $i i32)
    (loop $again (br_if $again (i32.ne (i32.const SLOW) (local.tee $i (i32.add (local.get $i) (i32.const 1))))))
    (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (if (i32.eqz (call $header (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 64) (i32.const 68))) (then unreachable))
    (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (call $add (i32.const 2) (i32.const 16) (i32.const 5) (i32.const 32) (i32.const 5))))
WAT
$slow =~ s/SLOW/400_000_000 =~ s{_}{}gr/e;

my %plugins;
for my $policy (qw(closed open)) {
    $plugins{$policy} = { script => bad_in('on_request_headers', '["trap"]'), options => "failure=$policy" };
    $plugins{"slow-$policy"}    = { file => 'slow.wat', options => "failure=$policy image=off" };
    $plugins{"refuses-$policy"} = { script => '{"on_configure": [["return", false]]}', options => "failure=$policy" };
    $plugins{"broken-$policy"}  = { script => '{"on_configure": [["trap"]]}', options => "failure=$policy" };
    $plugins{"action-$policy"}  = { script => '{"on_request_headers": [["return", 7]]}', options => "failure=$policy" };
}
my $zoo = open_zoo(
    plugins    => \%plugins,
    user_files => [['slow.wat', $slow]],
    config  => q(location = /other { proxy_wasm refuses-closed '{}'; return 200 "other\n"; }),
);

# Asks until the plugin marks the response again; tells how long that took.
sub wait_for_plugin {
    my ($path) = @_;
    my $begin = time;
    while (time - $begin < 60) {
        return time - $begin if $zoo->get($path)->{headers}{'x-zoo'};
        sleep 0.02;
    }
    return 60;
}

for my $policy (qw(closed open)) {
    my $status = $policy eq 'closed' ? 503 : 200;
    subtest "$policy: a plugin that fails in requests" => sub {
        $zoo->server->mark_log;
        my %got;
        for (1 .. FAILURES) {
            $got{bad}{ $zoo->get("/$policy", 'X-Bad' => 1)->{status} }++;
            $got{good}{ $zoo->get("/$policy")->{headers}{'x-zoo'} // 'without' }++;
        }
        is_deeply \%got, { bad => { $status => FAILURES }, good => { alive => FAILURES } },
            'is there for the next request, however often it failed';
        is $zoo->lines(qr/failed to call function: \S+ of plugin "$policy"/), FAILURES, 'each failure has its error line';
        is $zoo->lines(qr/not tried|not started/), 0, 'and no warning follows';
    };

    subtest "$policy: a plugin whose start takes long" => sub {
        my $plugin = "slow-$policy";
        my $warning = qr/\[warn\].*plugin "$plugin" failed, and starting it takes long: it is not started again for ([\d.]+)(m?)s/;
        my $tries = 0;
        # It started with the worker, which may be long ago; the next start is not.
        while ($tries++ < 5 && !$zoo->lines($warning)) {
            $zoo->get("/$plugin", 'X-Bad' => 1);
        }
        my $failed = time;
        my ($line) = $zoo->lines($warning);
        ok $line, 'is not started again, and a warning says so' or return;
        my ($time, $milli) = $line =~ $warning;
        my $wait = $milli ? $time / 1000 : $time;

        $zoo->server->mark_log;
        my ($sent, %got) = (0);
        while ($sent < QUIET && time - $failed < $wait / 2) {
            $got{ $zoo->get("/$plugin")->{status} }++;
            $sent++;
        }
        is_deeply \%got, { $sent ? ($status => $sent) : () }, "requests get $status";
        is $zoo->lines(qr/\[(?:warn|error|crit|alert|emerg)\]/), 0, 'and write nothing into the error log';
        is $zoo->lines(qr/\[info\].*plugin "$plugin" failed: it is not tried for/), $sent, 'but at info';
        $zoo->is_unharmed('meanwhile');
        ok wait_for_plugin("/$plugin") < 60, 'then it is started again';
        is $zoo->get("/$plugin")->{headers}{'x-zoo'}, 'alive', 'and stays';
    };

    subtest "$policy: a configuration that is refused" => sub {
        $zoo->server->mark_log;
        is_deeply [map { $zoo->get("/refuses-$policy")->{status} } 1 .. 10], [($status) x 10], "gives $status each time";
        is $zoo->lines(qr/\[(?:warn|error|crit|alert|emerg)\]/), 0, 'and was told when the worker started';
    };

    subtest "$policy: a plugin that does not start" => sub {
        $zoo->server->mark_log;
        is_deeply [map { $zoo->get("/broken-$policy")->{status} } 1 .. QUIET], [($status) x QUIET], "gives $status each time";
        cmp_ok scalar($zoo->lines(qr/failed to call function/)), '<=', 2, 'and is not tried each time';
        cmp_ok scalar($zoo->lines(qr/\[error\]/)), '<=', 4, 'nor told';
        ok $zoo->server->wait_for_log(qr/\[warn\].*plugin "broken-$policy" fails again and again with a configuration, which is not tried for \d+s/),
            'a warning says so';
        $zoo->is_unharmed('meanwhile');
    };
}

for my $policy (qw(closed open)) {
    my $status = $policy eq 'closed' ? 503 : 200;
    subtest "$policy: a plugin whose every answer is no action" => sub {
        $zoo->server->mark_log;
        my $begin = time;
        is_deeply [map { $zoo->get("/action-$policy")->{status} } 1 .. QUIET], [($status) x QUIET], "gives $status each time";
        my $told = qr/plugin "action-$policy" failed: it returned 7, which is not an action/;
        my $errors = $zoo->lines(qr/\[error\].*$told/);
        cmp_ok $errors, '>=', 1, 'is told';
        cmp_ok $errors, '<=', 2 + time - $begin, 'once a second';
        is $zoo->lines(qr/\[info\].*$told/), QUIET - $errors, 'and else at info';
        $zoo->is_unharmed('meanwhile');
    };
}

is $zoo->get('/other')->{status}, 200, 'another configuration of a plugin that refused one works';

subtest 'a reload' => sub {
    is $zoo->get('/broken-closed')->{status}, 503, 'finds a plugin backed off';
    $zoo->server->mark_log;
    ok $zoo->server->reload, 'gives it a fresh start';
    ok $zoo->server->wait_for_log(qr/failed to call function: proxy_on_configure of plugin "broken-closed"/), 'in the new worker';
};

$zoo->close;
done_testing;
