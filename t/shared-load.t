# What four workers share, under load: counters are exact, compare and swap loses nothing, items come once, zones survive HUP.

use lib '.';
use t::ProxyWasm;

my $plugin = 'wasm_plugin shared-state $TEST_NGINX_PLUGINS/shared-state.wasm;';
my $s = start_nginx(
    workers     => 4,
    http_config => $plugin,
    config      => <<'E',
    location ~ ^/[a-z]+(/|$) { proxy_wasm shared-state; }
    location = /metrics { wasm_metrics; }
E
);

sub under_load {
    my ($path, $seconds) = @_;
    my $load = $s->start_load($path, clients => 6);
    select undef, undef, undef, $seconds;
    my $got = $load->stop;
    is_deeply [keys %$got], [200], "$path: every request is answered" or diag explain $got;
    return $got->{200} // 0;
}

sub number { my ($n) = $s->get("/get/$_[0]")->{body} =~ /^(\d+)$/; return $n }

sub metric {
    my ($name) = @_;
    my ($n) = $s->get('/metrics')->{body} =~ /^\Q$name\E\{plugin="shared-state"\} (-?\d+)$/m;
    return $n;
}

# Until the gauge "taken" says so many, or two seconds are over.
sub taken {
    my ($wanted) = @_;
    for (1 .. 200) {
        last if metric('taken') >= $wanted;
        select undef, undef, undef, 0.01;
    }
    return metric('taken');
}

my ($hits, $added);

subtest 'a counter' => sub {
    $hits = under_load('/hit', 1);
    is metric('hits'), $hits, "counts each of $hits";
};

subtest 'compare and swap' => sub {
    $added = under_load('/cas', 1);
    is number('n'), $added, "loses none of $added";
};

subtest 'a queue' => sub {
    my @items = 1 .. 300;
    my $refused = 0;
    while (my @batch = splice @items, 0, 6) {
        my @clients = map { $s->connect } @batch;
        $clients[$_]->send_request('GET', "/put/$batch[$_]", close => 1) for 0 .. $#batch;
        $refused += $_->read_response->{status} != 200 for @clients;
    }
    is $refused, 0, 'takes 300 items from all workers';
    is taken(300), 300, 'gives each to one of them';
    is metric('doubled'), 0, 'and none twice';
    is $s->get('/left')->{body}, "none\n", 'and keeps none back';
};

subtest 'a queue is told at once' => sub {
    my $before = metric('taken');
    $s->get('/put/late');
    select undef, undef, undef, 0.05;
    is metric('taken'), $before + 1, 'without another request';
};

subtest 'reload' => sub {
    ok $s->reload, 'by HUP';
    is number('n'), $added, 'keeps data';
    is metric('hits'), $hits, 'and metrics';
    $hits += under_load('/hit', 0.3);
    is metric('hits'), $hits, 'which count on';
    my $before = metric('taken');
    $s->get('/put/after');
    is taken($before + 1), $before + 1, 'and the new workers are told of items';
    ok $s->reload(http_config => "wasm_shared_data 1m; $plugin"), 'with another size';
    is $s->get('/get/n')->{body}, "none\n", 'begins afresh';
};

$s->stop;
done_testing;
