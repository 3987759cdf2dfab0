# proxy_call_foreign_function: what the host offers by name, as docs/proxy-wasm.md says.

use lib '.';
use t::ProxyWasm;
use File::Temp ();
use ProxyWasm::Certificates ();
use ProxyWasm::Message qw(hex_of message);
use ProxyWasm::Scripted;

my $dir = File::Temp->newdir;
ProxyWasm::Certificates->new("$dir")->issue('signer', 'DNS:signer.test');
sub slurp { open my $in, '<', $_[0] or die "$_[0]: $!"; local $/; return <$in> }
sub sh { system("$_[0] >/dev/null 2>&1") == 0 or die $_[0] }
sh("openssl pkey -in $dir/signer.key -outform DER -out $dir/key.der");
sh("openssl pkey -in $dir/signer.key -pubout -outform DER -out $dir/public.der");
sh("openssl pkey -in $dir/signer.key -pubout -out $dir/public.pem");
sh("openssl pkey -in $dir/signer.key -aes128 -passout pass:x -out $dir/encrypted.pem");
sh("printf hello | openssl dgst -sha256 -sign $dir/signer.key -out $dir/signature");
my ($der, $public, $pem, $key_pem, $encrypted, $signature) =
    map { slurp("$dir/$_") } qw(key.der public.der public.pem signer.key encrypted.pem signature);

# Keys of the right form whose numbers are not those of a key.
sub der {
    my ($tag, $content) = (shift, join '', @_);
    my $length = pack('N', length $content) =~ s/^\0+(?=.)//sr;
    $length = chr(0x80 | length $length) . $length if length $content > 127;
    return chr($tag) . $length . $content;
}

sub children {
    my ($bytes, @children) = @_;
    while ($bytes =~ s/^(.)(.)//s) {
        my ($tag, $length) = (ord $1, ord $2);
        $length = unpack 'N', substr "\0\0\0\0" . substr($bytes, 0, $length & 0x7f, ''), -4 if $length > 127;
        push @children, substr $bytes, 0, $length, '';
    }
    return @children;
}
sh("openssl pkcs8 -topk8 -nocrypt -in $dir/signer.key -outform DER -out $dir/pkcs8.der");
my (undef, undef, $pkcs1) = children(children(slurp("$dir/pkcs8.der")));
my @numbers   = children(children($pkcs1));                          # version, n, e, d, p, q, d mod p - 1, d mod q - 1, 1/q mod p
my $algorithm = der(0x30, pack('H*', '06092a864886f70d0101010500'));
sub private_key {
    my ($which, $number, @more) = @_;
    my @all = @numbers;
    $all[$which] = $number;
    return der(0x30, der(2, "\0"), $algorithm, der(4, der(0x30, map({ der(2, $_) } @all), @more)));
}
sub public_key { return der(0x30, $algorithm, der(3, "\0", der(0x30, map { der(2, $_) } @_))) }

