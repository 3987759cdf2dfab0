# The sections that what stands in for Test::Nginx knows, each on plain nginx. Needs no module of
# ours. That a wrong expectation fails is tested in 00-runner-failures.t.

use lib '.';
BEGIN { $ENV{TEST_NGINX_OWN_RUNNER} = 1 }
use t::ProxyWasm 'no_plan';

no_long_string();
run_tests();

__DATA__

=== TEST 1: a location answers
--- no_module
--- config
    location /t { return 200 "hi\n"; }
--- request
GET /t
--- response_body
hi
--- no_error_log
[error]



=== TEST 2: the html directory is the root location
--- no_module
--- config
--- request
GET /index.html
--- response_body_like: It works!



=== TEST 3: status, headers that are there, like something, and absent
--- no_module
--- config
    location /t {
        add_header X-Two one always;
        add_header X-Two two always;
        return 404 "no\n";
    }
--- request
GET /t
--- error_code: 404
--- response_headers
X-Two: one, two
Content-Length: 3
!X-Three
--- response_body
no



=== TEST 4: response_headers_like, raw headers, error_code_like
--- no_module
--- config
    location /t { add_header X-N 42; return 201; }
--- request
GET /t
--- error_code_like: ^20\d$
--- response_headers_like
X-N: \d+
Server: nginx.*
--- raw_response_headers_like: X-N: 42\r\n
--- raw_response_headers_unlike: X-M:



=== TEST 5: a body makes a Content-Length, more_headers adds and replaces
--- no_module
--- config
    location /t {
        content_by_lua_block {
            ngx.req.read_body()
            local h = ngx.req.get_headers()
            ngx.say(ngx.req.get_method(), " ", h["content-length"], " ", h["x-a"], " ", h.host)
            ngx.say(ngx.req.get_body_data())
        }
    }
--- more_headers
X-A: 1
# X-A: a comment
Host: example.com
--- request
POST /t
hello
world
--- response_body
POST 11 1 example.com
hello
world



=== TEST 6: HTTP/1.0
--- no_module
--- config
    location /t { return 200 "$server_protocol\n"; }
--- request
GET /t HTTP/1.0
--- response_body
HTTP/1.0



=== TEST 7: several requests, each with its headers and its answer
--- no_module
--- config
    location /t { return 200 "$request_uri $http_x_a\n"; }
    location /n { return 404; }
--- request eval
["GET /t?a", "GET /n", "GET /t?b"]
--- more_headers eval
["X-A: 1", "X-A: 2", "X-A: 3"]
--- error_code eval
[200, 404, 200]
--- response_body eval
["/t?a 1\n", qr/404 Not Found/, "/t?b 3\n"]



=== TEST 8: pipelined requests come on one connection
--- no_module
--- config
    location /t { return 200 "$connection_requests\n"; }
--- pipelined_requests eval
["GET /t", "GET /t", "GET /t"]
--- response_body eval
["1\n", "2\n", "3\n"]



=== TEST 9: raw_request, in packets
--- no_module
--- config
    location /t { return 200 "$http_x_a $args\n"; }
--- raw_request eval
["GET /t?a HTT", "P/1.1\r\nHost: x\r\nX-A: 1\r", "\nConnection: close\r\n\r\n"]
--- raw_request_middle_delay: 0.01
--- response_body
1 a



=== TEST 10: a chunked response is decoded
--- no_module
--- config
    location /t {
        content_by_lua_block {
            for i = 1, 3 do
                ngx.say(string.rep("x", i))
                ngx.flush(true)
            end
        }
    }
--- request
GET /t
--- response_headers
Transfer-Encoding: chunked
!Content-Length
--- response_body
x
xx
xxx



=== TEST 11: a chunked request
--- no_module
--- config
    location /t {
        content_by_lua_block {
            ngx.req.read_body()
            ngx.print(ngx.req.get_body_data())
        }
    }
--- more_headers
Transfer-Encoding: chunked
--- request eval
"POST /t
6\r
hello\n\r
0\r
\r
"
--- response_body
hello



=== TEST 12: HEAD has headers and no body
--- no_module
--- config
    location /t { return 200 "hello\n"; }
--- request
HEAD /t
--- response_headers
Content-Length: 6
--- response_body chomp



