# All fields of a response that nginx makes of a file. What nginx does not set of a field, it leaves
# as the memory was: here that is no address, so whoever takes it for one does not come back.

use lib '.';

BEGIN { $ENV{MALLOC_PERTURB_} = 165 }

use t::ProxyWasm 'no_plan';
use ProxyWasm::Scripted;

run_tests();

__DATA__

=== TEST 1: the tag that nginx adds is told by its name, in lower case
--- config
    location /t {
        proxy_wasm hostcalls '{"on_response_headers": [["get_header_map_pairs", "response"]]}';
    }
--- user_files
>>> t 197001010000.01
hello
--- request
GET /t
--- response_body
hello
--- error_log eval
qr/get_header_map_pairs response -> OK .*etag: "[0-9a-f]+-6"/
