# What the error log says at start: versions and plugins, and what compiling takes.

use lib '.';
use t::ProxyWasm;

sub nginx {
    return start_nginx(
        log_level   => 'notice',
        http_config => 'wasm_cache my_cache; wasm_plugin rust $TEST_NGINX_PLUGINS/rust-headers.wasm;
                        wasm_plugin "two words" $TEST_NGINX_PLUGINS/rust-headers.wasm;',
        config => 'location /t { return 204; }',
        @_,
    );
}

sub lines {
    my ($s, $pattern) = @_;
    return grep { $_ =~ $pattern } split /^/m, $s->error_log;
}

my $s = nginx();
my @started = lines($s, qr/\[notice\] .*: proxy_wasm \d+\.\d+\.\d+, wasmtime 48\.\d+\.\d+, 2 plugins: "rust", "two words"$/);
is scalar @started, 1, 'one line says versions and plugins';

my $progress = qr/(?:compiling )?plugin ".*?" .*(?:\.\.\.|compiled in|from the cache in)/;
like join('', lines($s, $progress)),
    qr/\[notice\] .*compiling plugin "rust" \([\d.]+ [KM]B\) \.\.\.\n.*\[notice\] .*plugin "rust" compiled in [\d.]+ m?s\n\z/,
    'the first start compiles, once per content';

$s->reload;
is scalar lines($s, qr/wasmtime 48/), 2, 'a reload says it again';
like((lines($s, $progress))[-1], qr/\[notice\] .*plugin "two words" \([\d.]+ [KM]B\) from the cache in \d+ (?:ms|µs)$/,
    'the next load is from the cache');
$s->stop;

$s = nginx(http_config => '', config => 'location /t { return 204; }');
is scalar lines($s, qr/proxy_wasm/), 0, 'nothing is said where the module is not used';
$s->stop;

done_testing;
