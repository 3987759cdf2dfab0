# wasm_dir NAME HOST_PATH[:GUEST_PATH][:rw]…; dir= of wasm_plugin: the directories that a plugin may use. What plugins do in them:
# ../files.t.

use lib '.';
use t::ProxyWasm 'no_plan';

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(request => 'GET /t') if !defined $block->request;
});

run_tests();

__DATA__

=== TEST 1: the directories of both directives add up
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/rust-files.wasm phase=rewrite dir=html/one:/one;
    wasm_dir p html/two:/two html/three;
--- config
    location /t { proxy_wasm p 'stat /one/a; stat /two/a; stat /html/three/a'; return 500; }
--- user_files
>>> one/a
1
>>> two/a
22
>>> three/a
333
--- response_body
stat /one/a: 2 bytes
stat /two/a: 3 bytes
stat /html/three/a: 4 bytes



=== TEST 2: a plugin of a config.yaml has some by its name
--- http_config
    wasm_config $TEST_NGINX_HTML_DIR/config.yaml;
    wasm_dir p html/one:/one;
--- config
    location /t { proxy_wasm p 'stat /one/a'; return 500; }
--- user_files
>>> one/a
1
>>> config.yaml
wasm:
  plugins:
    - name: p
      priority: 1
      file: $TEST_NGINX_PLUGINS/rust-files.wasm
      http_request_phase: rewrite
--- response_body
stat /one/a: 2 bytes



=== TEST 3: a directory that is not there
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/rust-files.wasm dir=html/none:/data;
--- config
--- user_files
>>> file
no directory
--- check_config
--- must_die
--- error_log eval
qr{"wasm_plugin": plugin "p" cannot have the directory /\S+/html/none: No such file or directory in \S+:\d+}



=== TEST 4: one that is a file
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/rust-files.wasm;
    wasm_dir p html/file:/data;
--- config
--- user_files
>>> file
no directory
--- check_config
--- must_die
--- error_log eval
qr{"wasm_dir": plugin "p" cannot have the directory /\S+/html/file: it is not a directory in \S+:\d+}



=== TEST 5: one that shows processes
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/rust-files.wasm dir=/proc/self:/data;
--- config
--- user_files
>>> file
no directory
--- check_config
--- must_die
--- error_log eval
qr{plugin "p" cannot have the directory /proc/self: it shows processes or the machine, and not files in \S+:\d+}



=== TEST 6: two at one path
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/rust-files.wasm dir=html:/data;
    wasm_dir p /usr:/data/;
--- config
--- user_files
>>> file
no directory
--- check_config
--- must_die
--- error_log eval
qr{"wasm_dir": plugin "p" has a directory at /data already in \S+:\d+ in \S+:\d+}



=== TEST 7: two at one path, in one line
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/rust-files.wasm dir=html:/data dir=/usr:/data;
--- config
--- user_files
>>> file
no directory
--- check_config
--- must_die
--- error_log
"wasm_plugin": has two directories at /data: html and /usr



=== TEST 8: of a plugin that there is not
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/rust-files.wasm;
    wasm_dir q html:/data;
--- config
--- user_files
>>> file
no directory
--- check_config
--- must_die
--- error_log
"wasm_dir": there is no plugin "q"; declare it with wasm_plugin or wasm_config



=== TEST 9: a path that is none
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/rust-files.wasm dir=html:data;
--- config
--- user_files
>>> file
no directory
--- check_config
--- must_die
--- error_log
"wasm_plugin": "data" does not begin with /; a plugin finds directories at absolute paths



=== TEST 10: a path that leads up
--- http_config
    wasm_dir p html:/data/../..;
--- config
--- user_files
>>> file
no directory
--- check_config
--- must_die
--- error_log
"wasm_dir": "/data/../.." has .. in it; name the path at which the plugin is to find the directory



=== TEST 11: plugins of one VM have the same
--- http_config
    wasm_plugin p $TEST_NGINX_PLUGINS/rust-files.wasm vm=v dir=html:/data;
    wasm_plugin q $TEST_NGINX_PLUGINS/rust-files.wasm vm=v;
--- config
--- user_files
>>> file
no directory
--- check_config
--- must_die
--- error_log eval
qr{"q" has vm=v, as "p" has in \S+:\d+, but another list of directories}



=== TEST 12: of a plugin that Lua may load
--- http_config
    wasm_vm wasmtime;
    wasm_dir q html:/data;
--- config
--- user_files
>>> file
no directory
--- check_config
--- error_log
test is successful
