# forward-auth: another service says whether a request may pass, with what APISIX asserts of its own.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Example;

# The service says who may pass by a field of the request; the upstream says what it was told.
my $servers = <<'E';
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
    server {
        listen unix:$TEST_NGINX_SERVER_ROOT/upstream.sock;
        location / { return 200 "user: $http_x_user_id, told: $http_x_told"; }
    }
E

my $conf = <<'E' =~ s/PORT/$ENV{TEST_NGINX_UPSTREAM_PORT}/r;
{
    "uri": "http://127.0.0.1:PORT/auth",
    "timeout": 200,
    "request_headers": ["Authorization", "X-Extra"],
    "upstream_headers": ["X-User-ID", "X-Told"],
    "client_headers": ["Location"]
}
E

# A request of somebody.
sub as { my ($who, @more) = @_; return (conf => $conf, request => [GET => '/hello?a=b', headers => [Authorization => $who, @more]]) }

sub refused {
    my ($json, $reason) = @_;
    return { name => "refused: $json", conf => $json, status => 503, log => qr/\[error\] .*forward-auth: \Q$reason\E/ };
}

test_example(
    'forward-auth',
    languages   => [qw(rust go)],
    http_config => $servers,
    proxy_pass  => 'http://unix:$TEST_NGINX_SERVER_ROOT/upstream.sock',
    cases       => [
        {   name => 'who may pass does, and the service is told of the request',
            as(111 => 'X-Extra' => 'extra', 'X-Forwarded-Method' => 'DELETE'),
            body => qr{^user: , told: http GET localhost /\d+/hello\?a=b 127\.0\.0\.1 extra$},
        },
        {   name => "the upstream gets fields of the answer, in place of the client's",
            as(222 => 'X-User-ID' => 'somebody-else'),
            body => qr/^user: i-am-an-user, /,
        },
        {   name => "and none of the client's where the answer has none",
            as(111 => 'X-User-ID' => 'somebody-else'),
            body => qr/^user: , /,
        },
        {   name => 'who may not pass gets 403, with fields of the answer',
            as(333),
            status  => 403,
            headers => { location => 'http://example.com/auth' },
        },
        {   name => 'a redirect is a refusal, too',
            as(444),
            status  => 403,
            headers => { location => undef },
        },
        {   name => 'a service that is slow',
            as('slow'),
            status => 403,
            log    => qr/http call failed: timeout, uri: http:/,
        },
        {   name   => 'a service that is down',
            conf   => '{"uri": "http://127.0.0.1:1/auth"}',
            status => 403,
            log    => qr{http call failed: connection refused, uri: http://127\.0\.0\.1:1/auth},
        },
        {   name => 'a field that is no text harms nobody',
            as(222 => 'X-Extra' => "\xff\xfe"),
            body => qr/^user: i-am-an-user, /,
        },
        refused('{"timeout": 3000}',                    'bad configuration: missing field `uri`'),
        refused('{"uri": "auth"}',                      'bad uri "auth"'),
        refused('{"uri": "http://a", "timeout": 0}',    'bad timeout 0: want 1 to 60000'),
    ],
);
