# wasm_start NAME [CONF]; in http: a plugin context without a location, which has ticks, calls and
# queues, and no requests.

use lib '.';
use t::ProxyWasm 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    my $own = $block->http_config // '';
    $block->set_value(http_config => "wasm_plugin hostcalls \$TEST_NGINX_PLUGINS/hostcalls.wasm;\n$own");
    $block->set_value(request => 'GET /t') if !defined $block->request;
    $block->set_value(config => 'location /t { return 200 ok; }') if !defined $block->config;
});

run_tests();

__DATA__

=== TEST 1: it is started with the worker, with its configuration, and gets no requests
--- http_config
    wasm_start hostcalls '{"trace": true, "on_configure": [["log", "info", "a service"]], "on_request_headers": [["log", "error", "a request"]]}';
--- response_body chomp
ok
--- error_log
a service
on_configure
--- no_error_log
[error]
on_request_headers
on_context_create 2



=== TEST 2: the configuration may be in a file
--- http_config
    wasm_start hostcalls conf_file=html/service.json;
--- user_files
>>> service.json
{"on_configure": [["log", "info", "from a file"]]}
--- response_body chomp
ok
--- error_log
from a file
--- no_error_log
[error]



=== TEST 3: requests of the same plugin live beside it
--- http_config
    wasm_start hostcalls '{"on_request_headers": [["log", "error", "a request"]]}';
--- config
    location /t { proxy_wasm hostcalls '{"on_request_headers": [["send_local_response", 200, "context ${context_id} of ${plugin_id}"]]}'; }
--- response_body chomp
context 3 of 2
--- no_error_log
[error]



=== TEST 4: a plugin that there is not
--- http_config
    wasm_start nobody;
--- check_config
--- must_die
--- error_log
"wasm_start": there is no plugin "nobody"; declare it with wasm_plugin or wasm_config in



=== TEST 5: a file that cannot be read
--- http_config
    wasm_start hostcalls conf_file=html/none;
--- check_config
--- must_die
--- error_log
"wasm_start": 
cannot be read: No such file or directory



=== TEST 6: it stands in http alone
--- config
    wasm_start hostcalls;
--- check_config
--- must_die
--- error_log
"wasm_start" directive is not allowed here
