# A test runner is worth what it refuses. Each block here is wrong in one way; the
# blocks are run by a runner of their own, and its report must say "not ok" and why.

use lib '.';
BEGIN { $ENV{TEST_NGINX_OWN_RUNNER} = 1 }
use t::ProxyWasm 'no_plan';

# Each: a title that says what is wrong, the failure to be reported, the block.
my @cases = (
    ['a status nobody asked for', qr/status code ok/, <<'E'],
--- config
    location /t { return 404; }
--- request
GET /t
E
    ['another status than asked for', qr/status code ok/, <<'E'],
--- config
    location /t { return 200; }
--- request
GET /t
--- error_code: 201
E
    ['another body', qr/response_body - response is expected/, <<'E'],
--- config
    location /t { return 200 "a"; }
--- request
GET /t
--- response_body chomp
b
E
    ['a body unlike', qr/response_body_like/, <<'E'],
--- config
    location /t { return 200 "a"; }
--- request
GET /t
--- response_body_like: ^b
E
    ['a body like', qr/response_body_unlike/, <<'E'],
--- config
    location /t { return 200 "a"; }
--- request
GET /t
--- response_body_unlike: ^a
E
    ['another header', qr/header X-A ok/, <<'E'],
--- config
    location /t { add_header X-A 1; return 200; }
--- request
GET /t
--- response_headers
X-A: 2
E
    ['a header too many', qr/header X-A not present/, <<'E'],
--- config
    location /t { add_header x-a 1; return 200; }
--- request
GET /t
--- response_headers
!X-A
E
    ['a header unlike', qr/header X-A like ok/, <<'E'],
--- config
    location /t { add_header X-A 1b; return 200; }
--- request
GET /t
--- response_headers_like
X-A: \d
E
    ['raw headers', qr/raw resp headers like/, <<'E'],
--- config
    location /t { return 200; }
--- request
GET /t
--- raw_response_headers_like: X-A
E
    ['the second of two answers', qr/\(req 1\)/, <<'E'],
--- config
    location /t { return 200 "$args"; }
--- request eval
["GET /t?1", "GET /t?2"]
--- response_body eval
["1", "1"]
E
    ['one expectation for two answers', qr/a list of as many values/, <<'E'],
--- config
    location /t { return 200 "1"; }
--- request eval
["GET /t?1", "GET /t?2"]
--- response_body chomp
1
E
    ['no answer in time', qr/client socket timed out/, <<'E'],
--- config
    location /t { content_by_lua_block { ngx.sleep(2) } }
--- request
GET /t
E
    ['a chunked body cut short', qr/not enough bytes for a chunk/, <<'E'],
--- config
    location /t {
        content_by_lua_block {
            local sock = ngx.req.socket(true)
            sock:send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
        }
    }
--- request
GET /t
E
    ['a line that is not logged', qr/pattern "never" should match/, <<'E'],
--- config
    location /t { return 200; }
--- request
GET /t
--- error_log
never
E
    ['a line that must not be logged', qr/pattern "\[notice\]" should not match/, <<'E'],
--- config
    location /t { return 200; }
--- request
GET /t
--- no_error_log
[notice]
E
    ['lines grepped from the log', qr/grep_error_log_out/, <<'E'],
--- config
    location /t { return 200; }
--- request
GET /t
--- grep_error_log: start worker process
--- grep_error_log_out
start nothing
E
    ['a line that is not in the access log', qr/pattern "POST" should match/, <<'E'],
--- config
    location /t { return 200; }
--- request
GET /t
--- access_log
POST
E
    ['a line that must not be in the access log', qr/pattern "GET" should not match/, <<'E'],
--- config
    location /t { return 200; }
--- request
GET /t
--- no_access_log
GET
E
    ['a line not logged at shutdown', qr/pattern "goodbye" should match .* at shutdown/, <<'E'],
--- config
    location /t { return 200; }
--- request
GET /t
--- shutdown_error_log
goodbye
E
    ['a line that must not be logged at shutdown', qr/pattern "exited with code 0" should not match .* at shutdown/, <<'E'],
--- config
    location /t { return 200; }
--- request
GET /t
--- no_shutdown_error_log
exited with code 0
E
    ['an alert nobody asked for', qr/lines in error\.log that the block did not ask for/, <<'E'],
--- http_config
    lua_code_cache off;
--- config
    location /t { return 200; }
--- request
GET /t
E
    ['a worker that dies', qr/lines in error\.log that the block did not ask for/, <<'E'],
--- config
    location /t {
        content_by_lua_block { os.execute("kill -SEGV " .. ngx.worker.pid()) }
    }
--- request
GET /t
--- ignore_response
E
    ['a crit beside the emerg asked for', qr/lines in error\.log that the block did not ask for/, <<'E'],
--- config
    location /t {
        content_by_lua_block { ngx.log(ngx.EMERG, "one") ngx.log(ngx.CRIT, "two") }
    }
--- request
GET /t
--- error_log
[emerg]
E
    ['a panic of the host', qr/lines in error\.log that the block did not ask for/, <<'E'],
--- config
    location /t {
        content_by_lua_block { io.stderr:write("thread 'main' panicked at src/lib.rs:1:1:\n") }
    }
--- request
GET /t
E
    ['a start that succeeds', qr/die as expected/, <<'E'],
--- config
    location /t { return 200; }
--- must_die
E
    ['a start that fails', qr/nginx did not start: .*unknown directive "nonsense"/, <<'E'],
--- config
    nonsense on;
--- request
GET /t
E
    ['a start that fails with another exit code', qr/die with the expected exit code/, <<'E'],
--- config
    nonsense on;
--- must_die: 3
E
    ['a start that fails with another line', qr/pattern "sense of humour" should match/, <<'E'],
--- config
    nonsense on;
--- must_die
--- error_log
sense of humour
E
    ['a check that fails', qr/nginx -t passes/, <<'E'],
--- check_config
--- config
    nonsense on;
E
    ['a check that passes', qr/nginx -t fails as expected/, <<'E'],
--- check_config
--- must_die
--- config
    location /t { return 200; }
E
    ['no request', qr/no --- request/, <<'E'],
--- config
    location /t { return 200; }
E
    ['a name the environment does not have', qr/TEST_NGINX_NOWHERE/, <<'E'],
--- config
    location /t { return 200 "$TEST_NGINX_NOWHERE"; }
--- request
GET /t
E
    ['no module where there should be one', qr/no-such-module\.so is not there/, <<'E', 'load it'],
--- config
    location /t { return 200; }
--- request
GET /t
E
);

