# Everything that a plugin can set, in every kind of location, over each protocol: what upstream gets
# and what the client gets is what lua-nginx-module's function makes of it in the same place, and of
# a path also what `rewrite … break` makes of it. Three servers of one nginx have the same locations,
# and the same requests go to each.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Gateway;
use ProxyWasm::Port qw(reserve_port);

my $gateway = ProxyWasm::Gateway->start;
my %port    = map { $_ => reserve_port() } qw(plugin plugin_h2 lua lua_h2 rewrite rewrite_h2 http grpc);
my $upstream = "127.0.0.1:$port{http}";
my $gateways = '127.0.0.1:' . $gateway->port;

# -- what is set: by the plugin, and by Lua ----------------------------------------------------------

# A request names its mutation by X-Op, X-Name and X-Value. X-Value is percent-encoded for `path`.
my %steps = (
    path     => '["replace_header_map_value", "request", ":path", "${value}"]',
    method   => '["replace_header_map_value", "request", ":method", "${value}"]',
    field    => '["replace_header_map_value", "request", "${name}", "${value}"]',
    add      => '["add_header_map_value", "request", "${name}", "${value}"]',
    remove   => '["remove_header_map_value", "request", "${name}"]',
    property => '["set_property", "${name}", "${value}"]',
    answer   => '["send_local_response", 203, "answered", [["x-new", "${value}"], ["location", "/there"]]]',
    refuse   => '["send_local_response", 404]',
);
my %lua = (
    path => 'local path, args = value:match("^([^?]*)%??(.*)$")
             ngx.req.set_uri(decoded(path), false, true) ngx.req.set_uri_args(args)',
    method   => 'ngx.req.set_method(ngx["HTTP_" .. value])',
    field    => 'ngx.req.set_header(name, value)',
    add      => 'local all = ngx.req.get_headers()[name] or {}
                 if type(all) == "string" then all = {all} end
                 table.insert(all, value) ngx.req.set_header(name, all)',
    remove   => 'ngx.req.clear_header(name)',
    property => 'ngx.var[name] = value',
    answer   => 'ngx.status = 203 ngx.header["x-new"] = value ngx.header.location = "/there"
                 ngx.print("answered") ngx.exit(203)',
    refuse   => 'ngx.exit(404)',
);
my %response_steps = (
    response => '["replace_header_map_value", "response", "${name}", "${value}"]',
    status   => '["replace_header_map_value", "response", ":status", "${value}"]',
    drop     => '["remove_header_map_value", "response", "${name}"]',
);
my %response_lua = (
    response => 'ngx.header[name] = value',
    status   => 'ngx.status = tonumber(value)',
    drop     => 'ngx.header[name] = nil',
);

sub chosen { my %by_op = @_; join ', ', map { qq({"if": ["eq", "\${op}", "$_"], "then": [$by_op{$_}]}) } sort keys %by_op }
sub lua_chosen { my %by_op = @_; join ' ', map { qq(if op == "$_" then $by_op{$_} end) } sort keys %by_op }

my $arguments = join ', ', map {
    qq({"if": ["request_header", "x-$_"], "then": [{"op": "get_header_map_value", "args": ["request", "x-$_"], "as": "$_", "quiet": true}],
        "else": [["set", "$_", ""]]})
} qw(op name value);
my $lua_arguments = 'local op, name, value = ngx.var.http_x_op, ngx.var.http_x_name, ngx.var.http_x_value ';

my %by = (
    plugin => sub {
        sprintf q(wasm_response_body never; proxy_wasm hostcalls '{"on_request_headers": [%s, %s], "on_response_headers": [%s]}';),
            $arguments, chosen(%steps), chosen(%response_steps);
    },
    lua => sub {
        sprintf 'access_by_lua_block { %s %s } header_filter_by_lua_block { %s %s }',
            $lua_arguments, lua_chosen(%lua), $lua_arguments, lua_chosen(%response_lua);
    },
    rewrite => sub {
        return 'set_by_lua_block $path { return decoded(ngx.var.http_x_value:match("^[^?]*")) }
                set_by_lua_block $query { return ngx.var.http_x_value:match("%?(.*)$") or "" }
                set $args $query; rewrite ^ $path break;';
    },
);

# -- where: kinds of location, with the path of a request --------------------------------------------

my $sent   = 'proxy_set_header Host $http_host;
              proxy_set_header X-Vars "$uri|$args|$host|$http_host|$request_method|$v|$cookie_c|$http_range|$http_cookie";';
my $params = join ' ', map { "%s_param $_;" } 'SCRIPT_NAME $uri', 'QUERY_STRING $args', 'REQUEST_METHOD $request_method',
    'HOST $host', 'V $v', 'DOCUMENT_URI $document_uri', 'FILE $request_filename';
