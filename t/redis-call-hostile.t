# Redis calls of servers that are hostile or broken: the plugin gets one clear outcome, no bytes of one call become the reply of
# another, and the worker keeps nothing of it.

use lib '.';
use t::ProxyWasm;
use IO::Socket::INET ();
use JSON::PP qw(decode_json);
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER);
use ProxyWasm::Redis qw(command);

# The limit for replies.
my $limit = 100 << 10;

# What the server sends for GET NAME, and what the plugin gets then: the callback's status and the reply; and the line about it.
my $no_redis = 'the server does not speak the protocol of Redis';
my $too_large = "response larger than $limit bytes";
my $closed = 'connection closed';
my $whole  = "*3\r\n\$3\r\nabc\r\n:1\r\n*1\r\n\$-1\r\n";
my @cases = (
    # Sizes. The connection stays open, so the outcome comes from what is announced.
    ['a text that is announced too large', "\$1000000000\r\nabc", $too_large],
    ['a text as large as numbers go', "\$9223372036854775807\r\n", $too_large],
    ['a text larger than numbers go', "\$18446744073709551616\r\n", $no_redis],
    ['a text of a negative size', "\$-5\r\n", $no_redis],
    ['a text without an end', "\$3\r\nabcdef\r\n", $no_redis],
    ['a list that is announced too long', "*1000000000\r\n", $too_large],
    ['a list as long as numbers go', "*9223372036854775807\r\n", $too_large],
    ['lists that overflow when they are added', "*9223372036854775807\r\n" x 3, $no_redis],
    ['a map that overflows when it is doubled', "%18446744073709551615\r\n", $no_redis],
    ['lists in lists without an end', "*1\r\n" x 40_000, $too_large],
    ['lists in lists', "*1\r\n" x 20_000 . "+end\r\n", undef],
    ['a list of nothing but lists', "*20000\r\n" . "*0\r\n" x 20_000, undef],
    ['a line that never ends', sub { my ($s) = @_; while (syswrite $s, 'a' x 4096) { } }, $no_redis],
    ['an error that never ends', sub { my ($s) = @_; syswrite $s, '-'; while (syswrite $s, 'a' x 4096) { } }, $too_large],
    ['a list that never ends', sub { my ($s) = @_; syswrite $s, "*1000000\r\n"; while (syswrite $s, ":1\r\n" x 1024) { } }, $too_large],
    ['values that never end', sub { my ($s) = @_; while (syswrite $s, "|1\r\n+a\r\n+b\r\n" x 512) { } }, $too_large],
    # What is no reply.
    ['bytes', join('', map { chr } 0 .. 255), $no_redis],
    ['another protocol', "HTTP/1.1 400 Bad Request\r\n\r\n", $no_redis],
    ['an empty line', "\r\n", $no_redis],
    ['a line with the wrong end', "+OK\n", $no_redis],
    ['a size that is none', "\$1x\r\na\r\n", $no_redis],
    ['a size with a sign', "*+1\r\n+a\r\n", $no_redis],
    ['a text of unknown size', "\$?\r\n;3\r\nabc\r\n;0\r\n", $no_redis],
    ['a list with a value of no kind', "*2\r\n+a\r\n?b\r\n", $no_redis],
    ['something that is pushed', ">2\r\n+invalidate\r\n_\r\n", $no_redis],
    ['something that is pushed before the reply', ">1\r\n+a\r\n+OK\r\n", $no_redis],
    ['something that is pushed in the reply', "*2\r\n+a\r\n>1\r\n+b\r\n", $no_redis],
    # Replies that come as they like.
    ['a reply byte by byte', sub { my ($s) = @_; for (split //, $whole) { syswrite $s, $_; select undef, undef, undef, 0.001 } }, undef, $whole],
    ['no reply', '', 'timeout'],
    ['half a reply', "*2\r\n+a\r\n", 'timeout'],
    # A connection that ends.
    (map { ["a reply that ends after $_ bytes", sub { my ($s) = @_; syswrite $s, substr $whole, 0, $_[1]; close $s }, $closed, undef, $_] }
        0 .. length($whole) - 1),
    ['a connection that is reset', sub { my ($s) = @_; syswrite $s, "*2\r\n+a\r\n"; $s->sockopt(SO_LINGER, pack 'ii', 1, 0); close $s },
        'connection (?:reset by peer|closed)'],
    ['a whole reply, and the end', sub { my ($s) = @_; syswrite $s, $whole; close $s }, undef, $whole],
);

# A server: each connection is a process, which answers `GET case` by the case, and other commands by what they are called.
my $listener = IO::Socket::INET->new(LocalHost => '127.0.0.1', LocalPort => 0, Listen => 64) or die "listen: $!\n";
my $redis    = '127.0.0.1:' . $listener->sockport;
# A byte comes here when the second answer of LATER has been sent.
pipe my $answered, my $answering or die "pipe: $!\n";
my %replies  = (
    OK    => sub { syswrite $_[0], "+OK\r\n" },
    # Answers twice; the second answer comes with the first one, or after it.
    TWICE => sub { syswrite $_[0], "+first\r\n+second\r\n" },
    LATER => sub {
        syswrite $_[0], "+first\r\n";
        select undef, undef, undef, 0.05;
        syswrite $_[0], "+second\r\n";
        syswrite $answering, '.';
    },
    # How many connections there were before this one, and commands on it.
    WHO   => sub { my $text = "connection $_[1], command $_[2]"; syswrite $_[0], '$' . length($text) . "\r\n$text\r\n" },
    AUTH  => sub {
        my %by = (wrong => "-WRONGPASS no\r\n", twice => "+OK\r\n+connection faked\r\n", odd => "\$2\r\nOK\r\n", endless => '-' . 'a' x 40_000);
        syswrite $_[0], $by{ $_[3] } // "+OK\r\n";
    },
    SELECT => sub { my %by = (7 => "-ERR no\r\n", 8 => "+OK\r\n+connection faked\r\n", 9 => ":1\r\n"); syswrite $_[0], $by{ $_[3] } // "+OK\r\n" },
);
my $server = fork // die "fork: $!\n";
if (!$server) {
    $SIG{CHLD} = 'IGNORE';
    $SIG{PIPE} = 'IGNORE';
    for (my $connection = 0; my $client = $listener->accept; $connection++) {
        if (fork) { close $client; next }
        my ($buffer, $commands) = ('', 0);
        while (1) {
            if ($buffer =~ s/^\*(\d+)\r\n((?:\$\d+\r\n[^\r\n]*\r\n)+)//) {
                my @arguments = $2 =~ /\$\d+\r\n([^\r\n]*)\r\n/g;
                my $case = $arguments[0] eq 'GET' ? $cases[$arguments[1]] : undef;
                if (!$case) { $replies{ $arguments[0] }->($client, $connection, $commands++, $arguments[1]) }
                elsif (ref $case->[1]) { $case->[1]->($client, $case->[4]) }
                else { syswrite $client, $case->[1] }
            }
            else { last if !$client->opened || !sysread $client, $buffer, 4096, length $buffer }
        }
        POSIX::_exit(0);
    }
    POSIX::_exit(0);
}
END { local $?; kill KILL => $server if $server }

sub bytes { return sprintf '{"hex": "%s"}', unpack 'H*', $_[0] }

# A plugin that sends this command for each request. The timeout of calls is that of a reply that does not come.
my %locations;
sub location {
    my ($name, $command, $database, $password, $timeout) = @_;
    my $address = "$redis?db=$database";
    $locations{$name} = <<"SCRIPT";
{"on_configure": [["redis_init", "$address", "", "$password", $timeout]],
 "on_request_headers": [["redis_call", "$address", @{[bytes($command)]}], ["return", "pause"]],
 "on_redis_call_response": [["get_buffer_bytes", "redis_reply"], ["send_local_response", 200, "\${status_code} \${last}"]]}
SCRIPT
}
location("case$_", command(GET => $_), 0, '', ($cases[$_][2] // '') eq 'timeout' ? 100 : 60_000) for 0 .. $#cases;
location(lc, command($_), 0, '', 60_000) for qw(OK TWICE LATER WHO);
location("auth-$_",   command('WHO'), 0,  $_,     60_000) for qw(good wrong twice odd endless);
location("select-$_", command('WHO'), $_, '',     60_000) for qw(1 7 8 9);
location('wrong-and-select', command('WHO'), 1, 'wrong', 60_000);

my $s = start_nginx(
    http_config => "wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls-0-2-100.wasm; wasm_call_response_limit $limit;",
    config      => 'location = /status { wasm_status; } '
        . join('', map { "location = /$_ { proxy_wasm hostcalls conf_file=html/$_.json; }\n" } sort keys %locations),
    user_files => [map { ["$_.json", $locations{$_}] } sort keys %locations],
);
my ($worker) = $s->worker_pids;

sub memory {
    open my $status, '<', "/proc/$worker/status" or die "$worker: $!";
    my ($kilobytes) = map { /^VmRSS:\s+(\d+)/ } <$status>;
    return $kilobytes;
}

sub body { return $s->get("/$_[0]")->{body} }

sub round {
    my ($test) = @_;
    for my $index (0 .. $#cases) {
        my ($name, $sent, $error, $reply) = @{ $cases[$index] };
        $s->mark_log;
        my $body = body("case$index");
        next if !$test;
        is $body, defined $error ? '1 ' : '0 ' . ($reply // $sent), $name;
        my @lines = $s->error_log =~ /redis call failed: (.*?), server: /g;
        is @lines, defined $error ? 1 : 0, "$name: one line, or none";
        like $lines[0], qr/^$error$/, "$name: the line" if defined $error;
    }
}

sub kept { return decode_json($s->get('/status')->{body})->{host_memory} }

my $kept = kept();
round(1);
my $before = memory();
round(0) for 1 .. 3;
cmp_ok memory() - $before, '<', 8192, 'the worker does not grow with them' if !$ENV{TEST_NGINX_SANITIZED} && !$ENV{TEST_NGINX_USE_VALGRIND};
is kept(), $kept, 'and keeps nothing for the plugin';

# What came behind a reply is no reply.
for my $path (qw(twice later)) {
    is body($path), "0 +first\r\n", "$path: the first reply";
    sysread $answered, my $byte, 1 if $path eq 'later';
    like body('who'), qr/^0 \$\d+\r\nconnection \d+, command 0\r\n$/, "$path: the next call has a connection of its own";
}
my ($first, $second) = map { body('who') } 1 .. 2;
isnt $first, $second, 'calls get different replies';
is $second =~ s/, command (\d+)/', command ' . ($1 - 1)/er, $first, 'on one connection, where the server behaves';

# Logins.
$s->mark_log;
my @good = map { body('auth-good') } 1 .. 2;
like $good[1], qr/^0 .*, command 2\r\n$/s, 'a connection with its login is kept';
my @wrong = map { body('auth-wrong') } 1 .. 2;
like $_, qr/^0 .*, command 1\r\n$/s, 'one whose login was refused serves one call' for @wrong;
isnt $wrong[0], $wrong[1], 'each on its connection';
my @select = map { body('select-1') } 1 .. 2;
like $select[1], qr/^0 .*, command 2\r\n$/s, 'a connection with its database is kept';
like body('wrong-and-select'), qr/^0 .*, command 2\r\n$/s, 'a refused login, and a database' for 1 .. 2;
is body('select-7'), "0 -ERR no\r\n", 'a refused database is the reply' for 1 .. 2;
is body($_), '1 ', "$_: no reply of another command is taken for that of this one" for qw(auth-twice auth-odd auth-endless select-8 select-9);

is_deeply [$s->worker_pids], [$worker], 'the worker is the same';
$s->stop(allow => [qr/redis call failed|redis server \S+ refuses/]);
done_testing;