=== TEST 13: 204 and 304
--- no_module
--- config
    location /a { return 204; }
    location /b { return 304; }
--- request eval
["GET /a", "GET /b"]
--- error_code eval
[204, 304]
--- response_body eval
["", ""]



=== TEST 14: a 100 Continue is read as what it is
--- no_module
--- config
    location /t {
        content_by_lua_block {
            ngx.req.read_body()
            ngx.print("got ", ngx.req.get_body_data())
        }
    }
--- more_headers
Expect: 100-continue
--- request
POST /t
hello
--- error_code: 100
--- response_body_like: HTTP/1\.1 200 OK\r\n.*got hello



=== TEST 15: error_log, no_error_log and grep_error_log
--- no_module
--- config
    location /t {
        content_by_lua_block {
            ngx.log(ngx.WARN, "first 1")
            ngx.log(ngx.WARN, "second 2")
            ngx.log(ngx.DEBUG, "too low for the log")
            ngx.say("ok")
        }
    }
--- request
GET /t
--- response_body
ok
--- grep_error_log eval: qr/(first|second) \d/
--- grep_error_log_out
first 1
second 2
--- error_log eval
["first 1", qr/second \d/]
--- no_error_log
[error]
too low for the log



=== TEST 16: what is logged after the answer is waited for
--- no_module
--- config
    location /t {
        content_by_lua_block { ngx.say("ok") }
        log_by_lua_block {
            local until_ = os.clock() + 0.15
            while os.clock() < until_ do end
            ngx.log(ngx.WARN, "late in the log phase")
        }
    }
--- request
GET /t
--- response_body
ok
--- error_log
late in the log phase



=== TEST 17: log_level
--- no_module
--- log_level: debug
--- config
    location /t { return 200; }
--- request
GET /t
--- error_log
[debug]



=== TEST 18: must_die, with the line that says why
--- no_module
--- config
    no_such_directive on;
--- must_die
--- error_log
[emerg]
unknown directive "no_such_directive"



=== TEST 19: must_die with an exit code
--- no_module
--- config
    no_such_directive on;
--- must_die: 1
--- error_log
no_such_directive



=== TEST 20: check_config passes
--- no_module
--- check_config
--- config
    location /t { return 200; }
--- error_log
test is successful
--- no_error_log
[emerg]



=== TEST 21: check_config that must fail
--- no_module
--- check_config
--- must_die
--- config
    location /t { return; }
--- error_log eval
qr/\[emerg\] .*invalid number of arguments in "return" directive/



=== TEST 22: main_config, http_config, post_main_config
--- no_module
--- main_config
    worker_rlimit_nofile 1000;
--- http_config
    map $args $twice { default "$args$args"; }
--- post_main_config
    worker_shutdown_timeout 1s;
--- config
    location /t { return 200 "$twice\n"; }
--- request
GET /t?a
--- response_body
aa



=== TEST 23: user_files, and names of the environment in them and in configs
--- no_module
--- config
    location /t { alias $TEST_NGINX_HTML_DIR/a/b.txt; }
    location /port { return 200 "$server_port $TEST_NGINX_SERVER_PORT\n"; }
--- user_files
>>> a/b.txt
one
two $TEST_NGINX_SERVER_PORT
>>> c.txt 201001011200.00
three
--- request eval
["GET /t", "GET /c.txt", "GET /port"]
--- response_body eval
["one\ntwo $ENV{TEST_NGINX_SERVER_PORT}\n", "three\n",
 "$ENV{TEST_NGINX_SERVER_PORT} $ENV{TEST_NGINX_SERVER_PORT}\n"]
--- response_headers eval
["Content-Type: text/plain", "Last-Modified: Fri, 01 Jan 2010 12:00:00 GMT", ""]



=== TEST 24: environment names in other sections
--- no_module
--- config
    location /t { return 200 "$TEST_NGINX_UPSTREAM_PORT\n"; }
--- request
GET /t?$TEST_NGINX_UPSTREAM_PORT
--- response_body
$TEST_NGINX_UPSTREAM_PORT
--- access_log
GET /t?$TEST_NGINX_UPSTREAM_PORT
--- no_access_log
/other