my $suite = "use lib '.';\nuse t::ProxyWasm 'no_plan';\ntimeout(0.5 * \$ProxyWasm::Settings::Patience);\nrun_tests();\n__DATA__\n";
for my $case (@cases) {
    my ($title, undef, $block, $module) = @$case;
    $suite .= "\n=== $title\n" . ($module ? '' : "--- no_module\n") . $block;
}

# Not called .t: what is left of a test that was killed is no suite for prove -r.
my $root = server_root() . '-inner';
mkdir $root;
open my $out, '>', "$root/suite.pl" or die "$root/suite.pl: $!";
print {$out} $suite;
close $out;

local $ENV{TEST_NGINX_SERVROOT} = "$root/servroot";
local $ENV{TEST_NGINX_MODULE}   = 'no-such-module.so';
my $report = qx{'$^X' '$root/suite.pl' 2>'$root/stderr'};
my $status = $?;

for my $case (@cases) {
    my ($title, $why) = @$case;
    my @failed = $report =~ /^(not ok \d+ - .*\b\Q$title\E - .*)$/mg;
    push @failed, $report =~ /^(not ok \d+ - ERROR: .* - .*\b\Q$title\E)$/mg;
    ok scalar(grep { $_ =~ $why } @failed), "refused: $title"
        or diag("failures of this block:\n", map { "$_\n" } @failed);
}
isnt $status, 0, 'the file as a whole fails';
like $report, qr/^1\.\.\d+$/m, 'and still runs to its end';
ok -d "$root/servroot/logs", 'the server root of a failure is kept';
