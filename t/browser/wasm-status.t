# The page of wasm_status in headless Chromium: what it makes of the page, and pictures of it in light, dark and narrower. Not part of
# make test: make test-browser runs it. The pictures stay in the folder that SCREENSHOTS names.

use lib '.';
use t::ProxyWasm;
use File::Temp ();

my ($chromium) = grep { -x } map { my $dir = $_; map { "$dir/$_" } qw(chromium chromium-browser google-chrome) } split /:/, $ENV{PATH};
Test::More::plan(skip_all => 'make test-browser runs this') if !$ENV{TEST_BROWSER};
Test::More::plan(skip_all => 'no Chromium') if !$chromium;

my $s = start_nginx(
    http_config => 'wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
                    wasm_plugin "<i>x</i>" $TEST_NGINX_PLUGINS/rust-headers.wasm memory_limit=8m;',
    config => <<'E',
    location /t { proxy_wasm hostcalls '{"on_request_headers": [["send_local_response", 200]]}'; proxy_wasm '<i>x</i>'; }
    location /trap { proxy_wasm hostcalls '{"on_request_headers": [["trap"]]}'; }
    location = /status { wasm_status; }
E
);
$s->get('/t') for 1 .. 20;
$s->get('/trap') for 1 .. 2;

my $profile = File::Temp->newdir;
my $url     = "http://127.0.0.1:$s->{port}/status";

sub chromium {
    my @arguments = @_;
    my @command = ($chromium, qw(--headless --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=1),
        "--user-data-dir=$profile", @arguments);
    open my $pipe, '-|', 'sh', '-c', 'exec "$@" 2>"$0"', "$profile/stderr", @command or die "$chromium: $!";
    my $output = do { local $/; <$pipe> };
    close $pipe;
    return $output;
}

my $dom = chromium('--dump-dom', $url);
like $dom, qr{<title>Proxy-Wasm: 2 plugins</title>}, 'the browser has the page';
like $dom, qr{<th scope="row">&lt;i&gt;x&lt;/i&gt;<small}, 'a name that looks like HTML is text';
like $dom, qr{<span class="state bad">failed</span>}, 'a plugin that failed';
unlike $dom, qr{<(?:script|img|iframe|link)\b}, 'nothing else is loaded';

# Width and height of a PNG.
sub picture {
    my ($path) = @_;
    open my $file, '<:raw', $path or return;
    read $file, my $head, 24;
    return unpack 'x16 NN', $head;
}

my $pictures = $ENV{SCREENSHOTS} // $profile;
my %size = (light => '1350,900', dark => '1350,900', tablet => '900,1000', narrow => '480,1300');
for my $name (sort keys %size) {
    my $path = "$pictures/wasm-status-$name.png";
    chromium('--blink-settings=preferredColorScheme=' . ($name eq 'dark' ? 0 : 1), "--window-size=$size{$name}",
        "--screenshot=$path", $url);
    is join(',', picture($path)), $size{$name}, "$name: a picture of that size";
    cmp_ok -s $path, '>', 10_000, "$name: with something on it";
}

$s->stop(allow => [qr/failed to call function/, qr/unreachable/, qr/fails again and again/]);

# The picture of the README, docs/images/wasm-status.png.
my $readme = start_nginx(
    workers     => 2,
    http_config => join('', map { "wasm_plugin $_ \$TEST_NGINX_PLUGINS/$_.wasm;\n" }
        qw(rate-limit log response-rewrite)) . 'wasm_plugin auth $TEST_NGINX_PLUGINS/hostcalls.wasm priority=100;',
    config => <<'E',
    proxy_wasm log 'every request';
    location /api {
        proxy_wasm rate-limit '{"count": 40, "time_window": 36000, "rejected_code": 429}';
        proxy_wasm response-rewrite '{"body": "rewritten"}';
        try_files /index.html =404;
    }
    location /login { proxy_wasm auth '{"on_request_headers": [["trap"]]}'; }
    location = /status { proxy_wasm off; wasm_status; }
E
);
$readme->get('/api') for 1 .. 60;
$readme->get('/index.html') for 1 .. 200;
$readme->get('/login');
my $path = "$pictures/wasm-status.png";
chromium('--blink-settings=preferredColorScheme=1', '--window-size=1350,800', "--screenshot=$path",
    "http://127.0.0.1:$readme->{port}/status");
is join(',', picture($path)), '1350,800', 'the picture of the README';
$readme->stop(allow => [qr/failed to call function/, qr/unreachable/]);
done_testing;
