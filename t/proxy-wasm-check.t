# proxy-wasm-check: what it says of a plugin is what nginx says, and what the plugin then does.

use lib '.';
use t::ProxyWasm;
use File::Temp ();
use ProxyWasm::Module ();
use ProxyWasm::RootId qw(rooted);

my $tool = $ENV{TEST_PROXY_WASM_CHECK} // ProxyWasm::Module::target_dir() . '/quick/proxy-wasm-check';
Test::More::plan(skip_all => "no $tool: scripts/test-suites builds it") if !-x $tool;

my $dir     = File::Temp->newdir;
my $plugins = $ENV{TEST_NGINX_PLUGINS};

# Exit status and output.
sub check {
    my @arguments = @_;
    open my $pipe, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', $tool, @arguments or die "$tool: $!";
    my $output = do { local $/; <$pipe> };
    close $pipe;
    return ($? >> 8, $output);
}

sub file {
    my ($name, $content) = @_;
    open my $file, '>', "$dir/$name" or die "$dir/$name: $!";
    print $file $content;
    close $file;
    return "$dir/$name";
}

# A plugin but for what is added.
sub with {
    return qq{(module $_[0] (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))};
}

my %bad = (
    'no module'              => '<html>',
    'no valid module'        => '(module (fnord))',
    'no plugin'              => '(module (memory (export "memory") 1))',
    'an unknown ABI version' => with('') =~ s/0_2_1/9_9_9/r,
    'no memory'              => with('') =~ s/"memory"/"mem"/r,
    'too much memory'        => with('') =~ s/ 1\)/ 5000)/r,
    'an unknown import'      => with('(import "env" "foo" (func))'),
    'an import of a wrong type'  => with('(import "env" "proxy_log" (func (param i32) (result i32)))'),
    'a callback of a wrong type' => with('(func (export "proxy_on_tick") (param i64))'),
);
for my $name (sort keys %bad) {
    my $path = file('bad.wat', $bad{$name});
    my ($status, $output) = check($path);
    is $status, 1, "$name: exit status";
    my ($reason) = $output =~ /^\Q$path\E (.*)$/m;
    my $nginx = start_nginx(http_config => "wasm_plugin bad $path;", config => '', must_die => 1);
    like $nginx->stderr, qr/\[emerg\] .*"wasm_plugin": "bad" at \Q$path $reason\E in /, "$name: nginx says the same";
}

my ($status, $output) = check(file('bad.wat', with('(import "env" "foo" (func)) (import "wasi_unstable" "bar" (func)) (import "env" "proxy_done" (func (result i32)))')));
like $output, qr/^imports +env\.proxy_done\nunsupported +imports env\.foo, which this host does not have\n +imports wasi_unstable\.bar, which/m,
    'every import that is not supported is listed, not only the first';
like $output, qr/^needs +none of the versions up to \d+\.\d+\.\d+ has all its imports$/m, 'and no version has them';

($status, $output) = check("$plugins/greeter.wasm");
is $status, 3, 'a refused configuration: exit status';
like $output, qr/\[error\] greeter: no greeting is configured\n +\[error\] failed to configure plugin context 1, rc: 0/,
    'what the plugin says of it comes first, as in nginx';

($status, $output) = check("$plugins/rust-headers.wasm", '--conf', 'hi');
is $status, 0, 'a plugin in Rust: exit status';
like $output, qr/^ABI version +0\.2\.1$/m, 'its ABI version';
like $output, qr/^SDK +Rust$/m, 'its SDK';
like $output, qr/^memory +1\.1 MB at start$/m, 'its memory';
like $output, qr/^callbacks +proxy_on_\w+$/m, 'its callbacks';
like $output, qr/^imports +\w+\.\w+$/m, 'its imports';
like $output, qr/^needs +version 0\.1\.0 of the module, or newer$/m, 'the version of the module that has them';
like $output, qr/^proxy_on_request_headers\n(?:    .*\n)*    \+ x-rust-conf: hi\n(?:    .*\n)*    continues$/m, 'what it changed';

SKIP: {
    skip 'no Go plugin', 2 if !-e "$plugins/go-headers.wasm";
    ($status, $output) = check("$plugins/go-headers.wasm");
    is $status, 0, 'a plugin in Go: exit status';
    like $output, qr/^SDK +Go$/m, 'its SDK';
}

($status, $output) = check("$plugins/log-c.wasm", '--conf', 'hi');
is $status, 0, 'a plugin in C: exit status';
like $output, qr/^SDK +C or C\+\+$/m, 'its language';
like $output, qr/^    \[warn\] .*run plugin ctx 1 with conf hi in http ctx 2$/m, 'what it logged';

($status, $output) = check("$plugins/fault-injection.wasm", '--conf-file', file('conf', '{"http_status": 401, "body": "HIT"}'));
is $status, 0, 'an answer: exit status';
like $output, qr/^    answers 401 "HIT"$/m, 'what it answered';

($status, $output) = check("$plugins/fault-injection.wasm", '--conf', '{');
is $status, 3, 'a refused configuration: exit status';
like $output, qr/^    \[error\] failed to configure plugin context 1, rc: 0, plugin: fault-injection$/m, 'the line of the error log';

