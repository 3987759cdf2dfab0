# The example plugin forward-auth, with what APISIX asserts of its own.

use lib '.';
use t::ProxyWasm 'no_plan';

our $http_config = <<'CONF';
    wasm_plugin forward-auth $TEST_NGINX_PLUGINS/forward-auth.wasm;

    # The service: who may pass is said by a field of the request.
    server {
        listen 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
        location = /auth {
            content_by_lua_block {
                local who = ngx.var.http_authorization
                ngx.header["X-Told"] = table.concat({ ngx.var.http_x_forwarded_proto, ngx.var.http_x_forwarded_method,
                    ngx.var.http_x_forwarded_host, ngx.var.http_x_forwarded_uri, ngx.var.http_x_forwarded_for,
                    ngx.var.http_x_extra or "none" }, " ")
                if who == "111" then
                    ngx.exit(200)
                elseif who == "222" then
                    ngx.header["X-User-ID"] = "i-am-an-user"
                    ngx.exit(200)
                elseif who == "333" then
                    ngx.header["Location"] = "http://example.com/auth"
                    ngx.exit(403)
                elseif who == "444" then
                    ngx.exit(302)
                elseif who == "slow" then
                    ngx.sleep(0.5)
                end
            }
        }
    }
    # The upstream.
    server {
        listen unix:$TEST_NGINX_SERVER_ROOT/upstream.sock;
        location / { return 200 "user: $http_x_user_id, told: $http_x_told"; }
    }
CONF

our $config = <<'CONF';
    location /hello {
        proxy_wasm forward-auth '{
            "uri": "http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/auth",
            "timeout": 200,
            "request_headers": ["Authorization", "X-Extra"],
            "upstream_headers": ["X-User-ID", "X-Told"],
            "client_headers": ["Location"]
        }';
        proxy_pass http://unix:$TEST_NGINX_SERVER_ROOT/upstream.sock;
    }
    location /down {
        proxy_wasm forward-auth '{"uri": "http://127.0.0.1:1/auth"}';
        proxy_pass http://unix:$TEST_NGINX_SERVER_ROOT/upstream.sock;
    }
CONF

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(http_config => $http_config);
});

run_tests();

__DATA__

=== TEST 1: who may pass does, and the service is told of the request
--- config eval: $::config
--- request
GET /hello?a=b
--- more_headers
Authorization: 111
X-Extra: extra
X-Forwarded-Method: DELETE
--- response_body chomp
user: , told: http GET localhost /hello?a=b 127.0.0.1 extra
--- no_error_log
[error]



=== TEST 2: the upstream gets fields of the answer, in place of the client's
--- config eval: $::config
--- request
GET /hello
--- more_headers
Authorization: 222
X-User-ID: somebody-else
--- response_body_like: user: i-am-an-user,



=== TEST 3: and none of the client's where the answer has none
--- config eval: $::config
--- request
GET /hello
--- more_headers
Authorization: 111
X-User-ID: somebody-else
--- response_body_like: user: ,



=== TEST 4: who may not pass gets 403, with fields of the answer
--- config eval: $::config
--- request
GET /hello
--- more_headers
Authorization: 333
--- error_code: 403
--- response_headers
Location: http://example.com/auth



=== TEST 5: a redirect is a refusal, too
--- config eval: $::config
--- request
GET /hello
--- more_headers
Authorization: 444
--- error_code: 403
--- response_headers
! Location



=== TEST 6: a service that is slow
--- config eval: $::config
--- request
GET /hello
--- more_headers
Authorization: slow
--- error_code: 403
--- error_log
http call failed: timeout, uri: http://127.0.0.1:



=== TEST 7: a service that is down
--- config eval: $::config
--- request
GET /down
--- error_code: 403
--- error_log
http call failed: connection refused, uri: http://127.0.0.1:1/auth



=== TEST 8: a configuration without a uri
--- config
    location /t {
        proxy_wasm forward-auth '{"timeout": 3000}';
        content_by_lua_block { ngx.print("ok") }
    }
--- request
GET /t
--- error_code: 503
--- error_log
forward-auth: bad configuration: missing field `uri`



=== TEST 9: a field that is no text harms nobody
--- config eval: $::config
--- request
GET /hello
--- more_headers eval
"Authorization: 222\nX-Extra: \xff\xfe"
--- response_body_like: ^user: i-am-an-user
--- no_error_log
[error]
