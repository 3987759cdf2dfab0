# Plugins in subrequests, where "proxy_wasm … subrequests=on" says so: auth_request, mirror, SSI, addition,
# and those of Lua. Whatever a plugin does there, the client's request ends as nginx ends it.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Origin;

$ENV{MALLOC_PERTURB_} = 165;

my $origin = ProxyWasm::Origin->new;
my $port   = $origin->port;
my $own    = '127.0.0.1:$TEST_NGINX_SERVER_PORT';

my $call   = qq(["http_call", "$own", [[":method", "GET"], [":path", "/answer"], [":authority", "a"]]]);
my $caller = '["set_effective_context", "${caller}"]';
my $upper  = '{"op": "get_buffer_bytes", "args": ["response_body"], "as": "text", "quiet": true}, ["set_buffer_bytes", "response_body", "<${text}>"]';
my $until_end = '{"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "pause"]]}';
my %scripts = (
    see        => '{"trace": true, "on_request_headers": [["get_header_map_value", "request", ":path"], ["get_property", "request", "path"]],
        "on_request_body": [["get_buffer_bytes", "request_body"]]}',
    mark       => '{"on_request_headers": [["add_header_map_value", "request", "x-mark", "${context_id}"], ["remove_header_map_value", "request", "x-secret"],
        ["add_header_map_value", "request", "cookie", "b=2"], ["replace_header_map_value", "request", "user-agent", "plugin"]]}',
    path       => '{"on_request_headers": [["replace_header_map_value", "request", ":path", "/inner_elsewhere?c=d"]]}',
    body       => '{"on_request_body": [["set_buffer_bytes", "request_body", "another body"]]}',
    answer     => '{"on_request_headers": [["send_local_response", 403, "no", [["x-why", "words"]]], ["return", "pause"]]}',
    allow      => '{"on_request_headers": [["send_local_response", 200, "yes"], ["return", "pause"]]}',
    call       => qq({"on_request_headers": [$call, ["return", "pause"]], "on_http_call_response": [$caller, ["continue_stream", "request"]]}),
    refuse     => qq({"on_request_headers": [$call, ["return", "pause"]], "on_http_call_response": [$caller, ["send_local_response", 403, "no"]]}),
    late       => qq({"on_response_headers": [$call, ["return", "pause"]],
        "on_http_call_response": [$caller, ["replace_header_map_value", "response", ":status", "403"], ["continue_stream", "response"]]}),
    late_answer => qq({"on_response_headers": [$call, ["return", "pause"]], "on_http_call_response": [$caller, ["send_local_response", 403, "late no"]]}),
    status     => '{"on_response_headers": [["replace_header_map_value", "response", ":status", "403"]]}',
    hold       => '{"trace": true, "on_request_headers": [["return", "pause"]]}',
    hold_response => '{"trace": true, "on_response_headers": [["return", "pause"]]}',
    trap       => '{"on_request_headers": [["trap"]]}',
    trap_late  => '{"on_response_headers": [["trap"]]}',
    close      => '{"on_request_headers": [["close_stream", "request"]]}',
    close_late => '{"on_response_headers": [["close_stream", "response"]]}',
    upper      => qq({"on_response_body": [{"if": ["eq", "\${body_size}", "0"], "then": [["return", "continue"]]}, $upper]}),
    whole      => qq({"on_response_body": [$until_end, $upper]}),
    slow       => qq({"on_response_body": [{"if": ["eq", "\${end_of_stream}", "true"], "then": [$call, ["return", "pause"]], "else": [["return", "pause"]]}],
        "on_http_call_response": [$caller, ["set_buffer_bytes", "response_body", "(slow)"], ["continue_stream", "response"]]}),
    trap_body  => '{"on_response_body": [["trap"]]}',
    answer_body => '{"on_response_body": [["send_local_response", 200, "instead"]]}',
);

