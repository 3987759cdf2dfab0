# A plugin that fails again and again: after its second failure in a row it is not tried for a while, requests are answered at once by
# the policy, and the log stays quiet.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo qw(open_zoo bad_in);
use Time::HiRes qw(sleep time);

use constant QUIET => 50;

my %plugins;
for my $policy (qw(closed open)) {
    $plugins{$policy} = { script => bad_in('on_request_headers', '["trap"]'), options => "failure=$policy" };
    $plugins{"refuses-$policy"} = { script => '{"on_configure": [["return", false]]}', options => "failure=$policy" };
    $plugins{"broken-$policy"}  = { script => '{"on_configure": [["trap"]]}', options => "failure=$policy" };
    $plugins{"action-$policy"}  = { script => '{"on_request_headers": [["return", 7]]}', options => "failure=$policy" };
}
my $zoo = open_zoo(
    plugins => \%plugins,
    config  => q(location = /other { proxy_wasm refuses-closed '{}'; return 200 "other\n"; }),
);

# Asks until the plugin marks the response again; tells how long that took.
sub wait_for_plugin {
    my ($path) = @_;
    my $begin = time;
    while (time - $begin < 10) {
        return time - $begin if $zoo->get($path)->{headers}{'x-zoo'};
        sleep 0.02;
    }
    return 10;
}

for my $policy (qw(closed open)) {
    my $status = $policy eq 'closed' ? 503 : 200;
    subtest "$policy: a plugin that failed twice" => sub {
        $zoo->get("/$policy", 'X-Bad' => 1);
        is $zoo->get("/$policy")->{headers}{'x-zoo'}, 'alive', 'after the first failure it is tried at once';
        $zoo->get("/$policy", 'X-Bad' => 1);
        my $failed = time;
        is $zoo->lines(qr/failed to call function: \S+ of plugin "$policy"/), 2, 'each failure has its error line';
        is $zoo->lines(qr/\[warn\].*plugin "$policy" fails again and again, it is not tried for 1s/), 1, 'and a warning says what follows';

        $zoo->server->mark_log;
        my %got;
        $got{ $zoo->get("/$policy")->{status} }++ for 1 .. QUIET;
        is_deeply \%got, { $status => QUIET }, "after the second, requests get $status";
        cmp_ok time - $failed, '<', 1, 'at once';
        is $zoo->lines(qr/\[(?:warn|error|crit|alert|emerg)\]/), 0, 'and write nothing into the error log';
        is $zoo->lines(qr/\[info\].*plugin "$policy" failed: it failed again and again, next attempt in/), QUIET, 'but at info';
        $zoo->is_unharmed('meanwhile');

        my $waited = time - $failed + wait_for_plugin("/$policy");
        cmp_ok $waited, '>', 0.9, 'it is not tried for a second';
        cmp_ok $waited, '<', 3, 'and then it is';
        is $zoo->get("/$policy")->{headers}{'x-zoo'}, 'alive', 'and stays';
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
    $zoo->get('/closed', 'X-Bad' => 1) for 1 .. 2;
    is $zoo->get('/closed')->{status}, 503, 'finds the plugin backed off';
    ok $zoo->server->reload, 'gives it a fresh start';
    is $zoo->get('/closed')->{headers}{'x-zoo'}, 'alive', 'in the new worker';
};

$zoo->close;
done_testing;
