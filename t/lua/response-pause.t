# resty.proxy-wasm: a plugin that pauses on a response's body. Lua's body filter passes
# nothing on until the plugin has seen more, or lets go; at the end not even that.

use lib '.';
use t::ProxyWasm;

sub in_tick { return qq{"on_tick": [{"if": ["not", ["eq", "\${held}", ""]], "then": [
    ["set_effective_context", "\${held}"], ["set", "held", ""], $_[0]]}]} }

my $tick     = '"on_configure": [["set", "held", ""], ["set_tick_period_milliseconds", 20]]';
my $continue = '["continue_stream", "response"]';
my $at_end   = '{"if": ["eq", "${end_of_stream}", "true"], "then": [["set", "held", "${context_id}"], ["return", "pause"]]}';
my $mark     = '{"if": ["not", ["eq", "${body_size}", "0"]], "then": [["set_buffer_bytes", "response_body", "MARK", 100, 0]]}';

# path => scripts of its plugins, in order
my %scripts = (
    end      => [qq{$tick, "on_response_body": [$at_end], } . in_tick($continue)],
    changed  => [qq{$tick, "on_response_body": [["set_buffer_bytes", "response_body", "<", 0, 0], $at_end], } . in_tick($continue)],
    silent   => [qq{$tick, "on_response_body": [
        {"if": ["eq", "\${count}", "1"], "then": [["set", "held", "\${context_id}"], ["return", "pause"]]}], } . in_tick($continue)],
    timeout  => [qq{"on_response_body": [{"if": ["eq", "\${end_of_stream}", "true"], "then": [["return", "pause"]]}]}],
    closed   => [qq{$tick, "on_response_body": [$at_end], } . in_tick('["close_stream", "response"]')],
    first    => [qq{$tick, "on_response_body": [$at_end], } . in_tick($continue), '"on_response_body": [' . $mark =~ s/MARK/ second/r . ']'],
    last     => ['"on_response_body": [' . $mark =~ s/MARK/ first/r . ']', qq{$tick, "on_response_body": [$at_end], } . in_tick($continue)],
    both     => [(qq{$tick, "on_response_body": [$at_end], } . in_tick($continue)) x 2],
    always   => [qq{$tick, "on_response_body": [["set", "held", "\${context_id}"], ["return", "pause"]], } . in_tick($continue)],
    large    => ['"on_response_body": [{"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "pause"]]}]'],
    fails    => ['"on_response_body": [{"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "pause"]]}, ["trap"]]'],
);

my $contexts = join "\n", map {
    my $path = $_;
    qq{scripts["$path"] = \{} . join(', ', map { "[==[{\"trace\": true, $_}]==]" } @{ $scripts{$path} }) . '}'
} sort keys %scripts;

my $s = start_nginx(
    lua         => 1,
    http_config => <<"H",
    wasm_vm wasmtime;
    wasm_failure open;
    wasm_body_buffer_size 100;
    init_worker_by_lua_block {
        wasm = require("resty.proxy-wasm")
        plugin = assert(wasm.load("p", "$ENV{TEST_NGINX_PLUGINS}/hostcalls.wasm"))
        state = {}
        local scripts, contexts = {}, {}
        $contexts
        function of(path)
            if not contexts[path] then
                contexts[path] = {}
                for i, script in ipairs(scripts[path]) do contexts[path][i] = assert(wasm.on_configure(plugin, script)) end
            end
            return contexts[path]
        end
    }
    server {
        listen 127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT;
        lua_http10_buffering off;
        location / { content_by_lua_block { ngx.print("hello") } }
        location /large { content_by_lua_block { ngx.print(("0"):rep(101)) ngx.flush(true) } }
        location /silent { content_by_lua_block {
            ngx.print("one ") ngx.flush(true)
            while not state.go do ngx.sleep(0.01) end
            ngx.print("two")
        } }
        location /go { content_by_lua_block { state.go = true } }
    }
H
    config => join('', map { <<"E" } sort keys %scripts) . <<'E',
    location = /$_ {
        @{[$_ eq 'timeout' ? 'wasm_pause_timeout 50ms;' : '']}
        set \$wasm_process_resp_body 1;
        header_filter_by_lua_block { for _, ctx in ipairs(of("$_")) do assert(wasm.on_http_response_headers(ctx)) end }
        body_filter_by_lua_block { for _, ctx in ipairs(of("$_")) do assert(wasm.on_http_response_body(ctx)) end }
        proxy_buffering off;
        proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT;
    }
E
    location /go { proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT; }
E
);

sub is_served {
    my ($path, $body) = @_;
    $s->mark_log;
    my $r = eval { $s->get("/$path") };
    is $r->{body}, $body, "$path: body";
    ok $s->wait_for_log(qr/free http context/), "$path: over";
    is scalar(() = $s->error_log =~ /on_response_body \d+ \d+ true/g), scalar @{ $scripts{$path} }, "$path: each plugin sees the end once";
}

is_served('end', 'hello');
like $s->error_log, qr/on_response_body.*continue_stream response -> OK/s, 'end: held until then';
is_served('changed', '<hello<');    # the piece, and the end, which comes by itself
is_served('first',   'hello second');
is_served('last',    'hello first');
is_served('both',    'hello');
is_served('always',  'hello');

subtest 'a piece that is let go of goes on before the next one comes' => sub {
    my $c = $s->connect;
    $c->send_request(GET => '/silent', close => 1);
    1 while $c->{in} !~ /one / && $c->_more;
    like $c->{in}, qr/one /, 'the first';
    is $s->get('/go')->{status}, 200, 'upstream goes on';
    is $c->read_response->{body}, 'one two', 'and so does the response';
};

for my $path (qw(timeout closed large)) {
    $s->mark_log;
    ok !eval { $s->get("/$path") }, "$path: the connection closes in the midst of the body";
    ok $s->wait_for_log(qr/free http context/), "$path: over";
}
like $s->error_log, qr/plugin "p" holds 101 bytes of a response, more than wasm_body_buffer_size \(100\)/, 'large: why';

is_served('fails', 'hello');
like $s->error_log, qr/failed to call function: proxy_on_response_body/, 'fails: what it kept is not lost';

$s->stop(allow => [qr/\[error\]/]);
done_testing;
