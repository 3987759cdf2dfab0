# Plugins and their files: several of one file, one file changed. A file is compiled once for each content, whoever asks for it.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Apisix;

sub plugins { return "wasm:\n  plugins:\n" . join '', map { "    - name: $_->[0]\n      priority: $_->[1]\n      file: $_->[2]\n" } @_ }

sub slurp {
    my ($path) = @_;
    open my $in, '<:raw', $path or die "$path: $!\n";
    local $/;
    return scalar <$in>;
}

# As an operator should: written beside it, then put in its place.
sub replace {
    my ($path, $bytes) = @_;
    open my $out, '>:raw', "$path.new" or die "$path: $!\n";
    print {$out} $bytes;
    close $out;
    rename "$path.new", $path or die "$path: $!\n";
}

# The compiled modules, with what would change if one were compiled again.
sub compiled {
    my ($s) = @_;
    return map { join ' ', (stat)[1, 9] } grep { -f && -s } glob $s->html_dir . '/modules/*/*';
}

# With a cache of its own, the first request waits for the compiler.
sub get { return $_[0]->request(GET => $_[1], timeout => 60) }

my $OWN_CACHE = 'wasm_cache html/modules;';

subtest 'two plugins of one file, and one under two names' => sub {
    my $s = start_nginx(workers => 4, gateway(
        http_config => $OWN_CACHE,
        config_yaml => plugins(['one', 3, 'rust-headers.wasm'], ['two', 2, 'rust-headers.wasm'], ['log', 1, 'log.wasm']),
        apisix_yaml => <<'YAML',
routes:
  - id: 1
    uri: /t
    plugins:
      one:
        conf: first
      two:
        conf: second
      log:
        conf: third
YAML
    ));
    for (1 .. 8) {
        my $r = get($s, '/t');
        is $r->{headers}{'x-rust'}, 'first, second', 'each has its configuration';
    }
    is scalar(my @before = compiled($s)), 2, 'in all workers, two contents were compiled';
    ok $s->reload, 'a reload';
    is get($s, '/t')->{headers}{'x-rust'}, 'first, second', 'changes nothing';
    is_deeply [compiled($s)], \@before, 'and compiles nothing';
    $s->stop;
};

subtest 'a file that changed, and a reload of plugins' => sub {
    my ($old, $new) = map { slurp("$ENV{TEST_NGINX_PLUGINS}/$_.wasm") } qw(rust-headers fault-injection);
    my $route = sub { <<"YAML" };
routes:
  - id: 1
    uri: /t
    plugins:
      p:
        conf: '{"http_status": $_[0]}'
YAML
    my $s = start_nginx(gateway(
        http_config => $OWN_CACHE,
        config_yaml => plugins(['p', 1, '$TEST_NGINX_HTML_DIR/p.wasm']),
        apisix_yaml => $route->(401),
        user_files  => [['p.wasm', $old]],
    ));
    my $conf = '{"http_status": 401}';
    is get($s, '/t')->{headers}{'x-rust'}, $conf, 'the old one';
    replace($s->html_dir . '/p.wasm', $new);
    is get($s, '/t')->{headers}{'x-rust'}, $conf, 'serves on while the file changes';
    is $s->request(PUT => '/plugins/reload', timeout => 60)->{status}, 200, 'and after a reload,';
    is get($s, '/t')->{headers}{'x-rust'}, $conf, 'where it is configured';
    is $s->request(PUT => '/apisix', body => resources($route->(418)))->{status}, 200, 'A route that is configured again';
    my $r = get($s, '/t');
    is $r->{status}, 418, 'has the new one';
    is $r->{headers}{'x-rust'}, undef, 'only';
    is scalar(my @before = compiled($s)), 2, 'two contents were compiled';

    replace($s->html_dir . '/p.wasm', $old);
    is $s->request(PUT => '/plugins/reload', timeout => 60)->{status}, 200, 'back to the old one';
    is $s->request(PUT => '/apisix', body => resources($route->(419)))->{status}, 200, 'the same way';
    is get($s, '/t')->{headers}{'x-rust'}, '{"http_status": 419}', 'serves';
    is_deeply [compiled($s)], \@before, 'and compiles nothing';
    $s->stop;
};

subtest 'a file that is broken when plugins are reloaded' => sub {
    my $s = start_nginx(gateway(
        http_config => $OWN_CACHE,
        config_yaml => plugins(['p', 1, '$TEST_NGINX_HTML_DIR/p.wasm']),
        apisix_yaml => "routes:\n  - id: 1\n    uri: /t\n    plugins:\n      p:\n        conf: blah\n",
        user_files  => [['p.wasm', slurp("$ENV{TEST_NGINX_PLUGINS}/rust-headers.wasm")]],
    ));
    is get($s, '/t')->{headers}{'x-rust'}, 'blah', 'while it is whole';
    replace($s->html_dir . '/p.wasm', 'half of it');
    $s->request(PUT => '/plugins/reload', timeout => 60);
    ok $s->wait_for_log(qr{\[error\] .*failed to load wasm plugin "p" at \S+/p\.wasm: \S}), 'what is wrong, and where';
    is get($s, '/t')->{status}, 200, 'and the worker lives';
    $s->stop;
};

done_testing;