my $uses  = 'proxy_wasm scripted conf_file=html';
my $outer = "proxy_pass http://$own/outer;";
my $inner = "proxy_pass http://$own/inner;";
my $locations = join '', map {
    my $plugin = (/trap/ ? "proxy_wasm falling conf_file=html/$_" : "$uses/$_") . ' subrequests=on; wasm_pause_timeout 300ms;';
    <<"CONF"
    location = /in/$_ { internal; log_subrequest on; $plugin proxy_set_header X-Original \$request_uri; $inner }
    location = /file/$_ { internal; $plugin alias \$TEST_NGINX_HTML_DIR/part; }
    location = /auth/$_ { auth_request /in/$_; $outer }
    location = /mirror/$_ { mirror /mirrored/$_; $outer }
    location = /mirrored/$_ { internal; $plugin proxy_pass http://127.0.0.1:$port/mirrored/$_; }
    location = /ssi/$_ { ssi on; alias \$TEST_NGINX_HTML_DIR/page-$_; default_type text/html; }
    location = /ssi_file/$_ { ssi on; alias \$TEST_NGINX_HTML_DIR/page_file-$_; default_type text/html; }
    location = /set/$_ { ssi on; alias \$TEST_NGINX_HTML_DIR/set-$_; default_type text/html; }
CONF
} sort keys %scripts;

my $s = start_nginx(
    lua => 1,
    http_config => 'wasm_plugin scripted $TEST_NGINX_PLUGINS/hostcalls.wasm; wasm_plugin falling $TEST_NGINX_PLUGINS/hostcalls.wasm;
        wasm_plugin tolerant $TEST_NGINX_PLUGINS/hostcalls.wasm failure=open; wasm_plugin early $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
        proxy_http_version 1.1;',
    config => $locations . <<"CONF",
        location = /outer { content_by_lua_block {
            ngx.req.read_body()
            ngx.print("outer mark=", tostring(ngx.var.http_x_mark), " secret=", tostring(ngx.var.http_x_secret), " cookie=", tostring(ngx.var.http_cookie),
                " agent=", tostring(ngx.var.http_user_agent), " body=", ngx.req.get_body_data() or "in a file")
        } }
        location /inner { content_by_lua_block {
            ngx.log(ngx.INFO, "inner ", ngx.var.request_uri, " of ", tostring(ngx.var.http_x_original), " mark=", tostring(ngx.var.http_x_mark), " secret=",
                tostring(ngx.var.http_x_secret), " cookie=", tostring(ngx.var.http_cookie), " agent=", tostring(ngx.var.http_user_agent))
            ngx.print("inner")
        } }
        location = /unlogged { auth_request /in_unlogged; $outer }
        location = /in_unlogged { internal; $uses/see subrequests=on; $inner }
        location = /path { auth_request /in_path; $outer }
        location = /in_path { internal; $uses/path subrequests=on; proxy_pass http://$own; }
        location = /answer { return 200 answer; }
        location = /next { return 200 next; }
        location = /tolerant { auth_request /in_tolerant; $outer }
        location = /in_tolerant { internal; proxy_wasm tolerant conf_file=html/trap subrequests=on; $inner }
        location = /early { auth_request /in_early; $outer }
        location = /in_early { internal; proxy_wasm early conf_file=html/answer subrequests=on; $inner }
        location = /off { auth_request /in_off; $outer }
        location = /in_off { internal; $uses/answer; proxy_wasm scripted subrequests=off; $inner }
        location = /redirected { auth_request /in_redirected; $outer }
        location = /in_redirected { internal; $uses/see subrequests=on; proxy_intercept_errors on; error_page 404 = /in_page; proxy_pass http://$own/missing; }
        location = /in_page { internal; $uses/answer subrequests=on; $inner }
        location = /missing { return 404; }
        location = /both { $uses/see subrequests=on; mirror /both_mirrored; $outer }
        location = /both_mirrored { internal; $uses/see subrequests=on; proxy_pass http://127.0.0.1:$port/both; }
        location = /several { ssi on; alias \$TEST_NGINX_HTML_DIR/several; default_type text/html; }
        location = /added { add_before_body /file/upper; add_after_body /file/slow; addition_types *; return 200 -middle-; }
        location = /sliced { slice 10; $uses/upper subrequests=on; proxy_set_header Range \$slice_range; proxy_pass http://$own/file_of_parts; }
        location = /file_of_parts { alias \$TEST_NGINX_HTML_DIR/parts; }
        location = /captured { content_by_lua_block {
            local res = ngx.location.capture("/in/" .. ngx.var.arg_of)
            ngx.print(res.status, " ", res.body)
        } }
CONF
    user_files => [
        (map { [$_, $scripts{$_}] } sort keys %scripts),
        (map { ["page-$_", qq([<!--#include virtual="/in/$_?a=b" -->])] } sort keys %scripts),
        (map { ["page_file-$_", qq([<!--#include virtual="/file/$_" -->])] } sort keys %scripts),
        (map { ["set-$_", qq(<!--#include virtual="/in/$_" set="x" -->[<!--#echo var="x" encoding="none" -->])] } sort keys %scripts),
        ['part', 'a part'],
        ['parts', '0123456789abcdefghijxyz'],
        ['several', '1<!--#include virtual="/in/slow" -->2<!--#include virtual="/in/upper" -->3<!--#include virtual="/file/slow" -->4'],
    ],
);

sub body_of { my $res = $s->get($_[0]); return $res ? $res->{body} : 'nothing' }

sub is_sound {
    my ($name) = @_;
    is body_of('/next'), 'next', "$name: the worker is well";
}

subtest 'a plugin sees a subrequest as a request of its own' => sub {
    $s->mark_log;
    is $s->get('/auth/see?x=y')->{status}, 200, 'the client gets the response';
    my $log = $s->error_log;
    like $log, qr{get_header_map_value request :path -> OK /in/see\b}, 'its path is that of the subrequest';
    like $log, qr{get_property request path -> OK /in/see\b}, 'the attribute, too';
    like $log, qr{inner /inner of /auth/see\?x=y mark}, 'and $request_uri is still that of the client';
    is_deeply [$log =~ /\bon_(\w+) \d+/g], [qw(context_create request_headers response_headers done log delete)],
        'it has one context, and all callbacks but those of bodies that there are not';
    $s->mark_log;
    body_of('/ssi/see');
    like $s->error_log, qr{request :path -> OK /in/see\?a=b\b}, 'and its arguments';
};

subtest 'header fields that a plugin changes are those of the subrequest' => sub {
    $s->mark_log;
    my $body = $s->get('/auth/mark', 'X-Secret' => 's', Cookie => 'a=1', 'User-Agent' => 'client')->{body};
    like $s->error_log, qr{inner /inner .* mark=\d+ secret=nil cookie=a=1; ?b=2 agent=plugin}, 'they go with it';
    is $body, 'outer mark=nil secret=s cookie=a=1 agent=client body=in a file', "the client's request has its own";
    $s->mark_log;
    $s->get('/path');
    like $s->error_log, qr{inner /inner_elsewhere\?c=d of}, 'so does a path';
};

subtest "a plugin's answer to auth_request decides" => sub {
    is $s->get('/auth/answer')->{status}, 403, 'a refusal';
    like body_of('/auth/allow'), qr/^outer/, 'a permission';
    is $s->get('/auth/status')->{status}, 403, 'a status that it changes';
    like body_of('/auth/call'), qr/^outer/, 'after a call it lets the subrequest go on';
    is $s->get('/auth/refuse')->{status}, 403, 'after a call it refuses';
    is $s->get('/auth/late')->{status}, 403, 'it holds the response, and changes the status: nginx waits for it';
    is $s->get('/auth/late_answer')->{status}, 403, 'it holds the response, and answers in its place';
    is $s->get('/early')->{status}, 403, 'in the rewrite phase';
    like body_of('/off'), qr/^outer/, 'where subrequests are off no plugin answers';
};

subtest 'a plugin that fails in auth_request lets nobody in' => sub {
    is $s->get("/auth/$_")->{status}, 500, $_ for qw(trap trap_late hold hold_response);
    like body_of('/tolerant'), qr/^outer/, 'unless its failures are open';
    for my $close (qw(close close_late)) {
        my $c = $s->connect;
        $c->send_request(GET => "/auth/$close");
        ok !$c->read_response, "$close cuts the client off";
    }
    is_sound('auth_request');
};

subtest 'a subrequest that nginx does not log is logged with the request' => sub {
    $s->mark_log;
    is $s->get('/unlogged')->{status}, 200, 'the response';
    like $s->wait_for_log(qr/\bon_log/), qr/while logging request/, 'its callbacks run in the phase of the log';
};

subtest 'after a redirect inside the subrequest, the plugins of the new location run' => sub {
    $s->mark_log;
    is $s->get('/redirected')->{status}, 403, 'they answer';
    like $s->error_log, qr/\bon_request_headers .*\bon_response_headers/s, 'those of the old one, too';
};

# What the mirror gets, and the client.
sub mirrored {
    my ($script, $body) = @_;
    my $c = $s->connect;
    $c->send_request(POST => "/mirror/$script", body => $body, headers => ['X-Secret', 's']);
    my $u = $origin->accept or return;
    my $head = $u->read_head;
    my ($length) = $head =~ /Content-Length: (\d+)/i;
    my $got = $u->read_bytes($length // 0);
    my $res = $c->read_response;
    $u->respond('');
    is $c->request(GET => '/next')->{body}, 'next', "$script: the next request on the connection";
    return ($head, $got, $res);
}

subtest 'a mirrored request has plugins of its own' => sub {
    $s->mark_log;
    my ($head, $body, $res) = mirrored('see', 'hello');
    is $body, 'hello', 'the mirror gets the body';
    like $s->error_log, qr/get_buffer_bytes request_body -> OK hello/, 'the plugin sees it';
    ($head, $body, $res) = mirrored('body', 'hello');
    is $body, 'another body', 'what a plugin makes of it goes to the mirror';
    like $res->{body}, qr/body=hello$/, 'and not to the server';
    ($head, $body, $res) = mirrored('body', 'x' x 100_000);
    is $body, 'another body', 'also of one in a file';
    like $res->{body}, qr/body=in a file$/, 'which stays as it is';
    ($head, $body, $res) = mirrored('mark', 'hello');
    like $head, qr/x-mark: \d+/i, 'and so do fields';
    like $res->{body}, qr/mark=nil secret=s/, 'and not to the server';
    ($head) = mirrored('call', 'hello');
    ok $head, 'after a call';
    mirrored($_, 'hello') for qw(hold_response late late_answer close_late trap_late);
};

subtest "nothing that a plugin does to a mirrored request ends the client's" => sub {
    for my $script (qw(answer allow refuse trap close hold)) {
        my $c = $s->connect;
        my $res = $c->request(POST => "/mirror/$script", body => 'hello');
        like $res->{body}, qr/body=hello$/, "$script: the response";
        is $c->request(GET => '/next')->{body}, 'next', "$script: the next request on the connection";
    }
    ok $origin->is_idle, 'and the mirror gets nothing';
};

subtest 'both have a context where both have the plugin' => sub {
    $s->mark_log;
    my $c = $s->connect;
    $c->send_request(GET => '/both');
    my $u = $origin->accept;
    $u->read_head;
    like $c->read_response->{body}, qr/^outer/, 'the response';
    $u->respond('');
    is $c->request(GET => '/next')->{body}, 'next', 'the next request';
    my %seen;
    $seen{$_}++ for $s->error_log =~ /\bon_request_headers (\d+)/g;
    is_deeply [values %seen], [1, 1], 'two contexts, one call each';
};

subtest 'a part of a page' => sub {
    is body_of('/ssi/upper'), '[<inner>]', 'is changed';
    is body_of('/ssi_file/upper'), '[<a part>]', 'also where it is a file';
    is body_of('/ssi/whole'), '[<inner>]', 'is held until it is whole';
    is body_of('/ssi/slow'), '[(slow)]', 'is held at its end';
    is body_of('/ssi/call'), '[inner]', 'waits for a call';
    is body_of('/ssi/late_answer'), '[late no]', 'is replaced after a call';
    is body_of('/ssi/answer'), '[no]', 'is an answer';
    is body_of('/ssi/answer_body'), '[instead]', 'is an answer in place of its body';
    like body_of('/ssi/trap'), qr/^\[.*503 Service.*\]$/s, "is nginx's page if the plugin fails";
    like body_of('/ssi/trap_body'), qr/^\[.*503 Service.*\]$/s, 'is the page if it fails with the body';
    like body_of('/ssi_file/trap_body'), qr/^\[.*503 Service.*\]$/s, 'the page in place of a file';
    like body_of('/ssi/hold'), qr/^\[.*504 Gateway.*\]$/s, 'is the page if it is held too long';
    like body_of('/ssi/hold_response'), qr/^\[.*504 Gateway.*\]$/s, 'or if its response is';
    is body_of('/several'), '1(slow)2<inner>3(slow)4', 'several come in their order';
    is body_of("/set/$_"), '[<inner>]', "$_: a variable has what the plugin made" for qw(upper whole);
    is body_of('/set/slow'), '[(slow)]', 'also of one that is held';
    is_sound('SSI');
};

subtest 'what is added before and behind a response' => sub {
    is body_of('/added'), '<a part>-middle-(slow)', 'passes the plugins';
};

subtest 'the parts that slice fetches are one response' => sub {
    $s->mark_log;
    is body_of('/sliced'), join('', map { "<$_>" } qw(0123456789 abcdefghij xyz)), 'each passes the plugin of the request';
    is_deeply [$s->error_log =~ /create http context/g], ['create http context'], 'which has one context';
};

subtest 'what Lua captures' => sub {
    is body_of('/captured?of=upper'), '200 <inner>', 'passes the plugins';
    is body_of('/captured?of=slow'), '200 (slow)', 'is whole though it was held';
    is body_of('/captured?of=late'), '403 inner', 'has the status of a header that was held';
    is body_of('/captured?of=answer'), '403 no', 'is an answer';
    is_sound('Lua');
};

subtest 'a client that leaves while a subrequest is held' => sub {
    my %seen = ('/auth/hold' => 'request', '/ssi/hold' => 'request', '/ssi/hold_response' => 'response');
    for my $path (sort keys %seen) {
        $s->mark_log;
        my $c = $s->connect;
        $c->send_request(GET => $path);
        ok $s->wait_for_log(qr/\bon_$seen{$path}_headers/), "$path: the plugin holds it";
        $c->close;
        ok $s->wait_for_log(qr/\bon_delete/), "$path: its context ends";
    }
    is_sound('after it');
};

$s->stop;
done_testing;
