# What stops nginx's start, and nginx -t: each fault is one [emerg] line that says what,
# where and why. Each case is a name, what stands in http and in server, the files it
# needs, and the line.

use lib '.';
use t::ProxyWasm;

my $plugins = $ENV{TEST_NGINX_PLUGINS};

# A module that would be a plugin, but for what is added or changed.
sub plugin {
    my ($addition, %o) = @_;
    my ($memory, $marker) = ($o{memory} // 'memory', $o{marker} // 'proxy_abi_version_0_2_1');
    return qq{(module $addition (memory (export "$memory") 1) (func (export "$marker")))};
}

# How `wasm_plugin p p.wat` is refused, given that file's text.
sub refused_file {
    my ($name, $text, $reason) = @_;
    refused($name,
        http  => 'wasm_plugin p html/p.wat;',
        files => [['p.wat', $text]],
        line  => qr{"wasm_plugin": "p" at \S+/html/p\.wat $reason in \S+nginx\.conf:\d+$});
}

# How `wasm_config config.yaml` is refused, given that file's text.
sub refused_yaml {
    my ($name, $text, $reason) = @_;
    refused($name,
        http  => 'wasm_config html/config.yaml;',
        files => [['config.yaml', $text]],
        line  => qr{"wasm_config": \S+/html/config\.yaml: $reason in \S+nginx\.conf:\d+$});
}

sub refused_line {
    my ($name, $http, $reason) = @_;
    refused($name, http => $http, line => qr{$reason in \S+nginx\.conf:\d+$});
}

sub refused {
    my ($name, %case) = @_;
    subtest $name => sub {
        my $s = start_nginx(
            http_config => $case{http},
            config      => $case{server} // '',
            user_files  => $case{files},
            must_die    => 1,
            log_level   => 'notice',
        );
        unlike $s->error_log, $case{not}, 'nothing else is done before' if $case{not};
        is $s->exit_code, 1, 'nginx does not start';
        one_emerg([split /^/, $s->error_log], $case{line});
        my ($code, @lines) = $s->check_config;
        is $code, 1, 'nginx -t fails';
        one_emerg(\@lines, $case{line});
    };
}

sub one_emerg {
    my ($lines, $pattern) = @_;
    my @emerg = grep { /\[emerg\]/ } @$lines;
    chomp @emerg;
    is scalar @emerg, 1, 'with one [emerg] line' or diag @$lines;
    like $emerg[0], $pattern, 'that says why';
}

# -- the file ---------------------------------------------------------------

refused_line 'a file that is missing',
    'wasm_plugin p html/none.wasm;',
    qr{"wasm_plugin": "p" at \S+/html/none\.wasm cannot be read: No such file or directory};
refused_line 'a file that is a directory',
    'wasm_plugin p html;',
    qr{"wasm_plugin": "p" at \S+/html cannot be read: Is a directory};
refused_file 'an empty file', '', 'is not a WebAssembly module';
refused_file 'a page of HTML', "<html>\n", 'is not a WebAssembly module';
refused_file 'a binary cut short', "\0asm\1\0\0\0\1", qr{is not a valid WebAssembly module: .+};
refused_file 'a component', "\0asm\x0d\0\1\0", qr{is not a valid WebAssembly module: .+};
refused_file 'text with a syntax error', "(module\n  (fnord))\n",
    qr{is not a valid WebAssembly module: .*fnord.*};

# -- the module -------------------------------------------------------------

refused_file 'a module without an ABI version', '(module (memory (export "memory") 1))',
    qr{exports no proxy_abi_version_\*};
refused_file 'an ABI version of the future', plugin('', marker => 'proxy_abi_version_9_9_9'),
    'exports proxy_abi_version_9_9_9, which this host does not know';
refused_file 'an import that is not in the ABI', plugin('(import "env" "foo" (func))'),
    'imports env.foo, which this host does not have';
refused_file 'an import of another module', plugin('(import "wasi_snapshot_preview2" "x" (func))'),
    'imports wasi_snapshot_preview2.x, which this host does not have';
refused_file 'a WASI function that there is not', plugin('(import "wasi_snapshot_preview1" "x" (func))'),
    'imports wasi_snapshot_preview1.x, which this host does not have';
refused_file 'a host function of another type',
    plugin('(import "env" "proxy_log" (func (param i32) (result i32)))'),
    qr{imports env\.proxy_log with type \(i32\) -> i32, this host has \(i32, i32, i32\) -> i32};
refused_file 'a WASI function of another type',
    plugin('(import "wasi_snapshot_preview1" "fd_write" (func (param i64)))'),
    qr{imports wasi_snapshot_preview1\.fd_write with type \(i64\) -> \(\), this host has \(i32, i32, i32, i32\) -> i32};
refused_file 'a host function imported as a global', plugin('(import "env" "proxy_log" (global i32))'),
    qr{cannot be linked: .*proxy_log.*};
refused_file 'no memory', '(module (func (export "proxy_abi_version_0_2_1")))', 'exports no memory';
refused_file 'a memory of another name', plugin('', memory => 'mem'), 'exports no memory';
refused_file 'a callback of another type',
    plugin('(func (export "proxy_on_log") (param i64))'), qr{.*proxy_on_log.*};

# -- the declaration --------------------------------------------------------

refused_line 'a name declared twice',
    "wasm_plugin p $plugins/log.wasm;\nwasm_plugin p $plugins/rust-headers.wasm;\n",
    qr{"wasm_plugin": "p" is declared already in \S+nginx\.conf:\d+};
refused 'a name declared by wasm_plugin and by wasm_config',
    http  => "wasm_plugin p $plugins/log.wasm; wasm_config html/config.yaml;",
    files => [['config.yaml', "wasm: {plugins: [{name: p, priority: 1, file: $plugins/log.wasm}]}"]],
    line  => qr{"wasm_config": "p" is declared already in \S+nginx\.conf:\d+ in \S+nginx\.conf:\d+$};
refused_line 'a phase that is none', "wasm_plugin p $plugins/log.wasm phase=log;",
    qr{"wasm_plugin": "log" is not a phase; write access or rewrite};
refused_line 'a priority that is no number', "wasm_plugin p $plugins/log.wasm priority=high;",
    qr{"wasm_plugin": "high" is not a priority; write a whole number};
refused_line 'an option that is none', "wasm_plugin p $plugins/log.wasm speed=1;",
    qr{"wasm_plugin": has no option "speed"; there are .*};
refused_line 'an option twice', "wasm_plugin p $plugins/log.wasm phase=access phase=rewrite;",
    qr{"wasm_plugin": sets "phase" twice};
refused_line 'a parameter without a value', "wasm_plugin p $plugins/log.wasm fast;",
    qr{"wasm_plugin": has no parameter "fast"; write option=value};
refused_line 'an empty name', "wasm_plugin '' $plugins/log.wasm;", qr{"wasm_plugin": has an empty name};
refused_line 'a plugin without a file', 'wasm_plugin p;',
    qr{invalid number of arguments in "wasm_plugin" directive};
refused_line 'another VM', 'wasm_vm wasmedge;',
    qr{"wasm_vm": "wasmedge" is not a VM of this module; write wasmtime};

# -- config.yaml ------------------------------------------------------------

refused_line 'a configuration that is missing', 'wasm_config html/none.yaml;',
    qr{"wasm_config": \S+/html/none\.yaml cannot be read: No such file or directory};
refused_yaml 'a syntax error, with its line', "wasm:\n  plugins:\n    - name: a\n   file: a.wasm\n",
    qr{.*line 4.*};
refused_yaml 'a value of another type, with its line',
    "wasm:\n  plugins:\n    - name: a\n      file: a.wasm\n      priority: high\n",
    qr{.*priority.*line 5.*};
refused_yaml 'a plugin without a name', "wasm: {plugins: [{priority: 1, file: a.wasm}]}\n",
    'plugin 1 has no "name"';
refused_yaml 'a plugin without a file', "wasm: {plugins: [{name: a, priority: 1}]}\n",
    qr{plugin 1 \("a"\) has no "file"};
refused_yaml 'a plugin without a priority', "wasm: {plugins: [{name: a, file: a.wasm}]}\n",
    qr{plugin 1 \("a"\) has no "priority"};
refused_yaml 'a phase that is none, in YAML',
    "wasm: {plugins: [{name: a, priority: 1, file: a.wasm, http_request_phase: log}]}\n",
    qr{plugin 1 \("a"\): http_request_phase "log" is not a phase; write access or rewrite};
refused_yaml 'a name repeated in YAML',
    "wasm: {plugins: [{name: a, priority: 1, file: a.wasm}, {name: a, priority: 2, file: b.wasm}]}\n",
    'plugin 2 repeats the name "a"';
refused 'a plugin of YAML whose file is missing',
    http  => 'wasm_config html/config.yaml;',
    files => [['config.yaml', "wasm: {plugins: [{name: a, priority: 1, file: html/none.wasm}]}\n"]],
    line  => qr{"wasm_config": "a" at \S+/html/none\.wasm cannot be read: No such file or directory in \S+nginx\.conf:\d+$};

# -- the attachment ---------------------------------------------------------

refused 'a plugin that is not declared',
    http   => "wasm_plugin p $plugins/log.wasm;",
    server => "location /t {\n proxy_wasm other;\n}",
    line   => qr{"proxy_wasm": there is no plugin "other"; declare it with wasm_plugin or wasm_config in \S+nginx\.conf:\d+$};
refused 'a plugin that is not declared, with nothing else of ours',
    http   => '',
    server => 'proxy_wasm other;',
    line   => qr{"proxy_wasm": there is no plugin "other"};
# (module (import "env" "foo" (func))), whose code would take long to compile for a function that cannot be linked.
refused 'a missing import, of a binary',
    http  => 'wasm_plugin p html/p.wasm;',
    files => [['p.wasm', "\0asm\1\0\0\0\1\4\1\x60\0\0\2\x0b\1\3env\3foo\0\0"]],
    line  => qr{"wasm_plugin": "p" at \S+/html/p\.wasm imports env\.foo, which this host does not have in \S+nginx\.conf:\d+$},
    not   => qr/compiling plugin/;
refused 'a configuration file that is missing',
    http   => "wasm_plugin p $plugins/log.wasm;",
    server => 'proxy_wasm p conf_file=html/none.json;',
    line   => qr{"proxy_wasm": \S+/html/none\.json cannot be read: No such file or directory in \S+nginx\.conf:\d+$};

done_testing;
