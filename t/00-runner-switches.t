# The switches that hold for a whole file: plan, repeat_each, workers, preprocessors
# and checks of one's own. On plain nginx, as 00-runner.t.

use lib '.';
use t::ProxyWasm;

repeat_each(2);
workers(2);
master_process_enabled(1);
no_root_location();
env_to_nginx('PROXY_WASM_TEST=set here');
config_preamble('location /preamble { return 200 "preamble\n"; }');
timeout(5);

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(request => 'GET /t') if !defined $block->request;
});

my %checked;
add_response_body_check(sub {
    my ($block, $body, $index, $repeat) = @_;
    $checked{ $block->name } .= "$repeat$body";
});

# 2 tests a block each time, and 1 of those below for each of three blocks.
plan tests => repeat_each() * 2 * blocks() + 4;
run_tests();

is scalar(grep { /workers: 2/ } map { $_->http_config // '' } blocks()), 1, 'blocks can be read';
my ($counted) = grep { /counted/ } keys %checked;
is $checked{$counted}, "01\n12\n", 'one nginx for all repetitions of a block';
is scalar(keys %checked), blocks(), 'every block was checked';
is workers() . master_process_enabled() . log_level(), '2oninfo', 'switches can be read';

__DATA__

=== TEST 1: counted
--- no_module
--- http_config
    lua_shared_dict d 1m;
--- config
    location /t { content_by_lua_block { ngx.say((ngx.shared.d:incr("n", 1, 0))) } }
--- response_body_like: ^[12]$



=== TEST 2: lines of one repetition at a time
--- no_module
--- config
    location /t {
        content_by_lua_block { ngx.log(ngx.WARN, "said once") ngx.say("ok") }
    }
--- grep_error_log: said once
--- grep_error_log_out eval
["said once\n", "said once\n"]



=== TEST 3: as many workers as asked for
--- no_module
--- http_config
    # workers: 2
--- config
    location /t { content_by_lua_block { ngx.say(ngx.worker.count()) } }
--- response_body
2



=== TEST 4: config_preamble
--- no_module
--- config
--- request
GET /preamble
--- response_body
preamble



=== TEST 5: env_to_nginx
--- no_module
--- config
    location /t { content_by_lua_block { ngx.say(os.getenv("PROXY_WASM_TEST")) } }
--- response_body
set here



=== TEST 6: no_root_location
--- no_module
--- config
    location / { return 200 "mine\n"; }
--- response_body
mine
