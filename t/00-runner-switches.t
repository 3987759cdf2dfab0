# The switches that hold for a whole file: plan, workers, preprocessors. On plain nginx, as
# 00-runner.t.

use lib '.';
BEGIN { $ENV{TEST_NGINX_OWN_RUNNER} = 1 }
use t::ProxyWasm;

workers(2);
no_root_location();
timeout(5);

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(request => 'GET /t') if !defined $block->request;
});

# 2 tests a block, and those below.
plan tests => 2 * blocks() + 2;
run_tests();

is scalar(grep { /workers: 2/ } map { $_->http_config // '' } blocks()), 1, 'blocks can be read';
is workers() . log_level(), '2info', 'switches can be read';

__DATA__

=== TEST 1: as many workers as asked for
--- no_module
--- http_config
    # workers: 2
--- config
    location /t { content_by_lua_block { ngx.say(ngx.worker.count()) } }
--- response_body
2



=== TEST 2: no_root_location
--- no_module
--- config
    location / { return 200 "mine\n"; }
--- response_body
mine
