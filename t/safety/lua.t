# The same on the Lua path, in each callback of a plugin: Lua is told that it failed, in words that it can handle, and the next request
# has a plugin that works.

use lib '.';
use t::ProxyWasm;
use Time::HiRes qw(sleep);
use ProxyWasm::Zoo qw(open_zoo bad_in BRIEF);

# By callback: what Lua is told has failed. Of what comes after the answer it hears nothing.
my %told = (
    on_vm_start         => 'proxy_on_configure',
    on_configure        => 'proxy_on_configure',
    on_context_create   => 'proxy_on_http_request_headers',
    on_request_headers  => 'proxy_on_http_request_headers',
    on_request_body     => 'proxy_on_http_request_body',
    on_response_headers => 'proxy_on_http_response_headers',
    on_response_body    => 'proxy_on_http_response_body',
    on_done             => undef,
    on_log              => undef,
    on_delete           => undef,
);
my %fault = (trap => '["trap"]', loop => '["loop"]', exit => '["exit", 2]', stack => '["trap", "stack"]');

# Those that end the instance in a way of their own, in each callback; the others where it is soonest and latest.
my @cases = (
    (map { ["trap-$_", 'trap', $_], ["loop-$_", 'loop', $_] } sort keys %told),
    (map { ["exit-$_", 'exit', $_], ["stack-$_", 'stack', $_] } qw(on_request_headers on_log)),
);

my ($plugins, $locations) = ('', '');

sub add_plugin {
    my ($name, $bad, $good) = @_;
    $plugins   .= qq(add("$name", [==[$bad]==], [==[$good]==])\n);
    $locations .= <<"E";
    location = /$name {
        access_by_lua_block { enter("$name") }
        content_by_lua_block { ngx.say("$name") }
        header_filter_by_lua_block { header() }
        body_filter_by_lua_block { body() }
    }
E
}

for (@cases) {
    my ($name, $fault, $callback) = @$_;
    my $script = bad_in($callback, $fault{$fault});
    # An instance starts when no request is there to ask for the fault.
    my $bad = $callback =~ /^on_(?:vm_start|configure)$/ ? qq({"$callback": [$fault{$fault}]}) : $script;
    add_plugin($name, $bad, $script);
}

my $waits = '{
    "on_request_headers": [
        {"if": ["request_header", "x-bad"], "then": [["trap"]]},
        {"if": ["request_header", "x-pause"], "then": [["return", "pause"]]}
    ],
    "on_request_body": [{"if": ["request_header", "x-pause-body"], "then": [["return", "pause"]]}]
}';
add_plugin(waits => $waits, $waits);

# APISIX tries a configuration that failed again with each request.
add_plugin(again => '{"on_configure": [["trap"]]}', '{}');

my $zoo = open_zoo(
    plugins     => {},
    lua         => 1,
    http_config => <<"E",
    wasm_callback_timeout @{[BRIEF]};
    wasm_start_timeout @{[BRIEF]};
    init_worker_by_lua_block {
        local wasm = require("resty.proxy-wasm")
        local plugins, contexts = {}, {}
        local function add(name, bad, good)
            plugins[name] = {vm = assert(wasm.load(name, "\$TEST_NGINX_PLUGINS/hostcalls.wasm")), bad = bad, good = good}
        end
        $plugins
        local function configured(name)
            local plugin, err = plugins[name], nil
            if not contexts[name] then
                contexts[name], err = wasm.on_configure(plugin.vm, ngx.var.http_x_bad and plugin.bad or plugin.good)
            end
            return contexts[name], err
        end
        function enter(name)
            local ctx, ok, err
            ctx, err = configured(name)
            if ctx then
                ok, err = wasm.on_http_request_headers(ctx)
                if ok then
                    ngx.req.read_body()
                    ok, err = wasm.on_http_request_body(ctx, ngx.req.get_body_data(), true)
                end
            end
            if not ok then
                ngx.header["X-Error"] = err
                return ngx.exit(503)
            end
            ngx.ctx.plugin = ctx
        end
        function header()
            if not ngx.ctx.plugin then return end
            local ok, err = wasm.on_http_response_headers(ngx.ctx.plugin)
            if not ok then ngx.header["X-Error"] = err end
        end
        function body()
            if not ngx.ctx.plugin then return end
            local ok, err = wasm.on_http_response_body(ngx.ctx.plugin)
            if not ok then
                ngx.ctx.plugin = nil
                ngx.log(ngx.ERR, "body filter: ", err)
            end
        end
    }
E
    config => $locations,
);
$zoo->is_unharmed('with all of them loaded');

# What the plugin marks a response with. A start that looped took long, so the next one may have to wait.
sub works_again {
    my ($name) = @_;
    my $mark;
    for (1 .. 500) {
        $mark = $zoo->post("/$name", 'body')->{headers}{'x-zoo'} and last;
        sleep 0.02;
    }
    return $mark;
}

for (@cases) {
    my ($name, $fault, $callback) = @$_;
    my $failed = defined $told{$callback} ? "failed to run $told{$callback}" : undef;
    subtest "$fault in $callback" => sub {
        $zoo->server->mark_log;
        my $got = $zoo->post("/$name", 'body', 'X-Bad' => 1);
        if ($callback eq 'on_response_body') {
            is $got, undef, 'comes after the header, so it cuts the client off';
            is $zoo->lines(qr/body filter: $failed,/), 1, 'and is told to Lua';
        }
        else {
            is $got->{status}, $failed ? 503 : 200, $failed ? 'ends the request' : 'comes too late for that';
            is $got->{headers}{'x-error'}, $failed, $failed ? 'which is told' : 'which is not told';
        }
        my $line = qr/\[error\].*proxy_$callback of plugin "$name" in context/;
        ok $zoo->server->wait_for_log($line), 'is in the log';
        $zoo->is_unharmed('afterwards');
        is $zoo->lines($line), 1, 'once';
        is works_again($name), 'alive', 'and the next request has a plugin that works';
    };
}

subtest 'requests in the plugin\'s hands when another one fails' => sub {
    $zoo->server->mark_log;
    my %waiting = map { ($_ => $zoo->server->connect) } qw(x-pause x-pause-body);
    $waiting{$_}->send_request('POST', '/waits', headers => [$_ => 1], body => 'body', close => 1) for sort keys %waiting;
    ok $zoo->server->wait_for_log(qr/create http context/, count => 2), 'are there';
    # They are where they wait once the worker has answered something that came later.
    $zoo->get('/plain');
    is $zoo->get('/waits', 'X-Bad' => 1)->{status}, 503, 'the one that fails';
    is $waiting{$_}->read_response->{status}, 503, "end like it: $_" for sort keys %waiting;
    is $zoo->lines(qr/\[error\]/), 1, 'and one error line is written for all';
    $zoo->is_unharmed('afterwards');
    is $zoo->get('/waits')->{body}, "waits\n", 'and the next request has a plugin that works';
};

subtest 'a configuration that traps, request after request' => sub {
    $zoo->server->mark_log;
    is_deeply [map { $zoo->get('/again', 'X-Bad' => 1)->{status} } 1 .. 30], [(503) x 30], 'fails each';
    my $traps = $zoo->lines(qr/failed to call function: proxy_on_configure/);
    cmp_ok $traps, '>=', 2, 'was tried again';
    cmp_ok $traps, '<', 10, 'but not for each';
    is $zoo->lines(qr/\[error\]/), 2 * $traps, 'and what was not tried is no news';
    $zoo->is_unharmed('meanwhile');
};

$zoo->close;
done_testing;
