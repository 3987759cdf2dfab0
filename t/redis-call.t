# proxy_redis_init, proxy_redis_call and proxy_on_redis_call_response, Higress's extension of the ABI,
# with a redis-server.

use lib '.';
use t::ProxyWasm;
use File::Temp ();
use ProxyWasm::Certificates ();
use ProxyWasm::LuaSetup;
use ProxyWasm::Redis qw(command redis_binary start_redis);

Test::More::plan(skip_all => 'no redis-server: make deps installs it') if !redis_binary();

my $certs = File::Temp->newdir;
chmod 0755, $certs;
ProxyWasm::Certificates->new("$certs")->issue('redis', 'DNS:redis.test,IP:127.0.0.1')->issue('other', 'DNS:other.test');

my $tls_port = free_port();
my $open = start_redis(
    'tls-port' => $tls_port, 'tls-cert-file' => "$certs/redis.crt", 'tls-key-file' => "$certs/redis.key",
    'tls-ca-cert-file' => "$certs/ca.crt", 'tls-auth-clients' => 'no',
);
my $other_port = free_port();
my $locked = start_redis(
    requirepass => 'secret', user => 'plugin on >word ~* +@all',
    'tls-port' => $other_port, 'tls-cert-file' => "$certs/other.crt", 'tls-key-file' => "$certs/other.key",
    'tls-ca-cert-file' => "$certs/ca.crt", 'tls-auth-clients' => 'no',
);
my ($redis, $closed) = ('127.0.0.1:' . $open->port, '127.0.0.1:' . free_port());
my $secured = '127.0.0.1:' . $locked->port;

sub bytes { return sprintf '{"hex": "%s"}', unpack 'H*', $_[0] }

# What a request answers: the callback's status and size, and the reply.
my $answer = <<'SCRIPT';
"on_redis_call_response": [
    ["get_buffer_bytes", "redis_reply"],
    ["send_local_response", 200, "${status_code} ${reply_size} ${last}"]]
SCRIPT

# A plugin that says how to use the server, and sends these bytes for each request.
sub sending {
    my ($server, $bytes, @init) = @_;
    my $init = @init ? '["redis_init", ' . join(', ', map { /^\d+$/ ? $_ : qq("$_") } @init) . ']' : '';
    return <<"SCRIPT";
{"on_configure": [$init],
 "on_request_headers": [
    ["redis_call", "$server", @{[bytes($bytes)]}],
    {"if": ["eq", "\${status}", "OK"], "then": [["return", "pause"]], "else": [["send_local_response", 500, "\${status}"]]}],
 $answer}
SCRIPT
}

my %scripts = (
    set       => sending($redis, command(SET => 'key', "a\r\nb")),
    get       => sending($redis, command(GET => 'key')),
    list      => sending($redis, command(EVAL => 'return {1, {"two", false}, redis.error_reply("three")}', 0)),
    unknown   => sending($redis, command('NOSUCH')),
    big       => sending($redis, command(EVAL => 'return string.rep("x", 20000)', 0)),
    larger    => sending($redis, command(EVAL => 'return string.rep("x", 200000)', 0)),
    blocked   => sending($redis, command(BLPOP => 'nothing', 0), $redis, '', '', 300),
    left      => sending($redis, command(BLPOP => 'nothing', 0), $redis, '', '', 60_000),
    select    => sending($redis, command(SELECT => 5)),
    database  => sending($redis, command(SET => 'in', 'seven'), "$redis?db=7&buffer_flush_timeout=3", '', '', 5000),
    outside   => sending($redis, command(SET => 'in', 'none'), "$redis?db=99", '', '', 5000),
    login     => sending($secured, command(PING => 'password'), $secured, '', 'secret', 5000),
    user      => sending($secured, command(ACL => 'WHOAMI'), $secured, 'plugin', 'word', 5000),
    wrong     => sending($secured, command('PING'), $secured, 'plugin', 'wrong', 5000),
    anonymous => sending($secured, command('PING')),
    tls       => sending("rediss://127.0.0.1:$tls_port", command(PING => 'tls')),
    untrusted => sending("rediss://127.0.0.1:$other_port", command(PING => 'tls')),
    refused   => sending($closed, command('PING')),
    http      => sending('127.0.0.1:$TEST_NGINX_SERVER_PORT', command('PING')),
    block     => sending('outbound|6379||redis.static', command(PING => 'block')),
    named     => sending('cache', command(PING => 'named')),
    inline    => sending($redis, "PING\r\n"),
    two       => sending($redis, command('PING') . command('PING')),
    cluster   => sending('outbound|6379||none.static', command('PING')),
    nowhere   => sending('a b', command('PING')),
    long      => sending('abc.' x 64 . 'org', command('PING')),
    badbase   => sending($redis, command('PING'), "$redis?db=x", '', '', 1),
    tick      => <<"SCRIPT",
{"on_configure": [["set_tick_period_milliseconds", 20]],
 "on_tick": [["redis_call", "$redis", @{[bytes(command(INCR => 'ticks'))]}], ["set_tick_period_milliseconds", 0]],
 "on_redis_call_response": [["get_buffer_bytes", "redis_reply"], ["echo", "by \${kind}: \${status_code} \${last}"]]}
SCRIPT
);

my $s = start_nginx(
    http_config => <<"CONF",
    wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls-0-2-100.wasm;
    wasm_call_response_limit 100k;
    wasm_ssl_trusted_certificate $certs/ca.crt;
    upstream "outbound|6379||redis.static" { server $redis; }
    wasm_upstream cache 127.0.0.1:$tls_port tls=on sni=other.test verify=off;
CONF
    config => 'location /plain { return 400 plain; }'
        . join('', map { "location = /$_ { proxy_wasm hostcalls conf_file=html/$_.json; }\n" } sort keys %scripts),
    user_files => [map { ["$_.json", $scripts{$_}] } sort keys %scripts],
);

