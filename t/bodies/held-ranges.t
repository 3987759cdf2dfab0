# A client that asks for a range of a response whose header a plugin holds. nginx cuts ranges when the body comes to its filters,
# by what it has found in the header, which has not come there: the client gets the whole, on both paths, and nothing behind it
# that it could take for the next response. The parts that `slice` fetches for a range are not the whole, so their header cannot wait.

use lib '.';
use t::ProxyWasm;

my $whole = join '', map { chr(97 + $_ % 26) } 0 .. 999;
my $tick  = '"on_configure": [["set", "held", ""], ["set_tick_period_milliseconds", 5]], "on_tick": [{"if": ["not", ["eq", "${held}", ""]],
    "then": [["set_effective_context", "${held}"], ["set", "held", ""], ["continue_stream", "response"]]}]';
my $holds = qq({$tick, "on_response_headers": [["set", "held", "\${context_id}"], ["return", "pause"]]});

my %sources = (
    file     => 'alias html/whole;',
    sendfile => 'sendfile on; alias html/whole;',
    upstream => 'proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;',
    forced   => 'proxy_force_ranges on; proxy_set_header Range ""; proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;',
    cached   => 'proxy_cache ranges; proxy_cache_key $uri; proxy_cache_valid any 1h; proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;',
    sliced   => 'slice 100; proxy_set_header Range $slice_range; proxy_http_version 1.1; proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;',
);
my %paths = (
    native => 'wasm_response_body never; proxy_wasm holds conf_file=html/holds;',
    lua    => 'header_filter_by_lua_block { assert(wasm.on_http_response_headers(holds())) }',
);
my $locations = join '', map {
    my $path = $_;
    map { "location = /$path/$_ { $paths{$path} $sources{$_} }\n" } sort keys %sources
} sort keys %paths;

my $s = start_nginx(
    lua         => 1,
    user_files  => [[whole => $whole], [holds => $holds]],
    http_config => <<"E",
        proxy_cache_path html/cache keys_zone=ranges:1m;
        wasm_plugin holds \$TEST_NGINX_PLUGINS/hostcalls.wasm;
        init_worker_by_lua_block {
            wasm = require("resty.proxy-wasm")
            local context
            function holds()
                context = context or assert(wasm.on_configure(assert(wasm.load("lua", "\$TEST_NGINX_PLUGINS/hostcalls.wasm")), [==[$holds]==]))
                return context
            end
        }
        server { listen 127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT; location / { root html; try_files /whole =404; } }
E
    config => "$locations location = /next { return 200 next; }",
);

# What a client gets that asks for a range: one that nginx cuts, or none.
sub gets {
    my ($path, $range) = @_;
    my $c = $s->connect;
    my $r = $c->request(GET => $path, headers => [Range => "bytes=$range"]);
    my $is_whole = "$r->{status} $r->{body}" eq "200 $whole";
    my $next = eval { $c->request(GET => '/next')->{body} } // 'nothing';
    return $next ne 'next' ? "then $next" : $is_whole ? 'the whole' : "$r->{status} $r->{body}";
}

for my $path (sort keys %paths) {
    for my $source (grep { $_ ne 'sliced' } sort keys %sources) {
        for my $range ('5-20', '-5', '5-20,30-40') {
            # Of what an upstream cuts itself, plugins and clients see that.
            next if $source eq 'upstream' && $range =~ /,/;
            my $cut = $source eq 'upstream' ? '206 ' . ($range eq '-5' ? substr $whole, -5 : substr $whole, 5, 16) : 'the whole';
            is gets("/$path/$source", $range), $cut, "$path, $source, $range";
        }
    }
}

is $s->get('/native/sliced')->{body}, $whole, 'native, sliced: the whole is held';
is $s->get('/lua/sliced')->{body},    $whole, 'lua, sliced: too';
is $s->get('/native/sliced', Range => 'bytes=500-505')->{status}, 500, 'native, sliced: a range is not';
ok !eval { $s->get('/lua/sliced', Range => 'bytes=500-505') }, 'lua, sliced: too';
is scalar(() = $s->error_log =~ /cannot hold a range of what `slice` fetches/g), 2, 'which is told';

$s->stop(allow => [qr/\[error\]/]);
done_testing;