my %kind = (
    plain    => ['/plain/a.txt',     "location /plain/ { %s $sent proxy_pass http://$upstream; }"],
    uri      => ['/uri/long/a.txt',  "location /uri/long/ { %s $sent proxy_pass http://$upstream/base/; }"],
    exact    => ['/exact',           "location = /exact { %s $sent proxy_pass http://$upstream/base; }"],
    variable => ['/variable/a.txt',  "location /variable/ { %s $sent proxy_pass http://$upstream\$none; }"],
    computed => ['/computed/a.txt',  "location /computed/ { %s $sent proxy_pass http://$upstream/base/\$is_args\$args; }"],
    regex    => ['/regex/a.txt',     "location ~ ^/regex/(.*)\$ { %s $sent proxy_pass http://$upstream; }"],
    alias    => ['/alias/a.txt',     'location /alias/ { %s alias html/files/; }'],
    captured => ['/captured/a.txt',  'location ~ ^/captured/(.*)$ { %s alias html/files/$1; }'],
    root     => ['/files/a.txt',     'location /files/ { %s root html; }'],
    try      => ['/try/a.txt',       'location /try/ { %s root html; try_files $uri /files/b.txt =404; }'],
    named    => ['/named/a.txt',     "location /named/ { try_files /none \@named; } location \@named { %s $sent proxy_pass http://$upstream; }"],
    if       => ['/if/a.txt',        "location /if/ { %s $sent if (\$http_x_op) { proxy_pass http://$upstream; } proxy_pass http://$upstream/else; }"],
    fastcgi  => ['/fastcgi/a.txt',   'location /fastcgi/ { %s ' . sprintf($params, ('fastcgi') x 7) . " fastcgi_pass $gateways; }"],
    uwsgi    => ['/uwsgi/a.txt',     'location /uwsgi/ { %s ' . sprintf($params, ('uwsgi') x 7) . " uwsgi_pass $gateways; }"],
    scgi     => ['/scgi/a.txt',      'location /scgi/ { %s ' . sprintf($params, ('scgi') x 7) . " scgi_pass $gateways; }"],
    grpc     => ['/grpc/a.txt',      "location /grpc/ { %s grpc_pass grpc://127.0.0.1:$port{grpc}; }"],
);
# Has a `rewrite … break` of its own, behind which no other is run.
my %rewritten = (%kind, rewrite => ['/rewrite/a.txt', "location /rewrite/ { rewrite ^/rewrite/(.*)\$ /moved/\$1 break; %s $sent proxy_pass http://$upstream; }"]);

sub server {
    my ($who, $kinds) = @_;
    return "server { listen $port{$who}; listen $port{${who} . '_h2'} http2; root html; default_type text/plain; set \$v ''; set \$none '';\n"
        . join('', map { my ($before, $behind) = split /%s/, $kinds->{$_}[1]; $before . $by{$who}->() . "$behind\n" } sort keys %$kinds)
        . "}\n";
}

# -- the cells ---------------------------------------------------------------------------------------

my @mutations = (
    (map { [path => '', $_] } '/u', '/files/b.txt', '/alias/b.txt', '/try/none', '/uri/long/b?c=d', '/a%20b', '/a%0D%0AX:%20b',
        '/a%3Fb%23c%25d?e=%20f', '/caf%C3%A9', '/as/long/as/any/of/the/prefixes/and/longer?x=1&y=2', '/plus+a&b;c=d'),
    (map { [method => '', $_] } qw(PUT POST DELETE OPTIONS)),
    [field => 'x-new', 'new'], [field => 'user-agent', 'MSIE 6.0'], [field => 'cookie', 'c=1; d=2'], [field => 'range', 'bytes=1-2'],
    [field => 'if-modified-since', 'Fri, 31 Dec 2100 00:00:00 GMT'], [field => 'if-none-match', '*'], [field => 'te', 'trailers'],
    [field => 'connection', 'close'], [field => 'host', 'New.Example:81'], [field => 'authorization', 'Basic YTpi'],
    [field => 'accept-encoding', 'gzip'], [field => 'x-forwarded-for', '1.2.3.4'], [field => 'content-type', 'a/b'],
    [field => 'x-there', 'replaced'], [add => 'x-there', 'twice'], [add => 'cookie', 'c=3'], [remove => 'x-there', ''],
    [remove => 'range', ''], [remove => 'cookie', ''],
    [property => 'args', 'x=1&y=%20'], [property => 'args', ''], [property => 'v', 'a value'],
    [response => 'x-new', 'new'], [response => 'content-type', 'a/b; charset=c'], [response => 'location', '/relative'],
    [response => 'location', 'https://a.example/'], [response => 'cache-control', 'no-store'], [response => 'etag', '"e"'],
    [response => 'last-modified', 'Fri, 31 Dec 2100 00:00:00 GMT'], [drop => 'etag', ''], [drop => 'content-type', ''],
    [status => '', 201], [status => '', 204], [status => '', 404], [answer => '', 'new'], [refuse => '', ''],
);