=== TEST 25: a port of one's own
--- no_module
--- http_config
    server {
        listen $TEST_NGINX_RAND_PORT_1;
        location / { return 200 "inner\n"; }
    }
--- config
    location /t { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
--- request
GET /t
--- response_body
inner



=== TEST 26: a scripted upstream
--- no_module
--- config
    location /t {
        proxy_set_header Host up;
        proxy_set_header Connection close;
        proxy_http_version 1.0;
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/up;
    }
--- tcp_listen: $TEST_NGINX_UPSTREAM_PORT
--- tcp_reply eval
"HTTP/1.0 200 OK\r\nX-Up: 1\r\n\r\nfrom upstream\n"
--- request
GET /t
--- response_headers
X-Up: 1
--- response_body
from upstream



=== TEST 27: HTTP/2
--- no_module
--- http2
--- config
    location /t {
        content_by_lua_block {
            ngx.req.read_body()
            ngx.say(ngx.var.server_protocol, " ", ngx.req.get_body_data(), " ", ngx.var.http_x_a)
        }
    }
--- more_headers
X-A: 1
--- request
POST /t
hello
--- response_headers
Content-Type: text/plain
--- response_body
HTTP/2.0 hello 1



=== TEST 28: lines written while nginx stops
--- no_module
--- http_config
    init_worker_by_lua_block {
        ngx.timer.at(3600, function(premature)
            ngx.log(ngx.WARN, "timer ended, premature: ", premature)
        end)
    }
--- config
    location /t { return 200; }
--- request
GET /t
--- no_error_log
premature: true
--- shutdown_error_log
timer ended, premature: true
--- no_shutdown_error_log
[error]



=== TEST 29: an alert that the block asks for
--- no_module
--- http_config
    lua_code_cache off;
--- config
    location /t { return 200; }
--- request
GET /t
--- error_log
[alert]



=== TEST 30: a block goes on with the nginx of the block before: first
--- no_module
--- http_config
    lua_shared_dict d 1m;
--- config
    location /t { content_by_lua_block { ngx.say((ngx.shared.d:incr("n", 1, 0))) } }
--- request
GET /t
--- response_body
1



=== TEST 31: a block goes on with the nginx of the block before: second
--- request
GET /t
--- response_body
2



=== TEST 32: skip_nginx leaves a block out
--- no_module
--- skip_nginx
2: > 1.0.0: too new
--- config
    no_such_directive on;
--- request
GET /t



=== TEST 33: response_body_filters
--- no_module
--- config
    location /t { return 200 "hello"; }
--- request
GET /t
--- response_body_filters: length
--- response_body chomp
5



=== TEST 34: response_body_unlike, and response_body as a pattern
--- no_module
--- config
    location /t { return 200 "hello"; }
--- request eval
["GET /t", "GET /t"]
--- response_body_unlike eval
["bye", "help"]



=== TEST 35: plain nginx loads no Lua
--- skip_eval: 2: defined $ENV{TEST_NGINX_LUA_MODULES} && !length $ENV{TEST_NGINX_LUA_MODULES}
--- no_module
--- check_config
--- http_config
    include $TEST_NGINX_HTML_DIR/lua.conf;
--- user_files
>>> lua.conf
lua_code_cache on;
--- config
--- must_die
--- error_log
unknown directive "lua_code_cache"



=== TEST 36: the option lua loads it
--- no_module
--- lua
--- check_config
--- http_config
    include $TEST_NGINX_HTML_DIR/lua.conf;
--- user_files
>>> lua.conf
lua_code_cache on;
--- config
--- error_log
test is successful



=== TEST 37: Lua files of this repository are found
--- no_module
--- config
    location /t {
        content_by_lua_block { ngx.say((package.path:match("^[^;]*"))) }
    }
--- request
GET /t
--- response_body_like: ^/.*/lib/\?\.lua$



=== TEST 38: SKIP leaves a block out
--- SKIP
--- config
    no_such_directive on;
--- request
GET /t



=== TEST 39: LAST is the last block
--- no_module
--- LAST
--- config
    location /t { return 200; }
--- request
GET /t



=== TEST 40: never reached
--- no_module
--- config
    no_such_directive on;
--- request
GET /t
