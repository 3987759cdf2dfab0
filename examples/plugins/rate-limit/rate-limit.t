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
    my $load  = $s->start_load('/many', clients => 6);
    my $asked = 0;
    my $last  = $s->get_until(sub { $asked++; return $_[0]{status} != 200 }, '/many');
    is $last->{status}, 429, 'the limit is reached';
    my $got = $load->stop;
    is $got->{200} + $asked - 1, 100, 'so many pass';
    is_deeply [grep { !/^(?:200|429)$/ } keys %$got], [], 'and the rest is refused';
    my $res = $s->get('/many');
    is $res->{headers}{'x-ratelimit-limit'}, 100, 'the limit is told';
    is $res->{headers}{'x-ratelimit-remaining'}, 0, 'and what is left';
};

# Windows begin at even seconds.
sub window { return int(time() / 2) }

subtest 'the next window' => sub {
    my (@got, $window);
    for (1 .. 10) {
        # Not at once, as nginx may be late to know the time.
        my $before = window();
        sleep 0.02 while window() == $before || time() / 2 - window() < 0.1;
        $window = window();
        @got = map { $s->get('/short')->{status} } 1, 2;
        last if window() == $window;
    }
    is_deeply \@got, [200, 503], 'one passes, and one does not';
    is $s->get_until(sub { $_[0]{status} == 200 }, '/short')->{status}, 200, 'and then one again';
    cmp_ok window(), '>', $window, 'in the next window';
};

$s->stop;
done_testing;
