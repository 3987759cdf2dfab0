# The properties of the spec: request, response, source, destination, connection and
# upstream. Strings as bytes, integers as 8 bytes and booleans as 1, little-endian.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Scripted;

# How the scripted guest's lines show the bytes of an integer.
sub int64 {
    my ($value) = @_;
    return CORE::join '', map {
        my $c = chr;
        /^(?:3[2-9]|[4-9]\d|1[01]\d|12[0-6])$/ ? $c
            : $_ == 9 ? '\t' : $_ == 10 ? '\n' : $_ == 13 ? '\r' : sprintf '\x%02x', $_
    } unpack 'C*', pack 'q<', $value;
}

sub line { my ($path, $value) = @_; return "get_property $path -> OK $value" }

run_tests();

__DATA__

=== TEST 1: strings of the request
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["get_property", "request", "path"],
            ["get_property", "request", "url_path"],
            ["get_property", "request", "query"],
            ["get_property", "request", "host"],
            ["get_property", "request", "scheme"],
            ["get_property", "request", "method"],
            ["get_property", "request", "protocol"],
            ["get_property", "request", "referer"],
            ["get_property", "request", "useragent"],
            ["get_property", "request", "headers", "X-A"],
            ["get_property", "request", "id"]
        ]}';
        return 200;
    }
--- more_headers
Referer: http://r.example/
User-Agent: test/1
X-A: 1
--- request
PUT /t/a%20b?c=d
--- error_log eval
[
    main::line('request path', '/t/a%20b?c=d'),
    main::line('request url_path', '/t/a%20b'),
    main::line('request query', 'c=d'),
    main::line('request host', 'localhost'),
    main::line('request scheme', 'http'),
    main::line('request method', 'PUT'),
    main::line('request protocol', 'HTTP/1.1'),
    main::line('request referer', 'http://r.example/'),
    main::line('request useragent', 'test/1'),
    main::line('request headers X-A', '1'),
    qr/get_property request id -> OK [0-9a-f]{32}/,
]



=== TEST 2: what a request has not
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["get_property", "request", "headers", "x-none"],
            ["get_property", "request", "referer"],
            ["get_property", "request", "fnord"],
            ["get_property", "request", "path", "more", "and more"],
            ["get_property", "fnord", "path"]
        ]}';
        return 200;
    }
--- request
GET /t
--- grep_error_log eval: qr/get_property .*? -> \w+/
--- grep_error_log_out eval
qr/^(?:.* -> NOT_FOUND\n){5}$/



=== TEST 3: numbers of the request
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["get_property", "request", "size"]]}';
        return 200;
    }
--- request
POST /t
hello
--- error_log eval
main::line('request size', main::int64(5))



=== TEST 4: the response
--- upstream
        location /t { add_header grpc-status 7 always; add_header X-Up there always; return 404 "gone"; }
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [
            ["get_property", "response", "code"],
            ["get_property", "response", "headers", "x-up"],
            ["get_property", "response", "headers", "content-type"],
            ["get_property", "response", "grpc_status"]
        ]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- error_code: 404
--- error_log eval
[
    main::line('response code', main::int64(404)),
    main::line('response headers x-up', 'there'),
    main::line('response headers content-type', 'text/plain'),
    main::line('response grpc_status', main::int64(7)),
]



=== TEST 5: how much of it was sent
--- config
    location /t {
        proxy_wasm hostcalls '{"on_log": [["get_property", "response", "size"]]}';
        return 200 "five\n";
    }
--- request
GET /t
--- error_log eval
main::line('response size', main::int64(5))



=== TEST 6: both ends of the connection
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["get_property", "source", "address"],
            ["get_property", "source", "port"],
            ["get_property", "destination", "address"],
            ["get_property", "destination", "port"],
            ["get_property", "connection", "mtls"]
        ]}';
        return 200;
    }
--- request
GET /t
--- error_log eval
[
    qr/get_property source address -> OK 127\.0\.0\.1:\d+,/,
    qr/get_property source port -> OK .{2,8}(\\x00){6}/,
    main::line('destination address', "127.0.0.1:$ENV{TEST_NGINX_SERVER_PORT}"),
    main::line('destination port', main::int64($ENV{TEST_NGINX_SERVER_PORT})),
    main::line('connection mtls', '\x00'),
]



=== TEST 7: the connection's number, as the log has it
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [["get_property", "connection", "id"]]}';
        return 200;
    }
--- request
GET /t
--- error_log eval
"*1 " . main::line('connection id', main::int64(1))



=== TEST 8: the upstream
--- config
    location /t {
        proxy_wasm hostcalls '{
            "on_request_headers": [["get_property", "upstream", "address"]],
            "on_response_headers": [["get_property", "upstream", "address"], ["get_property", "upstream", "port"]]
        }';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /t
--- error_log eval
[
    'get_property upstream address -> NOT_FOUND',
    main::line('upstream address', "127.0.0.1:$ENV{TEST_NGINX_UPSTREAM_PORT}"),
    main::line('upstream port', main::int64($ENV{TEST_NGINX_UPSTREAM_PORT})),
]



=== TEST 9: times are nanoseconds
--- config
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [
            {"op": "get_property", "args": ["request", "time"], "to": ["request", "x-time"]}
        ]}';
        return 200 "[$http_x_time]";
    }
--- request
GET /t
--- no_error_log
get_property request time -> NOT_FOUND
[error]
