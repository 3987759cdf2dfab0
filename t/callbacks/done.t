# proxy_on_done that returns false: proxy_on_log and proxy_on_delete wait for proxy_done,
# which another callback may call for the context.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Scripted;

my $s = start_nginx(http_config => scripted(), config => <<'E');
    location /waits {
        proxy_wasm hostcalls '{"trace": true, "on_done": [
            {"if": ["eq", "${kind}", "http"], "then": [["return", false]]}
        ]}';
        return 200;
    }
    location /finishes {
        proxy_wasm hostcalls '{"trace": true, "on_request_headers": [["set_effective_context", 3], ["done"]]}';
        return 200;
    }
E

# What happened to contexts 3 and 4, in order.
sub events {
    return [$s->error_log =~ /(on_(?:request_headers|done|log|delete) [34]|\bdone -> \w+|free http context \d)/g];
}

is $s->get('/waits')->{status}, 200, 'a request is answered';
ok $s->wait_for_log('on_done 3'), 'and its context asked whether it is done';
is_deeply events(), ['on_request_headers 3', 'on_done 3'], 'which it is not';

$s->mark_log;
is $s->get('/finishes')->{status}, 200, 'another request';
ok $s->wait_for_log('free http context 4'), 'passes';
is_deeply events(), [
    'on_request_headers 4', 'done -> OK', 'on_log 3', 'on_delete 3', 'free http context 3',
    'on_done 4', 'on_log 4', 'on_delete 4', 'free http context 4',
], 'and finishes the first';

$s->mark_log;
is $s->get('/waits')->{status}, 200, 'a context that nobody finishes';
ok $s->wait_for_log(qr/on_done \d/), 'waits';
$s->mark_log;
$s->stop;
like $s->error_log, qr/free http context \d/, 'and goes with its worker';

done_testing;
