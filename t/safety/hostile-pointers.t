# A plugin that hands addresses and sizes to the host which are none, in every parameter of every host function: it is told so, and
# nothing else happens.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';
use ProxyWasm::Hostcalls qw(hostcalls parameters);

# Bytes to read: outside, across the end, across the end of the address space, or too many to count.
my @bytes = (
    ['end', 1], ['end-2', 4], ['end-1', 'max'], [4294967295, 1], [4294967292, 8], [4294967280, 32], [0, 4294967295],
    ['slot', 4294967295], ['slot', 2147483648], ['slot', 2147483647], [2147483648, 2147483648], [4294967295, 4294967295],
);
# Places to write to.
my %places = (o => ['end', 'end-3', 4294967295, 4294967293, 2147483648], O => ['end', 'end-7', 4294967295, 4294967289]);
my @numbers = (4294967295, 2147483648, 2147483647, 99);

# [function, arguments of `raw`, what is hostile]
sub hostile {
    my ($name, @parameters) = @{ $_[0] };
    my @calls;
    for my $i (0 .. $#parameters) {
        my ($kind) = @{ $parameters[$i] };
        my @values = $kind eq 'b' ? @bytes : map { [$_] } $kind eq 'n' ? @numbers : @{ $places{$kind} };
        for my $value (@values) {
            push @calls, [
                $name,
                [(map { parameters($_) } @parameters[0 .. $i - 1]), @$value, (map { parameters($_) } @parameters[$i + 1 .. $#parameters])],
                $kind,
            ];
        }
    }
    return @calls;
}

sub step {
    my ($call) = @_;
    my ($name, $arguments) = @$call;
    return '["raw", "' . join('", "', $name, map { $_ eq 'max' ? 4294967295 : $_ } @$arguments) . '"]';
}

# WASI may answer a wild address with an error, or end the callback: what wasmtime serves itself does. So each call has a request of
# its own, two of each function, which is as often as a plugin may fail in a row.
sub wasi_script {
    my ($calls) = @_;
    my @wild    = grep { $_->[2] ne 'n' } @$calls;
    my @cases   = @wild ? @wild[0, -1] : ();
    my @numbers = map { step($_) } grep { $_->[2] eq 'n' } @$calls;
    my @steps   = map { qq({"if": ["request_header", "x-case", "$_"], "then": [${\ step($cases[$_]) }]}) } 0 .. $#cases;
    return '{"on_request_headers": [' . join(', ', @steps, qq({"if": ["request_header", "x-numbers"], "then": [@{[join ', ', @numbers]}]})) . ']}';
}

my @env   = grep { $_->[0] ne 'proxy_close_stream' } map { hostile($_) } hostcalls('env');
my $steps = join ",\n", map { step($_) } @env;
my %wasi  = map { ($_->[0] => [hostile($_)]) } hostcalls('wasi');

# Where no number of four or eight bytes would be, below all that the guest has in its memory.
my $odd = join ', ', map { qq(["raw", $_]) }
    '"proxy_get_log_level", 1', '"proxy_get_current_time_nanoseconds", 3', '"proxy_get_header_map_size", 0, 5',
    '"proxy_get_header_map_pairs", 0, 7, 13', '"proxy_get_buffer_status", 7, 1, 6';

my @callbacks = qw(on_request_headers on_response_headers on_log);
my $zoo = open_zoo(
    plugins => {
        (map { ($_ => { script => qq({"$_": [$steps]}), options => 'callback_timeout=10s' }) } @callbacks, 'on_configure'),
        (map { ($_ => { script => wasi_script($wasi{$_}) }) } keys %wasi),
        odd => { script => qq({"on_request_headers": [$odd]}) },
    },
    http_config => "wasm_shared_data 64k; wasm_shared_queue 64k; wasm_metrics_zone 64k;\n",
);
$zoo->is_unharmed('with all of them loaded');

for my $callback (@callbacks) {
    subtest "the host in $callback" => sub {
        $zoo->server->mark_log;
        is $zoo->get("/$callback")->{status}, 200, 'the request is answered';
        ok $zoo->server->wait_for_log(qr/: \*\d+ raw \w/, count => scalar @env), 'after ' . @env . ' calls';
        my @results = map { /: \*\d+ raw (\w.*? -> \w+)/ } $zoo->lines(qr/ raw /);
        my @wrong   = grep { / -> OK/ } @results[grep { $env[$_][2] ne 'n' } 0 .. $#env];
        is_deeply \@wrong, [], 'none with a wild address succeeded';
        is $zoo->lines(qr/failed to call function/), 0, 'and none ended the instance';
        $zoo->is_unharmed('afterwards');
    };
}

subtest 'addresses that are not aligned' => sub {
    $zoo->server->mark_log;
    is $zoo->get('/odd')->{status}, 200, 'are addresses';
    is_deeply [map { /: \*\d+ raw \w.* -> (\w+)/ } $zoo->lines(qr/ raw /)], [('OK') x 5], 'as others';
    $zoo->is_unharmed('afterwards');
};

is $zoo->get('/on_configure')->{status}, 200, 'the host in on_configure, where there is no request';

for my $function (sort keys %wasi) {
    subtest "WASI's $function" => sub {
        like $zoo->get("/$function", 'X-Numbers' => 1)->{status}, qr/^(?:200|503)$/, 'with unknown numbers, returns or fails';
        for my $case (0, 1) {
            $zoo->server->mark_log;
            my $status = $zoo->get("/$function", 'X-Case' => $case)->{status};
            my ($result) = map { / raw \w.* -> (\w+)/ } $zoo->lines(qr/ raw /);
            # Nothing can be read, so nothing is written where the guest says.
            $result = 'EOF' if $function eq 'fd_read' && ($result // '') eq 'SUCCESS';
            ok $status == 503 && !defined $result || $status == 200 && ($result // '') ne 'SUCCESS',
                'with a wild address, fails: ' . ($result // $status)
                if grep { $_->[2] ne 'n' } @{ $wasi{$function} };
        }
        $zoo->is_unharmed('afterwards');
    };
}

$zoo->close;
done_testing;