# A status line, the fields that do not depend on time or framing, and the body, in lines of any order.
sub normal {
    my ($text) = @_;
    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    $body //= '';
    # The last line of a body that is not in chunks may end with a 0, too.
    if (($head // '') =~ /^transfer-encoding: chunked/mi) {
        $body =~ s/([0-9a-f]+)\r\n(.*?)\r\n(?=[0-9a-f]+\r\n)/$2/gs;
        $body =~ s/0\r\n\r\n\z//;
    }
    my @head = grep { !/^(?:date|server|connection|content-length|transfer-encoding):/i } split /\r\n/, lc($head // '');
    my $status = shift(@head) // 'no answer';
    $status =~ s{^http/\S+ (\d+).*}{$1};
    s/:\d{5}\b/:PORT/g for @head, $body;
    $body =~ s/^([\w-]+:)/\L$1/mg;
    return join "\n", $status, sort(@head), '', sort split /\r?\n/, $body;
}

sub raw_request {
    my ($version, $path, $op, $name, $value) = @_;
    return join "\r\n", "GET $path?old=1 HTTP/$version", 'Host: old.example', "X-Op: $op", "X-Name: $name", "X-Value: $value",
        'X-There: 1', 'Cookie: c=0', 'Range: bytes=0-1', 'Connection: close', '', '';
}

my $server = start_nginx(
    lua         => 1,
    log_level   => 'crit',
    http_config => "wasm_plugin hostcalls $ENV{TEST_NGINX_PLUGINS}/hostcalls.wasm; lua_http10_buffering off;\n"
        . 'init_by_lua_block { function decoded(text)
               return (text:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end)) end }'

        . server(plugin => \%rewritten) . server(lua => \%rewritten) . server(rewrite => \%kind) . <<"E",
    server { listen $port{http}; location / { content_by_lua_block { ngx.print(ngx.req.raw_header()) } } }
    server {
        listen $port{grpc} http2;
        location / {
            content_by_lua_block {
                ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri)
                for name, value in pairs(ngx.req.get_headers()) do
                    ngx.say(name, ": ", type(value) == "table" and table.concat(value, ", ") or value)
                end
            }
        }
    }
E
    config     => '',
    user_files => join('', map { ">>> files/$_\nfile $_ of a few bytes\n" } qw(a.txt b.txt)),
);

# What each of the servers answers to each cell: over HTTP/2 by one curl for all.
sub outcomes {
    my ($protocol, $who, @cells) = @_;
    return outcomes_of_h2($who, @cells) if $protocol eq 'h2';
    return map { normal($server->raw(raw_request($protocol, @$_), port => $port{$who})) } @cells;
}

sub outcomes_of_h2 {
    my ($who, @cells) = @_;
    my $folder = $server->root . "/$who";
    mkdir $folder;
    my $conf = join "next\n", map {
        my ($path, $op, $name, $value) = @{ $cells[$_] };
        $value =~ s/(["\\])/\\$1/g;
        join "\n", qq(url = "http://127.0.0.1:$port{${who} . '_h2'}$path?old=1"), 'http2-prior-knowledge', 'include', 'silent', 'path-as-is',
            'header = "Host: old.example"', qq(header = "X-Op: $op"), ($name eq '' ? () : qq(header = "X-Name: $name")),
            ($value eq '' ? () : qq(header = "X-Value: $value")), 'header = "X-There: 1"', 'header = "Cookie: c=0"',
            'header = "Range: bytes=0-1"', 'header = "User-Agent:"', 'header = "Accept:"', qq(output = "$folder/$_"), '';
    } 0 .. $#cells;
    open my $curl, '|-', 'curl', '-K', '-' or die "curl: $!\n";
    print {$curl} $conf;
    close $curl;
    return map { -e "$folder/$_" ? normal(do { local (@ARGV, $/) = "$folder/$_"; <> }) : 'no answer' } 0 .. $#cells;
}

for my $name (sort keys %rewritten) {
    for my $protocol (qw(1.0 1.1 h2)) {
        subtest "$name, $protocol" => sub {
            # Lua's function does not tell grpc_pass of a new TE, as nginx tells it of a client's.
            my @here  = grep { $name ne 'grpc' || $_->[1] ne 'te' } @mutations;
            my @cells = map { [$rewritten{$name}[0], @$_] } @here;
            my @plugin = outcomes($protocol, plugin => @cells);
            my @lua    = outcomes($protocol, lua    => @cells);
            my @paths  = grep { $cells[$_][1] eq 'path' } $kind{$name} ? 0 .. $#cells : ();
            my @rewrite = @paths ? outcomes($protocol, rewrite => @cells[@paths]) : ();
            is $plugin[$_], $lua[$_], "@{$cells[$_]}[1 .. 3]: as Lua's function" for 0 .. $#cells;
            is $plugin[ $paths[$_] ], $rewrite[$_], "$cells[$paths[$_]][3]: as rewrite" for 0 .. $#paths;
        };
    }
}
# What nginx says of `rewrite … break` there.
$server->stop(allow => [qr/"alias" cannot be used in location "\S+" where URI was rewritten/]);
done_testing;
