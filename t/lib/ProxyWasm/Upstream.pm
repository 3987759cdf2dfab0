package ProxyWasm::Upstream;

# The server to which suites about bodies proxy: it sends back what it gets. It listens at
# $TEST_NGINX_UPSTREAM_PORT, and is added to http_config.

use strict;
use warnings;

use Exporter 'import';
our @EXPORT_OK = qw(upstream);

#   /echo      the body, with X-Method, X-Length and X-Encoding as they were received
#   /pieces    "one ", "two ", "three", each sent by itself
#   /zeros?N   N kilobytes
#   /endless   pieces, until nobody listens any more
#   /part      bytes 2 to 4 of ten
#   /headers   "hello" with everything that depends on a body
sub upstream {
    return <<'E';
    server {
        listen 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
        client_max_body_size 0;
        access_log off;
        lua_http10_buffering off;
        location /echo {
            client_body_buffer_size 64m;
            content_by_lua_block {
                ngx.req.read_body()
                ngx.header["X-Method"] = ngx.req.get_method()
                ngx.header["X-Length"] = ngx.var.http_content_length or "none"
                ngx.header["X-Encoding"] = ngx.var.http_transfer_encoding or "none"
                local body = ngx.req.get_body_data() or ""
                ngx.header["Content-Length"] = #body
                ngx.print(body)
            }
        }
        location /pieces {
            content_by_lua_block {
                for _, piece in ipairs({"one ", "two ", "three"}) do
                    ngx.print(piece)
                    ngx.flush(true)
                    ngx.sleep(0.01)
                end
            }
        }
        location /zeros {
            content_by_lua_block {
                -- At once: nginx walks over all that waits for each piece that comes.
                local length = ngx.var.args * 1024
                ngx.header["Content-Length"] = length
                ngx.print(("0"):rep(length))
            }
        }
        location /endless {
            content_by_lua_block {
                while ngx.print(("0"):rep(1024)) and ngx.flush(true) do ngx.sleep(0.01) end
            }
        }
        location /part {
            content_by_lua_block {
                ngx.status = 206
                ngx.header["Content-Length"] = 3
                ngx.header["Content-Range"] = "bytes 2-4/10"
                ngx.header["ETag"] = '"tag"'
                ngx.print("234")
            }
        }
        location /headers {
            content_by_lua_block {
                ngx.header["Content-Length"] = 5
                ngx.header["ETag"] = '"tag"'
                ngx.header["Content-MD5"] = "XUFAKrxLKna5cZ2REBfFkg=="
                ngx.header["Content-Digest"] = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:"
                ngx.header["Accept-Ranges"] = "bytes"
                ngx.header["Last-Modified"] = "Mon, 28 Sep 1970 06:00:00 GMT"
                ngx.print("hello")
            }
        }
    }
E
}

1;
