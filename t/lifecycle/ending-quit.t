# A worker that is told to quit, itself and not by the master, while plugins hold requests: the
# rest of the ending matrix. It serves each to the end that the request has by itself, or until
# worker_shutdown_timeout, and leaves nothing of it. On the Lua path, too.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Endings qw(waiting_cells http_of config_of servers);
use ProxyWasm::EndingClient;

# Freed memory is overwritten: who uses it goes astray at once.
$ENV{MALLOC_PERTURB_} = 165;
$ENV{TEST_NGINX_GRPC_PORT} = free_port();

# -- on the native path ----------------------------------------------------------------------------

my @native = waiting_cells();

# -- on the Lua path: a plugin that pauses, and what is seen if it does so for too long ------------

my $call = '["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT",'
    . ' [[":method", "GET"], [":path", "/silent"], [":authority", "u"]]]';
my $at_end = '{"if": ["eq", "${end_of_stream}", "true"], "then": [["return", "pause"]]}';
my %lua = (
    'request headers'         => ['"on_request_headers": [["return", "pause"]]', 503],
    'request headers, a call' => [qq("on_request_headers": [$call, ["return", "pause"]])],
    'the end'                 => [qq("on_response_body": [$at_end]), 'cut'],
    'every piece'             => ['"on_response_body": [["return", "pause"]]', 'cut'],
);
my @lua = map {
    my $path = '/' . s/\W+/-/gr;
    { id => "Lua, $_", method => 'GET', want => $lua{$_}[1], path => { kept => $path, h2 => $path } };
} sort keys %lua;

sub lua_http {
    my $scripts = join '', map {
        my $path = '/' . s/\W+/-/gr;
        qq(scripts["$path"] = [==[{$lua{$_}[0]}]==]\n);
    } sort keys %lua;
    return <<"E";
    wasm_vm wasmtime;
    init_worker_by_lua_block {
        wasm = require("resty.proxy-wasm")
        local plugin = assert(wasm.load("lua", "\$TEST_NGINX_PLUGINS/hostcalls.wasm"))
        local scripts, contexts = {}, {}
        $scripts
        function of(path)
            contexts[path] = contexts[path] or assert(wasm.on_configure(plugin, scripts[path]))
            return contexts[path]
        end
    }
E
}

sub lua_config {
    return join '', map { <<"E" } map { $_->{path}{kept} } @lua;
        location = $_ {
            lua_check_client_abort on;
            wasm_pause_timeout \$pause_timeout;
            set \$wasm_process_resp_body 1;
            access_by_lua_block {
                if not wasm.on_http_request_headers(of("$_")) then ngx.exit(503) end
            }
            header_filter_by_lua_block {
                ngx.log(ngx.NOTICE, "a response on the Lua path")
                wasm.on_http_response_headers(of("$_"))
            }
            body_filter_by_lua_block { wasm.on_http_response_body(of("$_")) }
            proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT/whole;
        }
E
}

# -- the server, and requests that wait ------------------------------------------------------------

sub start {
    my ($pause_timeout, $main_config) = @_;
    my $h2_port = free_port();
    $_->{location} =~ s/wasm_pause_timeout \w+/wasm_pause_timeout $pause_timeout/ for @native;
    my $s = start_nginx(
        lua         => 1,
        main_config => $main_config,
        user_files  => [['large.txt', '0123456789' x 20_000 . 'whole']],
        http_config => http_of(@native) . servers() =~ s/proxy_wasm off;//r . lua_http(),
        config      => "listen 127.0.0.1:$h2_port http2;\nlocation = /next { return 200 next; }\n"
            . config_of(@native) . lua_config() =~ s/\$pause_timeout/$pause_timeout/gr,
    );
    $s->{h2_port} = $h2_port;
    return $s;
}

# Clients of all cells, each over both protocols, once the plugins hold them all.
sub all_wait {
    my ($s, @cells) = @_;
    my @asked = map { my $cell = $_; map { [$cell, $_] } qw(kept h2) } @cells;
    my @clients = map {
        my ($cell, $protocol) = @$_;
        my @request = ($cell->{method}, $cell->{path}{$protocol});
        [$cell, ProxyWasm::EndingClient->ask($protocol, $s, @request)];
    } @asked;
    ok $s->wait_for_log(qr/create http context/, count => scalar @clients), 'all wait';
    # Their upstream is this worker, too: told to quit, it would not accept them any more.
    my $answered = grep { $_->[0]{id} =~ /^Lua, (?:the end|every piece)/ } @clients;
    ok $s->wait_for_log(qr/a response on the Lua path/, count => $answered), 'those for a response'
        if $answered;
    return @clients;
}

sub quits_while {
    my ($s, $end, @cells) = @_;
    $s->mark_log;
    my @clients  = all_wait($s, @cells);
    my ($worker) = $s->worker_pids;
    $s->signal(QUIT => $worker);
    ok $s->wait_for_log(qr/gracefully shutting down/), 'the worker is told to quit';
    $end->(@clients);
    ok $s->wait_for_exit($worker), 'it ends';
    my $log = $s->error_log;
    is scalar(() = $log =~ /free http context/g), scalar @clients, 'all contexts have ended';
    ok $s->wait_for_workers(1, [$worker]), 'another takes its place';
    is $s->get('/next')->{body}, 'next', 'and serves';
    $s->stop(allow => [qr/\[error\]/]);
}

subtest 'and the clients leave' => sub {
    quits_while(start('1h', ''), sub { $_->[1]->leave for @_ }, @native, @lua);
};

subtest 'and the plugins hold them too long' => sub {
    # An upstream's own times count as long as it has not finished.
    my @cells = grep { $_->{want} && $_->{id} !~ /piece, .*endless/ } @native, @lua;
    quits_while(start('500ms', ''), sub {
        for (@_) {
            my ($cell, $client) = @$_;
            # What is cut off may end before the client has seen any of it.
            my $want = $cell->{want} eq 'cut' ? 'cut|none' : $cell->{want};
            like $client->sees, qr/^(?:$want)$/, "$cell->{id}, $client->{protocol}";
        }
    }, @cells);
};

subtest 'until worker_shutdown_timeout' => sub {
    quits_while(start('1h', 'worker_shutdown_timeout 100ms;'), sub {
        for (@_) {
            my ($cell, $client) = @$_;
            like $client->sees, qr/^(?:none|cut)$/, "$cell->{id}, $client->{protocol}";
        }
    }, @native, @lua);
};

done_testing;
