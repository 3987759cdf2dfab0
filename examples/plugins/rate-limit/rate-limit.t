# The example plugin rate-limit: exact over all workers.

use lib '.';
use t::ProxyWasm;
use Time::HiRes qw(sleep time);

my $s = start_nginx(
    workers     => 4,
    http_config => 'wasm_plugin rate-limit $TEST_NGINX_PLUGINS/rate-limit.wasm;',
    config      => <<'E',
    location = /many {
        proxy_wasm rate-limit '{"count": 100, "time_window": 36000, "rejected_code": 429}';
        try_files /index.html =404;
    }
    location = /short {
        proxy_wasm rate-limit '{"count": 1, "time_window": 2}';
        try_files /index.html =404;
    }
E
    user_files => ">>> index.html\nhello\n",
);

subtest 'over four workers' => sub {
    my $load = $s->start_load('/many', clients => 6);
    sleep 1;
    my $got = $load->stop;
    is $got->{200}, 100, 'so many pass';
    cmp_ok $got->{429}, '>', 0, 'and the rest do not';
    is_deeply [sort keys %$got], [200, 429], 'and that is all';
    my $res = $s->get('/many');
    is $res->{headers}{'x-ratelimit-limit'}, 100, 'the limit is told';
    is $res->{headers}{'x-ratelimit-remaining'}, 0, 'and what is left';
};

subtest 'the next window' => sub {
    sleep 0.02 while time() / 2 - int(time() / 2) > 0.3;
    is $s->get('/short')->{status}, 200, 'one passes';
    is $s->get('/short')->{status}, 503, 'one does not';
    sleep 2;
    is $s->get('/short')->{status}, 200, 'and then one again';
};

$s->stop;
done_testing;
