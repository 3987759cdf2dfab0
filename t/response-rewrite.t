# The example plugin response-rewrite.

use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Upstream qw(upstream);

# --- conf: the plugin's configuration; --- mode: wasm_response_body
add_block_preprocessor(sub {
    my ($block) = @_;
    my $conf = $block->conf;
    chomp $conf;
    $block->set_value(http_config =>
        'wasm_plugin response-rewrite $TEST_NGINX_PLUGINS/response-rewrite.wasm;' . upstream());
    $block->set_value(config => <<"E");
        location / {
            wasm_response_body @{[$block->mode // 'always']};
            proxy_wasm response-rewrite '$conf';
            proxy_pass http://127.0.0.1:\$TEST_NGINX_UPSTREAM_PORT;
        }
E
    $block->set_value(no_error_log => '[error]');
});

no_root_location();
run_tests();

__DATA__

=== TEST 1: fields are set, in place of those of the upstream, and the body is left alone
--- conf: {"headers": [{"name": "x-wasm", "value": "yes"}, {"name": "ETag", "value": "ours"}]}
--- request
GET /headers
--- response_body chomp
hello
--- response_headers
X-Wasm: yes
ETag: ours
Content-Length: 5



=== TEST 2: the body is replaced
--- conf: {"body": "rewritten\n"}
--- request
GET /headers
--- response_body
rewritten
--- response_headers
!ETag
!Content-MD5



=== TEST 3: by APISIX's rule, too
--- mode: property
--- conf: {"body": "rewritten\n"}
--- request
GET /headers
--- response_body
rewritten



=== TEST 4: a large one, and one that has none
--- conf: {"headers": [{"name": "x-wasm", "value": "yes"}], "body": "rewritten\n"}
--- request eval
["GET /zeros?5000", "GET /echo"]
--- response_body eval
["rewritten\n", "rewritten\n"]
--- response_headers eval
["X-Wasm: yes", "X-Wasm: yes"]



=== TEST 5: HEAD says nothing of the body that was replaced
--- conf: {"body": "rewritten\n"}
--- request
HEAD /headers
--- response_body chomp
--- response_headers
!Content-Length