# Root ids, of which any may be the one that the plugin has contexts of.
for (
    ['contexts of the name', rooted('root'), [], 0, qr/^root id +"root"$/m],
    ['contexts of the name, which is given', rooted('mine', ends => 1), ['--name', 'mine'], 0, qr/^root id +"mine"$/m],
    ['contexts of the id that is given', rooted('mine'), ['--root-id', 'mine'], 0, qr/^root id +"mine"$/m],
    ['contexts of another id', rooted('mine'), [], 4, qr/^\S+ does nothing with the root id "" or "root": it has contexts of "mine"$/m],
    ['contexts of another id than is given', rooted('mine'), ['--root-id', ''], 4, qr/does nothing with the root id "": it has contexts of "mine"$/m],
    ['contexts of another id, without which it ends itself', rooted('mine', ends => 1), [], 3, qr/failed in start: it exited with code 255; it has contexts of "mine"$/m],
    ['contexts of no id', rooted("\\01"), [], 4, qr/does nothing .*: no id was found in it that has a context$/m],
    ['no effect', with('(func (export "proxy_on_tick") (param i32))'), [], 4, qr/does nothing: it calls no host function when/],
) {
    my ($name, $text, $arguments, $expected, $line) = @$_;
    ($status, $output) = check(file('root.wat', $text), @$arguments);
    is $status, $expected, "$name: exit status";
    like $output, $line, "$name: what is said of it";
}

my $hostcalls = "$plugins/hostcalls.wasm";
($status, $output) = check($hostcalls, '--conf', '{"on_request_headers": [["log", "warn", "hello"], ["trap"]]}');
is $status, 3, 'a trap: exit status';
like $output, qr/^    \[warn\] .*hello$/m, 'what it logged';
like $output, qr/^\Q$hostcalls\E failed in proxy_on_request_headers: .*unreachable/m, 'what failed';

for (
    ['no file', [], qr/which FILE\?/],
    ['two files', ['a', 'b'], qr/one FILE at a time/],
    ['an unknown option', ['--fnord', 'a'], qr/there is no option --fnord/],
    ['an option without its value', ['a', '--conf'], qr/--conf takes a value/],
    ['two configurations', ['a', '--conf', '1', '--conf', '2'], qr/one configuration at a time/],
    ['no time', ['a', '--compile-timeout', 'soon'], qr/"soon" is not a time/],
    ['no size', ['a', '--compile-memory', 'much'], qr/"much" is not a size/],
    ['a directory that is not there', ['a', '--dir', '/nonexistent:/data'], qr{/nonexistent is not a directory}],
    ['a path that is none', ['a', '--dir', '/usr:data'], qr{"data" does not begin with /}],
    ['two directories at one path', ['a', '--dir', '/usr:/data', '--dir', '/etc:/data'], qr{has two directories at /data: /usr and /etc}],
    ['a file that is not there', ['/nonexistent.wasm'], qr{/nonexistent\.wasm cannot be read: No such file}],
    ['a configuration that is not there', ['a', '--conf-file', '/nonexistent'], qr{/nonexistent cannot be read: No such file}],
) {
    my ($name, $arguments, $message) = @$_;
    ($status, $output) = check(@$arguments);
    is $status, 2, "$name: exit status";
    like $output, $message, "$name: message";
}
($status, $output) = check('--compile-timeout', '100ms', file('slow.wat',
    '(module (func (local i32)' . ' loop' x 20_000 . ' local.get 0 br_if 0 end' x 20_000 . '))'));
is $status, 1, 'a module that compiles for minutes: exit status';
like $output, qr/slow\.wat takes longer to compile than wasm_compile_timeout allows \(0\.1 s\)/, 'and the limit';

($status, $output) = check("$plugins/country-block.wasm", '--conf', '{"database": "/geo/countries.csv", "deny": []}');
is $status, 3, 'a plugin without its file: exit status';
like $output, qr{country-block: /geo/countries\.csv cannot be read}, 'and what it says';
my $geo = ProxyWasm::Module::repository() . '/examples/plugins/country-block/files';
($status, $output) = check("$plugins/country-block.wasm", '--conf', '{"database": "/geo/countries.csv", "deny": []}', '--dir', "$geo:/geo");
is $status, 0, 'a plugin with its directory: exit status';

($status, $output) = check('--help');
is $status, 0, '--help: exit status';
like $output, qr/^usage: proxy-wasm-check FILE/, '--help: usage';

# As into `head`, but that the reader is gone from the beginning.
for my $case (['a plugin', 0, "$plugins/log-c.wasm", '--conf', 'hi'], ['a refused configuration', 3, "$plugins/fault-injection.wasm", '--conf', '{'],
    ['--help', 0, '--help'])
{
    my ($name, $expected, @arguments) = @$case;
    pipe my $reader, my $writer or die $!;
    close $reader;
    my $errors = "$dir/errors";
    my $pid = fork // die $!;
    if (!$pid) {
        open STDOUT, '>&', $writer and open STDERR, '>', $errors or die $!;
        exec $tool, @arguments or die $!;
    }
    close $writer;
    waitpid $pid, 0;
    is $? >> 8, $expected, "nobody reads the output of $name: exit status";
    is -s $errors, 0, 'and no word of it';
}

open my $full, '-|', 'sh', '-c', '"$0" --help 2>&1 >/dev/full', $tool or die $!;
like do { local $/; <$full> }, qr/^proxy-wasm-check: the output cannot be written: No space left/, 'a full disk: message';
close $full;
is $? >> 8, 2, 'exit status';

done_testing;
