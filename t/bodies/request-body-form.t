# The form in which nginx's own modules expect a request's body, once plugins have read or
# changed it: a file that DAV can rename, a file that has a name, one buffer, a copy for mirror.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Upstream qw(upstream);

my %script = (
    reads   => '"on_request_body": [["get_buffer_bytes", "request_body", 0, 10]]',
    changes => '"on_request_body": [["set_buffer_bytes", "request_body", "<", 0, 0]]',
    empties => '"on_request_body": [["set_buffer_bytes", "request_body", ""]]',
    grows   => '"on_request_body": [["set_buffer_bytes", "request_body", {"repeat": ["0123456789", 10000]}]]',
);
my %result = (
    reads   => sub { $_[0] },
    changes => sub { "<$_[0]" },
    empties => sub { '' },
    grows   => sub { '0123456789' x 10_000 },
);
my @bodies = ('hello', 'b' x 100_000);

# A location for each script, with the same in each.
sub locations {
    my ($more) = @_;
    return join '', map { "location /$_/ { proxy_wasm hostcalls '{$script{$_}}'; $more }\n" } sort keys %script;
}

my $basics = 'client_body_buffer_size 8k; ';
my $http   = <<'E' . upstream();
    wasm_plugin hostcalls $TEST_NGINX_PLUGINS/hostcalls.wasm;
    wasm_plugin early $TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite;
    wasm_plugin sdk $TEST_NGINX_PLUGINS/rust-headers.wasm;
E
my $echo = 'proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/echo/;';

sub content {
    my ($file) = @_;
    open my $in, '<', $file or return;
    local $/;
    return scalar <$in>;
}

sub left_over {
    my ($s) = @_;
    return grep { -f } glob $s->root . '/client_body_temp/*';
}

for my $version (qw(1.1 2)) {
    subtest "a file for DAV, HTTP/$version" => sub {
        my $s = start_nginx(http_config => $http, http2 => $version eq '2', config => $basics . <<"E");
    dav_methods PUT;
    create_full_put_path on;
    ${\ locations('')}
    location /sdk/ { proxy_wasm sdk x; }
    location /in_file_only/ { client_body_in_file_only clean; proxy_wasm hostcalls '{$script{changes}}'; }
    location /kept/ { client_body_in_file_only on; proxy_wasm hostcalls '{$script{reads}}'; }
    location /early/ { proxy_wasm early '{$script{reads}}'; }
    location /early/changes/ { proxy_wasm early '{$script{changes}}'; }
    location /two/ { proxy_wasm early '{$script{changes}}'; proxy_wasm hostcalls '{$script{changes}}'; }
    location /from/ {
        proxy_wasm early '{$script{reads}}';
        proxy_wasm hostcalls '{}';
        try_files /none /to/\$arg_name;
        $echo
    }
    location /to/ { }
E
        my @http = $version eq '2' ? '--http2-prior-knowledge' : ();
        my $put = sub {
            my ($path, $body) = @_;
            my $in = $s->html_dir . '/in';
            open my $out, '>', $in or die $!;
            print {$out} $body;
            close $out;
            my @command = ('curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', @http, '-T', $in);
            open my $curl, '-|', @command, 'http://127.0.0.1:' . $s->port . $path or die $!;
            return scalar <$curl>;
        };
        my %more = (
            sdk             => $result{reads},
            in_file_only    => $result{changes},
            kept            => $result{reads},
            early           => $result{reads},
            'early/changes' => $result{changes},
            two             => sub { "<<$_[0]" },
        );
        my %expected = (%result, %more);
        for my $name (sort keys %expected) {
            for my $body (@bodies) {
                my $path = "/$name/" . length $body;
                is $put->($path, $body), 201, "PUT $path: created";
                ok content($s->html_dir . $path) eq $expected{$name}->($body), "PUT $path: what is stored";
                is $put->($path, $body), 204, "PUT $path: replaced";
            }
        }
        is_deeply [left_over($s)], [], 'no temporary file is left';
        $s->stop;
    };
}

subtest 'a file for those who ask for one' => sub {
    my $s = start_nginx(http_config => $http, config => $basics . <<"E");
    client_body_in_file_only on;
    add_header X-File \$request_body_file;
    ${\ locations($echo)}
E
    my $requests = 0;
    for my $name (sort keys %result) {
        for my $body (@bodies) {
            my $r = $s->request('POST', "/$name/", body => $body);
            my $expected = $result{$name}->($body);
            ok $r->{body} eq $expected, "$name: what upstream got";
            my $file = content($r->{headers}{'x-file'} // '');
            ok defined $file && $file eq $expected, "$name: what \$request_body_file has" or note explain $r->{headers};
            $requests++;
        }
    }
    is scalar(left_over($s)), $requests, 'one file for each request';
    $s->stop;
};

subtest 'one buffer, mirror, a body that is not buffered' => sub {
    my $s = start_nginx(http_config => $http, config => $basics . <<"E");
    location = /mirror { internal; proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/mirrored; }
    location = /mirrored { access_log off; proxy_wasm hostcalls '{"on_request_body": [["get_buffer_bytes", "request_body", 0, 7]]}'; $echo }
    location /single/ {
        client_body_in_single_buffer on;
        proxy_wasm hostcalls '{$script{changes}}';
        proxy_set_body "[\$request_body]";
        $echo
    }
    location /mirror/ { mirror /mirror; proxy_wasm hostcalls '{$script{changes}}'; $echo }
    location /unbuffered/ { proxy_request_buffering off; wasm_request_body whole; proxy_wasm hostcalls '{$script{changes}}'; $echo }
E
    is $s->request('POST', '/single/', body => 'hello')->{body}, '[<hello]', '$request_body';
    ok $s->request('POST', '/unbuffered/', body => $bodies[1])->{body} eq "<$bodies[1]", 'proxy_request_buffering off';
    for my $body (@bodies) {
        $s->mark_log;
        ok $s->request('POST', '/mirror/', body => $body)->{body} eq "<$body", 'with a mirror';
        ok $s->wait_for_log(qr/get_buffer_bytes request_body 0 7 -> OK <\Q${\ substr $body, 0, 5}\E/), 'which gets the same';
    }
    $s->stop;
};

done_testing;
