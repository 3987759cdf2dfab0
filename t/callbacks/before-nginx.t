# A plugin and nginx's own checks of the same phase: the plugin comes first and may answer; what it
# lets pass is checked all the same, and is not let pass by `satisfy any` because of the plugin.

use lib '.';
use t::ProxyWasm 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(http_config => <<'E');
    wasm_plugin access $TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_plugin rewrite $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
E
    my $checks = $block->checks;
    my $plugin = $block->plugin // 'access';
    my $answer = '"on_request_headers": [["send_local_response", 418, "the plugin"]]';
    $block->set_value(config => <<"E");
    location /answers { proxy_wasm $plugin '{$answer}'; $checks }
    location /passes { proxy_wasm $plugin '{}'; $checks }
E
    $block->set_value(request => ['GET /answers', 'GET /passes']);
});

run_tests();

__DATA__

=== TEST 1: deny
--- checks: deny all;
--- error_code eval
[418, 403]



=== TEST 2: auth_basic
--- checks: auth_basic realm; auth_basic_user_file html/users;
--- error_code eval
[418, 401]
--- user_files
>>> users
nobody:{PLAIN}secret



=== TEST 3: satisfy any
--- checks: satisfy any; deny all; auth_basic realm; auth_basic_user_file html/users;
--- error_code eval
[418, 401]
--- user_files
>>> users
nobody:{PLAIN}secret



=== TEST 4: auth_request
--- checks: auth_request /none;
--- error_code eval
[418, 500]



=== TEST 5: return, in the rewrite phase
--- plugin: rewrite
--- checks: return 404;
--- error_code eval
[418, 404]



=== TEST 6: return, before a plugin of the access phase
--- checks: return 404;
--- error_code eval
[404, 404]
