# A worker that leaves: everything is done, logged and deleted, requests first, then plugin contexts, then the plugin.
# Gracefully (QUIT) after its requests, fast (TERM) in the midst of them. On both paths.

use lib '.';
use t::ProxyWasm;
use IO::Socket::INET;

# A server that takes connections and never answers.
my $silent = IO::Socket::INET->new(Listen => 10, LocalAddr => '127.0.0.1') or die $!;
my $silent_port = $silent->sockport;

my $conf = q({"trace": true});
my %path = (
    native => {
        http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;',
        config      => <<"E",
    location /t { proxy_wasm hostcalls '$conf'; return 200 "t\\n"; }
    location /silent { proxy_wasm hostcalls '$conf'; proxy_pass http://127.0.0.1:$silent_port; }
E
    },
    lua => {
        http_config => <<"E",
    wasm_vm wasmtime;
    init_worker_by_lua_block {
        wasm = require("resty.proxy-wasm")
        plugin = assert(wasm.load("hostcalls", "\$TEST_NGINX_PLUGINS/hostcalls.wasm"))
        one = assert(wasm.on_configure(plugin, '$conf'))
        two = assert(wasm.on_configure(plugin, '$conf'))
    }
E
        config => <<"E",
    location /t {
        content_by_lua_block { assert(wasm.on_http_request_headers(one)) ngx.say("t") }
    }
    location /silent {
        access_by_lua_block { assert(wasm.on_http_request_headers(two)) }
        proxy_pass http://127.0.0.1:$silent_port;
    }
E
    },
);

sub ends {
    my ($s) = @_;
    return join "\n", map { /(on_(?:done|log|delete) \d+|free \w+ context \d+|unloaded wasm plugin)/ ? $1 : () }
        split /\n/, $s->error_log;
}

# The end of a context: its callbacks, and the line that says that it is freed.
sub end_of {
    my ($kind, $id) = @_;
    return ("on_done $id", "on_log $id", "on_delete $id", "free $kind context $id");
}

for my $name (sort keys %path) {
    my %conf = %{ $path{$name} };

    subtest "$name: QUIT with nothing to do" => sub {
        my $s = start_nginx(%conf);
        is $s->get('/t')->{status}, 200, 'after a request';
        ok $s->wait_for_log(qr/free http context/), 'that ended';
        $s->mark_log;
        ok $s->stop, 'by itself';
        my @either = map { join "\n", @$_, 'unloaded wasm plugin' }
            [end_of(plugin => 1), end_of(plugin => 2)], [end_of(plugin => 2), end_of(plugin => 1)];
        like ends($s), qr/^(?:\Q$either[0]\E|\Q$either[1]\E)$/, 'plugin contexts end, then the plugin goes';
        is join('', grep { /\[error\]/ } split /^/, $s->error_log), '', 'no error line';
    };

    subtest "$name: QUIT waits for the request under way" => sub {
        my $s = start_nginx(%conf);
        my $client = $s->connect;
        $client->send_request('GET', '/silent', close => 1);
        my $upstream = $silent->accept;
        $s->mark_log;
        $s->signal('QUIT');
        ok $s->wait_for_log(qr/gracefully shutting down/), 'it is told';
        is ends($s), '', 'nothing ended yet';
        1 while <$upstream> =~ /\S/;    # the request; unread, it would make a reset of the close
        print {$upstream} "HTTP/1.0 200 OK\r\n\r\nlate\n";
        close $upstream;
        is $client->read_response->{body}, "late\n", 'the request is answered';
        ok $s->stop, 'then it leaves';
        like ends($s), qr/^${\ join "\n", end_of(http => 3)}\n.*free plugin context 2.*unloaded wasm plugin$/s,
            'the request ended first';
        is join('', grep { /\[error\]/ } split /^/, $s->error_log), '', 'no error line';
    };

    subtest "$name: TERM with a request under way" => sub {
        my $s = start_nginx(%conf);
        my $client = $s->connect;
        $client->send_request('GET', '/silent', close => 1);
        my $upstream = $silent->accept;
        ok $s->wait_for_log(qr/on_request_headers 3/), 'the plugin has seen it';
        $s->mark_log;
        $s->signal('TERM');
        ok $s->wait_for_log(qr/unloaded wasm plugin/), 'the plugin goes';
        $s->stop;
        my $ends = ends($s);
        like $ends, qr/^${\ join "\n", end_of(http => 3)}\n/, 'the request ends first';
        like $ends, qr/${\ join "\n", end_of(plugin => $_)}\n/, "then plugin context $_" for 1, 2;
        is join('', grep { /\[error\]/ } split /^/, $s->error_log), '', 'no error line';
    };
}

subtest 'a client that goes away ends its contexts at once' => sub {
    my $s = start_nginx(%{ $path{native} });
    my $client = $s->connect;
    $client->send_request('GET', '/silent', close => 1);
    my $upstream = $silent->accept;
    ok $s->wait_for_log(qr/on_request_headers 3/), 'the plugin has seen it';
    undef $client;
    ok $s->wait_for_log(qr/free http context 3/), 'its context ends';
    $s->stop;
};

subtest 'a plugin that traps in its last callbacks does not keep the worker' => sub {
    my $s = start_nginx(
        http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;',
        config      => q(location /t { proxy_wasm hostcalls '{"on_done": [["trap"]]}'; }));
    $s->mark_log;
    ok $s->stop, 'it leaves';
    like $s->error_log, qr/failed to call function: proxy_on_done .* in context 1/, 'saying why';
    like $s->error_log, qr/failed to mark context 1 as done, rc: -1/, 'and what it means';
    like $s->error_log, qr/unloaded wasm plugin/, 'the plugin is unloaded';
};

subtest 'a plugin that is never done is ended all the same' => sub {
    my $s = start_nginx(
        http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;',
        config      => q(location /t { proxy_wasm hostcalls '{"trace": true, "on_done": [["return", false]]}'; }));
    $s->mark_log;
    ok $s->stop, 'it leaves';
    like ends($s), qr/^on_done 1\non_log 1\non_delete 1\nfree plugin context 1\nunloaded wasm plugin$/, 'in order';
};

done_testing;
