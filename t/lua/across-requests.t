# What one request leaves for the next on the Lua path: ids, freed contexts, and an instance after a trap.

use lib '.';
use t::ProxyWasm;

sub lines_of {
    my ($s, $pattern) = @_;
    return join "\n", map { /($pattern)/ ? $1 : () } split /\n/, $s->error_log;
}

my $setup = <<'E';
    wasm_vm wasmtime;
    init_worker_by_lua_block {
        wasm = require("resty.proxy-wasm")
        function load(name) return assert(wasm.load(name, "$TEST_NGINX_PLUGINS/" .. name .. ".wasm")) end
    }
E
my $context = qr/(?:create|free) \w+ context \d+/;

subtest 'plugin 1, http 2, freed, plugin 1, http 3' => sub {
    my $s = start_nginx(http_config => $setup, config => <<'E');
    location /run {
        content_by_lua_block {
            plugin = plugin or load("log")
            ctx = assert(wasm.on_configure(plugin, ngx.var.arg_conf))
            assert(wasm.on_http_request_headers(ctx))
            ngx.say("done")
        }
    }
    location /free { content_by_lua_block { ctx = nil collectgarbage() collectgarbage() ngx.say("freed") } }
E
    is $s->get('/run?conf=one')->{body}, "done\n", 'first';
    is $s->get('/free')->{body}, "freed\n", 'freed';
    is $s->get('/run?conf=two')->{body}, "done\n", 'second';
    ok $s->wait_for_log(qr/free http context 3/), 'its end';
    is lines_of($s, $context), join("\n",
        'create plugin context 1', 'create http context 2', 'free http context 2',
        'free plugin context 1',
        'create plugin context 1', 'create http context 3', 'free http context 3'), 'ids';
    $s->stop;
    is join('', grep { /\[error\]/ } split /^/, $s->error_log), '', 'no error line';
};

subtest 'the next request takes the id that the one before had, one beside it the next' => sub {
    my $s = start_nginx(http_config => $setup, config => <<'E');
    location /run {
        access_by_lua_block {
            ctx = ctx or assert(wasm.on_configure(load("log"), "conf"))
            assert(wasm.on_http_request_headers(ctx))
        }
        content_by_lua_block {
            if ngx.var.arg_wait then sema = require("ngx.semaphore").new() sema:wait(10) end
            ngx.say("done")
        }
    }
    location /wake { content_by_lua_block { sema:post() ngx.say("woken") } }
E
    $s->get('/run') for 1, 2;
    my $waiting = $s->connect;
    $waiting->send_request('GET', '/run?wait=1', close => 1);
    ok $s->wait_for_log(qr/create http context 2/, count => 3), 'a third waits';
    $s->get('/run');
    $s->get('/wake');
    is $waiting->read_response->{body}, "done\n", 'and goes on';
    $s->stop;
    is lines_of($s, qr/(?:create|free) http context \d+/), join("\n",
        ('create http context 2', 'free http context 2') x 2,
        'create http context 2', 'create http context 3', 'free http context 3',
        'free http context 2'), 'ids';
};

subtest 'a trap' => sub {
    my $s = start_nginx(http_config => $setup, config => <<'E');
    location /run {
        access_by_lua_block {
            ctx = ctx or assert(wasm.on_configure(load("rust-headers"), "conf"))
            local ok, err = wasm.on_http_request_headers(ctx)
            if not ok then
                ngx.log(ngx.ERR, "the plugin answers: ", err)
                return ngx.exit(503)
            end
        }
        content_by_lua_block { ngx.say(ngx.var.http_x_rust_conf) }
    }
    location /other {
        access_by_lua_block {
            other = other or assert(wasm.on_configure(load("go-headers"), "other"))
            assert(wasm.on_http_request_headers(other))
        }
        content_by_lua_block { ngx.say(ngx.var.http_x_go_conf) }
    }
E
    my ($worker) = $s->worker_pids;
    is $s->get('/run')->{body}, "conf\n", 'before it';
    is $s->get('/run', 'X-Panic' => 1)->{status}, 503, 'is an error to Lua';
    is $s->get('/run')->{body}, "conf\n", 'and the next request is served';
    is $s->get('/other')->{body}, "other\n", 'as is another plugin';
    ok $s->wait_for_log(qr/free http context 2/, count => 4), 'all contexts end';
    is lines_of($s, qr/(?:create|free) plugin context \d+/),
        join("\n", ('create plugin context 1') x 3), 'the plugin context is configured again, with its id';
    like $s->error_log,
        qr/\[error\] .*failed to call function: proxy_on_request_headers of plugin "rust-headers" in context 2: wasm trap/,
        'what failed';
    like $s->error_log, qr/the plugin answers: failed to run proxy_on_http_request_headers/, 'what Lua is told';
    is_deeply [$s->worker_pids], [$worker], 'the worker lives';
    $s->stop(allow => [qr/\[emerg\].*panicked at/]);
};

subtest 'a plugin that traps again and again is there for the next request' => sub {
    my $s = start_nginx(http_config => $setup, config => <<'E');
    location /run {
        content_by_lua_block {
            ctx = ctx or assert(wasm.on_configure(load("rust-headers"), "conf"))
            ngx.say(wasm.on_http_request_headers(ctx))
        }
    }
    location /other {
        content_by_lua_block {
            other = other or assert(wasm.on_configure(load("log"), "other"))
            ngx.say(wasm.on_http_request_headers(other))
        }
    }
E
    for (1 .. 5) {
        is $s->get('/run', 'X-Panic' => 1)->{body}, "nilfailed to run proxy_on_http_request_headers\n", 'a request that it panics on';
        is $s->get('/run')->{body}, "true\n", 'and the next';
    }
    is $s->get('/other')->{body}, "true\n", 'another plugin does not notice';
    $s->stop(allow => [qr/\[emerg\].*panicked at/]);
};

subtest 'the code cache off: each request starts anew' => sub {
    my $s = start_nginx(http_config => "wasm_vm wasmtime;\nlua_code_cache off;\n", config => <<'E');
    location /run {
        content_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            local ctx = assert(wasm.on_configure(assert(wasm.load("log", "$TEST_NGINX_PLUGINS/log.wasm")), "blah"))
            assert(wasm.on_http_request_headers(ctx))
            ngx.say("done")
        }
    }
E
    is $s->get('/run')->{body}, "done\n", "request $_" for 1 .. 3;
    $s->stop(allow => [qr/lua_code_cache is off/]);
    is lines_of($s, qr/$context|(?:un)?loaded wasm plugin/), join("\n", (
        'loaded wasm plugin', 'create plugin context 1', 'create http context 2', 'free http context 2',
        'free plugin context 1', 'unloaded wasm plugin') x 3), 'loads, serves and unloads';
};

done_testing;