sub says {
    my ($path, $want, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is $s->get("/$path")->{body}, $want, $name;
}

sub logs {
    my ($path, $want, $pattern, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $s->mark_log;
    says($path, $want, $name);
    like $s->error_log, qr/\[error\] .*$pattern/, "$name: the line";
}

says(set  => "0 5 +OK\r\n",                                                 'a command and its reply');
says(get  => "0 10 \$4\r\na\r\nb\r\n",                                      'a reply is as it came');
like $s->get('/list')->{body}, qr/^0 \d+ \*3\r\n:1\r\n\*2\r\n\$3\r\ntwo\r\n\$-1\r\n-(?:ERR )?three\r\n$/, 'a list in a list';
like $s->get('/unknown')->{body}, qr/^0 \d+ -ERR unknown command/, 'an error is a reply';
is length $s->get('/big')->{body}, length("0 20010 \$20000\r\n") + 20_002, 'a reply of several pieces';
says(named => "0 11 \$5\r\nnamed\r\n", 'a name that wasm_upstream knows');
says(block => "0 11 \$5\r\nblock\r\n", 'an upstream block with a name of Higress');

logs(larger  => '1 0 ', 'redis call failed: response larger than 102400 bytes, server: ', 'a reply past the limit');
logs(blocked => '1 0 ', "redis call failed: timeout, server: $redis",                     'a reply that does not come');
logs(refused => '1 0 ', "redis call failed: connection refused, server: $closed",         'no server');
logs(http => '1 0 ', 'redis call failed: the server does not speak the protocol of Redis', 'another server');

says(database => "0 5 +OK\r\n", 'a database');
like $open->ask('INFO', 'keyspace'), qr/^db7:keys=1,/m, 'the database has the key';
logs(outside => "0 31 -ERR DB index is out of range\r\n",
    "redis server $redis refuses database 99: -ERR DB index is out of range", 'a database that there is not');

says(login => "0 14 \$8\r\npassword\r\n", 'a password');
says(user  => "0 12 \$6\r\nplugin\r\n",   'a user and a password');
my $noauth = "-NOAUTH Authentication required.\r\n";
says(anonymous => '0 ' . length($noauth) . " $noauth", 'no password');
logs(wrong => '0 ' . length($noauth) . " $noauth", "redis server $secured refuses the login: -WRONGPASS ", 'a wrong password');

says(tls => "0 9 \$3\r\ntls\r\n", 'TLS');
logs(untrusted => '1 0 ', 'redis call failed: .*certificate', 'a certificate of another server');

logs(inline  => 'BAD_ARGUMENT', 'redis call gets what is not one command, server: ', 'what is not a command');
logs(two     => 'BAD_ARGUMENT', 'redis call gets what is not one command, server: ', 'two commands');
logs(cluster => 'BAD_ARGUMENT', qr/redis call gets invalid host: outbound\|6379\|\|none\.static; .* wasm_upstream "outbound\|6379\|\|none\.static" HOST:PORT;/, 'a cluster that nobody knows');
logs(nowhere => 'BAD_ARGUMENT', 'redis call gets invalid host: a b',                 'what is not a server');
logs(long    => 'BAD_ARGUMENT', 'redis call gets invalid host: (?:abc\.)+org',      'a longer name than any server has');

# What each connection was used for shows in the server's own count.
sub connections { return $open->ask('INFO', 'stats') =~ /^total_connections_received:(\d+)/m ? $1 : die 'no count' }
says(set => "0 5 +OK\r\n", 'a connection is there');
my $before = connections();
says(get => "0 10 \$4\r\na\r\nb\r\n", "request $_ on it") for 1 .. 3;
is connections() - $before, 1, 'calls share a connection: the other one is that of this question';
says(select => "0 5 +OK\r\n",           'a command that changes its connection');
says(get    => "0 10 \$4\r\na\r\nb\r\n", 'changes that of no other call');

# A server that has closed kept connections.
$open->ask('CLIENT', 'KILL', 'TYPE', 'normal');
says(get => "0 10 \$4\r\na\r\nb\r\n", 'a kept connection that was closed is not used');

# The client goes away while its request waits.
$s->mark_log;
my $connection = $s->connect;
$connection->send_request(GET => '/left');
ok $s->wait_for_log(qr/redis_call \S+ .* -> OK/), 'a request waits';
undef $connection;
ok $s->wait_for_log(qr/free http context/), 'and ends with its client';
$open->ask(RPUSH => 'nothing', 'late');
says(get => "0 10 \$4\r\na\r\nb\r\n", 'the worker goes on');
unlike $s->error_log, qr/late/, 'and the plugin is told nothing of it';

$s->{since} = 0;
ok $s->wait_for_log(qr/by plugin: 0 :1/), 'a call of a tick, and its reply to the plugin context';
$s->stop(allow => [qr/\[error\]/]);

# A request of Lua's waits for the call, which the module itself makes.
my $lua = start_nginx(
    http_config => "$ProxyWasm::LuaSetup::WASM_VM$ProxyWasm::LuaSetup::INIT_WORKER",
    config      => <<"CONF",
    location = /get {
        access_by_lua_block {
            assert(wasm.on_http_request_headers(configured("hostcalls-0-2-100", [==[$scripts{get}]==])))
        }
        content_by_lua_block { ngx.print("passed") }
    }
CONF
);
is $lua->get('/get')->{body}, "0 10 \$4\r\na\r\nb\r\n", 'by Lua: a request waits for its reply';
$lua->stop;

done_testing;
