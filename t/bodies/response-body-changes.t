# proxy_set_buffer_bytes on the response's body: the client gets what plugins made of
# it, with a header that says so.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Upstream qw(upstream);

# --- steps: what the plugin of / does in on_response_body
add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(http_config =>
        'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;' . upstream() . ($block->http_config // ''));
    $block->set_value(no_error_log => '[error]') if !defined $block->no_error_log;
    my $steps = $block->steps // return;
    my $more  = $block->location // '';
    $block->set_value(config => ($block->config // '') . <<"E");
        location ~ ^/(headers|part|pieces|zeros) {
            $more
            proxy_wasm hostcalls '{"on_response_body": [$steps]}';
            proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT;
        }
        location ~ txt {
            $more
            proxy_wasm hostcalls '{"on_response_body": [$steps]}';
        }
E
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: replaced: the length is right, and what told of the old body is gone
--- steps: {"if": ["not", ["eq", "${body_size}", "0"]], "then": [["set_buffer_bytes", "response_body", "something else"]]}
--- request
GET /headers
--- response_body chomp
something else
--- response_headers
!ETag
!Last-Modified
!Content-MD5
!Content-Digest
!Accept-Ranges



=== TEST 2: a file in one piece has its length said
--- steps: ["set_buffer_bytes", "response_body", "something else"]
--- user_files
>>> t.txt
hello
--- request
GET /t.txt
--- response_body chomp
something else
--- response_headers
Content-Length: 14
!ETag
!Accept-Ranges
!Transfer-Encoding



=== TEST 3: so has one that the plugin could have changed, and keeps its tag
--- steps: ["get_buffer_status", "response_body"]
--- user_files
>>> t.txt
hello
--- request
GET /t.txt
--- response_body
hello
--- response_headers_like
Content-Length: 6
ETag: .+



=== TEST 4: prepended, appended, cut, any range
--- steps: ["set_buffer_bytes", "response_body", ">", 0, 0], ["set_buffer_bytes", "response_body", "<", 100, 0], ["set_buffer_bytes", "response_body", "LL", 3, 2], ["set_buffer_bytes", "response_body", "", 5, 2]
--- user_files
>>> t.txt
hello
--- request
GET /t.txt
--- response_body chomp
>heLL<
--- response_headers
Content-Length: 6



=== TEST 5: to nothing
--- steps: ["set_buffer_bytes", "response_body", ""]
--- user_files
>>> t.txt
hello
--- request
GET /t.txt
--- response_body chomp
--- response_headers
Content-Length: 0



=== TEST 6: each piece of a response that comes in pieces
--- location: proxy_buffering off;
--- steps: {"if": ["not", ["eq", "${body_size}", "0"]], "then": [["set_buffer_bytes", "response_body", "[", 0, 0], ["set_buffer_bytes", "response_body", "]", 100, 0]]}
--- request
GET /pieces
--- response_body chomp
[one ][two ][three]
--- response_headers
Transfer-Encoding: chunked
!Content-Length



=== TEST 7: something after the end
--- location: proxy_buffering off;
--- steps: {"if": ["eq", "${end_of_stream}", "true"], "then": [["set_buffer_bytes", "response_body", " the end", 0, 0]]}
--- request
GET /pieces
--- response_body chomp
one two three the end



=== TEST 8: the whole, once a plugin has waited for it
--- location: proxy_buffering off;
--- steps: {"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "pause"]]}, {"op": "get_buffer_bytes", "args": ["response_body"], "as": "whole"}, ["set_buffer_bytes", "response_body", "<${whole}>"]
--- request
GET /pieces
--- response_body chomp
<one two three>
--- response_headers
Content-Length: 15
!Transfer-Encoding



=== TEST 9: no range is cut out of bytes that the client does not know
--- steps: ["set_buffer_bytes", "response_body", "something else"]
--- user_files
>>> t.txt
hello
--- request
GET /t.txt
--- more_headers
Range: bytes=2-3
--- error_code: 200
--- response_body chomp
something else
--- response_headers
!Content-Range



=== TEST 10: gzip packs the changed body
--- location: gzip on; gzip_types *; gzip_proxied any; gzip_min_length 1;
--- steps: {"if": ["not", ["eq", "${body_size}", "0"]], "then": [["set_buffer_bytes", "response_body", {"repeat": ["ab", 300000]}]]}
--- request
GET /headers
--- more_headers
Accept-Encoding: gzip
--- response_headers
Content-Encoding: gzip
--- response_body_filters eval
sub { require IO::Uncompress::Gunzip; my $in = shift; my $out; IO::Uncompress::Gunzip::gunzip(\$in, \$out); $out }
--- response_body eval
"ab" x 300000



=== TEST 11: HTTP/1.0 gets it too, by the connection's end
--- location: proxy_buffering off;
--- steps: {"if": ["not", ["eq", "${body_size}", "0"]], "then": [["set_buffer_bytes", "response_body", "x", 0, 0]]}
--- request
GET /pieces HTTP/1.0
--- response_body chomp
xone xtwo xthree
--- response_headers
Connection: close
!Transfer-Encoding



=== TEST 12: HTTP/2
--- http2
--- steps: {"if": ["not", ["eq", "${body_size}", "0"]], "then": [["set_buffer_bytes", "response_body", {"repeat": ["0123456789", 30000]}]]}
--- request
GET /headers
--- response_body eval
"0123456789" x 30000



=== TEST 13: a large response, each piece changed, with buffering
--- steps: {"if": ["not", ["eq", "${body_size}", "0"]], "then": [["set_buffer_bytes", "response_body", "1", 0, 1]]}
--- request
GET /zeros?6000
--- response_body_like eval: qr/\A(?:10+){2,}\z/
--- response_body_filters eval
sub { length($_[0]) == 6000 * 1024 ? $_[0] : length($_[0]) . ' bytes' }



=== TEST 14: several plugins, each on what the one before left
--- config
    location ~ txt {
        proxy_wasm hostcalls '{"on_response_body": [["set_buffer_bytes", "response_body", " one", 100, 0]]}';
        proxy_wasm hostcalls '{"on_response_body": [["get_buffer_bytes", "response_body"]]}';
        proxy_wasm hostcalls '{"on_response_body": [["set_buffer_bytes", "response_body", " three", 100, 0]]}';
    }
--- user_files
>>> t.txt
zero
--- request
GET /t.txt
--- response_body chomp
zero
 one three
--- response_headers
Content-Length: 15
--- error_log
get_buffer_bytes response_body -> OK zero\n one



=== TEST 15: the page of an error
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_body": [["set_buffer_bytes", "response_body", "out of order"]]}';
        proxy_pass http://127.0.0.1:1;
    }
--- request
GET /t
--- error_code: 502
--- response_body chomp
out of order
--- response_headers
Content-Length: 12
--- no_error_log
[alert]



=== TEST 16: one larger than wasm_body_buffer_size may pass, but not be changed
--- http_config
    wasm_plugin small $TEST_NGINX_PLUGINS/hostcalls.wasm body_buffer_size=1k;
--- config
    location ~ txt {
        proxy_wasm small '{"on_response_body": [["set_buffer_bytes", "response_body", ">", 0, 0]]}';
    }
--- user_files eval
">>> t.txt\n" . "a" x 2000 . "\n"
--- request
GET /t.txt
--- response_body eval
"a" x 2000 . "\n"
--- error_log
plugin "small" cannot change a body: 2002 bytes are more than wasm_body_buffer_size (1024)
--- no_error_log
[alert]



=== TEST 17: more than wasm_body_buffer_size held is a 500, not a cut response
--- http_config
    wasm_plugin small $TEST_NGINX_PLUGINS/hostcalls.wasm body_buffer_size=100k;
--- config
    location /zeros {
        proxy_wasm small '{"on_response_body": [{"if": ["eq", "${end_of_stream}", "false"], "then": [["return", "pause"]]}]}';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /zeros?300
--- error_code: 500
--- response_body_like: 500 Internal Server Error
--- error_log eval
qr/\[error\] .*plugin "small" holds \d+ bytes of a response, more than wasm_body_buffer_size \(102400\)/
--- no_error_log
[alert]



=== TEST 18: a local response from the body's callback, as long as nothing was sent
--- steps: ["send_local_response", 451, "not for you", [["x-why", "law"]]]
--- user_files
>>> t.txt
hello
--- request eval
["GET /t.txt", "GET /headers"]
--- error_code eval
[451, 451]
--- response_body eval
["not for you", "not for you"]
--- response_headers eval
["X-Why: law\nContent-Length: 11\n!ETag", "X-Why: law\nContent-Length: 11\n!ETag"]



=== TEST 19: once something was sent, a local response cuts the client off
--- location: proxy_buffering off;
--- steps: {"if": ["eq", "${end_of_stream}", "true"], "then": [["send_local_response", 451, "not for you"]]}
--- request
GET /pieces
--- ignore_response
--- error_log
send_local_response 451 not for you -> OK



=== TEST 20: what the plugin says of the new body itself, stays
--- config
    location /headers {
        proxy_wasm hostcalls '{
            "on_response_headers": [
                ["replace_header_map_value", "response", "ETag", "\\"new\\""],
                ["add_header_map_value", "response", "last-modified", "Tue, 29 Sep 1970 06:00:00 GMT"],
                ["replace_header_map_value", "response", "content-md5", "XUFAKrxLKna5cZ2REBfFkg=="]],
            "on_response_body": [{"if": ["eq", "${body_size}", "5"], "then": [["set_buffer_bytes", "response_body", "new"]]}]
        }';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /headers
--- response_body chomp
new
--- response_headers
ETag: "new"
!Content-MD5
!Content-Digest
--- response_headers_like
Last-Modified: .*Tue, 29 Sep 1970 06:00:00 GMT



=== TEST 21: so it does in a map that is set as a whole
--- config
    location /headers {
        proxy_wasm hostcalls '{
            "on_response_headers": [["set_header_map_pairs", "response", [["etag", "\\"new\\""], ["accept-ranges", "bytes"]]]],
            "on_response_body": [{"if": ["eq", "${body_size}", "5"], "then": [["set_buffer_bytes", "response_body", "new"]]}]
        }';
        proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
    }
--- request
GET /headers
--- response_headers
ETag: "new"
!Accept-Ranges



=== TEST 22: of a body in pieces that may yet be changed, what is said of its bytes is dropped, and its tag a weak one
--- steps: ["get_buffer_status", "response_body"]
--- user_files eval
">>> t.txt\n" . "a" x 100_000
--- request
GET /t.txt
--- response_headers_like
ETag: W/".+"
Last-Modified: .+
--- response_headers
Transfer-Encoding: chunked
!Accept-Ranges
!Content-Length



=== TEST 23: a part of a body has its place as long as its length is the same
--- steps: {"if": ["eq", "${body_size}", "3"], "then": [["set_buffer_bytes", "response_body", "xyz"]]}
--- request
GET /part
--- error_code: 206
--- response_body chomp
xyz
--- response_headers
Content-Range: bytes 2-4/10
Content-Length: 3
!ETag



=== TEST 24: and none when it is of another
--- steps: {"if": ["eq", "${body_size}", "3"], "then": [["set_buffer_bytes", "response_body", "something else"]]}
--- request
GET /part
--- error_code: 206
--- response_body chomp
something else
--- response_headers
!Content-Range
!ETag



=== TEST 25: unchanged, it is passed as it is
--- steps: ["get_buffer_status", "response_body"]
--- request
GET /part
--- error_code: 206
--- response_body chomp
234
--- response_headers
Content-Range: bytes 2-4/10
ETag: "tag"
