# proxy_get_current_time_nanoseconds, and WASI's clocks.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Scripted;
use Time::HiRes;

my $s = start_nginx(http_config => scripted(), config => <<'E');
    location /now {
        proxy_wasm hostcalls '{"on_response_headers": [
            {"op": "get_current_time_nanoseconds", "to": ["response", "x-now"]},
            {"op": "get_current_time_nanoseconds", "to": ["response", "x-later"]}
        ]}';
        return 200;
    }
    location /wasi {
        proxy_wasm hostcalls '{"on_response_headers": [
            {"op": "clock_time_get", "args": ["realtime"], "to": ["response", "x-now"]},
            {"op": "clock_time_get", "args": ["monotonic"], "to": ["response", "x-a"]},
            {"op": "clock_time_get", "args": ["monotonic"], "to": ["response", "x-b"]}
        ]}';
        return 200;
    }
    location /wild {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["raw", "proxy_get_current_time_nanoseconds", "end-4"],
            ["raw", "proxy_get_current_time_nanoseconds", "end-8"]
        ]}';
        return 200;
    }
E

sub between {
    my ($path) = @_;
    my $before  = Time::HiRes::time();
    my $headers = $s->get($path)->{headers};
    my $after   = Time::HiRes::time();
    my $now     = $headers->{'x-now'} / 1e9;
    cmp_ok $now, '>=', $before - 0.001, 'not before the request';
    cmp_ok $now, '<=', $after + 0.001,  'not after the response';
    return $headers;
}

subtest 'proxy_get_current_time_nanoseconds is the time of day' => sub {
    my $headers = between('/now');
    cmp_ok $headers->{'x-later'}, '>', $headers->{'x-now'},
        'and no cached one: it goes on while a callback runs';
};

subtest 'WASI has it too, and a monotonic clock' => sub {
    my $headers = between('/wasi');
    cmp_ok $headers->{'x-b'}, '>=', $headers->{'x-a'}, 'which does not go back';
};

subtest 'the time must fit into the memory' => sub {
    is $s->get('/wild')->{status}, 200, 'a wild address does no harm';
    ok $s->wait_for_log('proxy_get_current_time_nanoseconds end-4 -> INVALID_MEMORY_ACCESS'), 'four bytes are too few';
    ok $s->wait_for_log('proxy_get_current_time_nanoseconds end-8 -> OK'), 'eight are enough';
};

$s->stop;
done_testing;
