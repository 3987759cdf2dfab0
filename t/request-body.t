# The example plugin request-body.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Upstream qw(upstream);

# --- conf: the plugin's configuration; --- mode: wasm_request_body
add_block_preprocessor(sub {
    my ($block) = @_;
    my $conf = $block->conf // return;
    chomp $conf;
    $block->set_value(http_config =>
        'wasm_plugin request-body $TEST_NGINX_PLUGINS/request-body.wasm;' . upstream());
    $block->set_value(config => <<"E");
        location /echo {
            wasm_request_body @{[$block->mode // 'always']};
            proxy_wasm request-body '$conf';
            proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT;
        }
E
    $block->set_value(grep_error_log => qr/request get body: \w+|failed to get body: [\w ]+bytes/);
    $block->set_value(response_body => 'hello');
});

run_tests();

__DATA__

=== TEST 1: a part of the body is logged, and all of it passes
--- conf: {"processReqBody": true, "start": 1, "size": 3}
--- request
POST /echo
hello
--- grep_error_log_out
request get body: ell



=== TEST 2: all of it, by APISIX's rule, too
--- mode: property
--- conf: {"processReqBody": true}
--- request
POST /echo
hello
--- grep_error_log_out
request get body: hello



=== TEST 3: from a start on, further than it goes
--- conf: {"processReqBody": true, "start": 2, "size": 100}
--- request
POST /echo
hello
--- grep_error_log_out
request get body: llo



=== TEST 4: from behind its end
--- conf: {"processReqBody": true, "start": 5, "size": 1}
--- request
POST /echo
hello
--- grep_error_log_out
failed to get body: it has 5 bytes



=== TEST 5: nothing, if it is not asked to
--- conf: {"processReqBody": false, "start": 1, "size": 3}
--- request
POST /echo
hello
--- grep_error_log_out chomp



=== TEST 6: a configuration that is none
--- http_config
    wasm_plugin request-body $TEST_NGINX_PLUGINS/request-body.wasm phase=rewrite;
--- config
    location /t { proxy_wasm request-body 'start'; return 200; }
--- request
GET /t
--- error_code: 503
--- error_log eval
qr/\[error\].*request-body: bad configuration: /