# The largest numbers that a key of 8 KiB has room for, nearly: to compute with them takes seconds.
my $huge = "\x7f" . "\xff" x 2500;
my @no_private_keys = (
    (map { private_key($_, $huge) } 2 .. 8),
    (map { private_key($_, "\0") } 1 .. 8),
    private_key(1, substr($numbers[1], 0, -1) . "\x02"),                  # not a product of the factors, and even
    private_key(4, $numbers[5]),
    private_key(2, "\x03" . "\xff" x 4),                                  # an exponent of 34 bits
    private_key(0, "\1", der(0x30, der(0x30, map { der(2, $_) } $huge, $huge, $huge))),    # a third factor
    # A curve of the key's own, of 16 bits; a key of a known curve that is larger than its order.
    pack('H*', '3047020100303706072a8648ce3d0201302c020101300e06072a8648ce3d0101020300fff1300804020001040200230405040000586302030100e10201010409'
        . '300702010104020005'),
    der(0x30, der(2, "\0"), der(0x30, pack 'H*', '06072a8648ce3d020106082a8648ce3d030107'), der(4, der(0x30, der(2, "\1"), der(4, "\xff" x 32)))),
);
my @no_public_keys = (
    (map { public_key($numbers[1], $_) } "\0", "\1\0\0", $numbers[4], "\x03" . "\xff" x 4, $huge),
    (map { public_key($_, "\1\0\1") } "\0", "\x7f" . "\xff" x 1024, "\0" . "\xff" x 1025, substr($numbers[1], 0, -1) . "\2"),
    pack('H*', '3040303706072a8648ce3d0201302c020101300e06072a8648ce3d0101020300fff1300804020001040200230405040000586302030100e102010103060004000058630'
        =~ s/0$//r),
);
sh("openssl pkcs8 -topk8 -in $dir/signer.key -outform DER -passout pass:x -out $dir/encrypted.der");

# A function with its argument; and what its line says of the result.
my @calls = (
    ['compress', '"hello hello hello"' => qr/OK x/],
    ['uncompress', hex_of(pack 'H*', '789ccb48cdc9c957c8409000' . '3a2e067d') => qr/OK hello hello hello(?: |$)/],
    ['uncompress', '"hello"' => qr/SERIALIZATION_FAILURE/],
    ['get_log_level', '""' => qr/OK \\x02\\x00\\x00\\x00/],
    ['log_level', '""' => qr/OK info/],
    ['set_global_max_requests_per_io_cycle', hex_of(pack 'Q<', 20) => qr/OK/],
    ['set_global_max_requests_per_io_cycle', '"20"' => qr/BAD_ARGUMENT/],
    ['clear_route_cache', '""' => qr/OK/],
    (map { ['resolve', qq("$_") => qr/BAD_ARGUMENT/] } '', 'a' x 254, 'a' x 64, 'a' x 65_536, 'a..b'),
    ['none', '""' => qr/NOT_FOUND/],
    ['set_envoy_filter_state', message(1 => 'my.key', 2 => 'value') => qr/OK/],
    ['set_envoy_filter_state', '"x"' => qr/BAD_ARGUMENT/],
    ['declare_property', message(1 => 'p') => qr/OK/],
    ['declare_property', message(1 => 'p') => qr/BAD_ARGUMENT/],
    # The result is a message: whether it is so, and the reason.
    ['verify_signature', message(1 => 'sha256', 2 => $public, 3 => $signature, 4 => 'hello') => qr/OK \\x08\\x01(?: |$)/],
    ['verify_signature', message(1 => 'SHA256', 5 => $pem, 3 => $signature, 4 => 'hello') => qr/OK \\x08\\x01(?: |$)/],
    ['verify_signature', message(1 => 'sha256', 2 => $public, 3 => $signature, 4 => 'hallo') => qr/OK .*Failed to verify digest\. Error code: 0/],
    ['verify_signature', message(1 => 'md5', 2 => $public, 3 => $signature, 4 => 'hello') => qr/OK .*md5 is not supported\./],
    ['verify_signature', message(1 => 'sha256', 2 => 'no key', 3 => 'a', 4 => 'b') => qr/BAD_ARGUMENT/],
    ['verify_signature', message(1 => 'sha256', 2 => $public, 5 => $pem) => qr/BAD_ARGUMENT/],
    ['verify_signature', message(1 => 'sha256', 2 => $public . "\0" x 9000) => qr/BAD_ARGUMENT/],
    ['sign', message(1 => 'sha256', 2 => $der, 3 => 'hello') => qr/OK \\x08\\x01\\x12/],
    ['sign', message(1 => 'sha256', 4 => $key_pem, 3 => 'hello') => qr/OK \\x08\\x01\\x12/],
    ['sign', message(1 => 'md5', 2 => $der, 3 => 'hello') => qr/OK .*md5 is not supported/],
    ['sign', message(1 => 'sha256', 4 => $encrypted, 3 => 'a') => qr/BAD_ARGUMENT/],
    ['sign', message(1 => 'sha256', 4 => $pem, 3 => 'a') => qr/BAD_ARGUMENT/],
    ['sign', message(1 => 'sha256', 2 => slurp("$dir/encrypted.der"), 3 => 'a') => qr/BAD_ARGUMENT/],
    ['sign', message(1 => 'sha256', 2 => private_key(0, $numbers[0]), 3 => 'a') => qr/OK \\x08\\x01\\x12/],
    (map { ['sign', message(1 => 'sha256', 2 => $_, 3 => 'a') => qr/BAD_ARGUMENT/] } @no_private_keys),
    ['verify_signature', message(1 => 'sha256', 2 => public_key(@numbers[1, 2]), 3 => $signature, 4 => 'hello') => qr/OK \\x08\\x01(?: |$)/],
    (map { ['verify_signature', message(1 => 'sha256', 2 => $_, 3 => 'a') => qr/BAD_ARGUMENT/] } @no_public_keys),
    # 60 s to live, a CAS number, the key's length.
    ['shared_data_set_with_ttl', hex_of(pack('Q<L<L<', 60_000, 0, 1) . 'kv') => qr/OK/],
    ['shared_data_set_with_ttl', hex_of(pack('Q<L<L<', 60_000, 99, 1) . 'kv') => qr/CAS_MISMATCH/],
    ['shared_data_set_with_ttl', hex_of(pack('Q<L<L<', 0, 0, 1) . 'kv') => qr/BAD_ARGUMENT/],
    ['shared_data_set_with_ttl', hex_of(pack('Q<L<L<', 1, 0, 9) . 'kv') => qr/BAD_ARGUMENT/],
    ['shared_data_keys', hex_of(pack('Q<', 1 << 40) . 'k') => qr/OK (?:\\x00){8}(?: |$)/],
    ['shared_data_delete', '"k"' => qr/OK/],
    ['shared_data_delete', '"k"' => qr/NOT_FOUND/],
);
my $steps = join ', ', map { qq({"op": "call_foreign_function", "args": ["$_->[0]", $_->[1]], "quiet": true}, ["echo", "$_->[0]: \${status} \${last}"]) } @calls;

my $s = start_nginx(
    http_config => scripted(),
    user_files  => [['all.json', qq({"on_request_headers": [$steps, ["get_property", "filter_state", "my.key"]]})]],
    config      => <<'CONF',
    location /t { proxy_wasm hostcalls conf_file=html/all.json; add_header X-State $wasm_property_filter_state_my_key; return 200 ok; }
    location /read-only {
        proxy_wasm hostcalls '{"on_configure": [["call_foreign_function", "declare_property", {"hex": "0a03746e741001"}]],
            "on_request_headers": [["set_property", "tnt", "a"], ["set_property", "tnt", "b"], ["get_property", "tnt"]]}';
        return 200 ok;
    }
CONF
);
my $at = length $s->error_log;
my $answer = $s->get('/t');
is $answer->{body}, 'ok', 'the request goes on';
is $answer->{headers}{'x-state'}, 'value', 'nginx reads filter state as a variable';
my $log = substr $s->error_log, $at;
my @lines = $log =~ / echo (.*) -> OK/g;
is @lines, @calls, 'every call has its line';
for my $i (0 .. $#calls) {
    like $lines[$i] // '', qr/^$calls[$i][0]: $calls[$i][2]/, "$calls[$i][0] ($i)";
}
like $log, qr/get_property filter_state my\.key -> OK value/, 'and plugins as a property';
unlike $log, qr/\[(?:error|crit|alert)\]/, 'nothing of it is an error line';

$s->get('/read-only');
ok $s->wait_for_log(qr/set_property tnt a -> OK/), 'a property that is declared read-only is set';
ok $s->wait_for_log(qr/set_property tnt b -> BAD_ARGUMENT/), 'and not set again';
ok $s->wait_for_log(qr/get_property tnt -> OK a/), 'so that it stays';

$s->stop;
done_testing;
