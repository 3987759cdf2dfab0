# A plugin that makes the host keep things without end: header fields, variables. It is refused, and the worker
# holds little more than before.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';
use IO::Socket::INET;

# By what it floods: the import, and a call of it with 60,000 bytes.
my %flood = (
    'request-fields' => [
        '"proxy_add_header_map_value" (func $flood (param i32 i32 i32 i32 i32)',
        '(i32.const 0) (i32.const 0) (i32.const 3) (i32.const 16) (i32.const 60000)',
    ],
    'response-fields' => [
        '"proxy_add_header_map_value" (func $flood (param i32 i32 i32 i32 i32)',
        '(i32.const 2) (i32.const 0) (i32.const 3) (i32.const 16) (i32.const 60000)',
    ],
    'replaced-fields' => [
        '"proxy_replace_header_map_value" (func $flood (param i32 i32 i32 i32 i32)',
        '(i32.const 0) (i32.const 0) (i32.const 3) (i32.const 16) (i32.const 60000)',
    ],
    variables => [
        '"proxy_set_property" (func $flood (param i32 i32 i32 i32)',
        '(i32.const 0) (i32.const 3) (i32.const 16) (i32.const 60000)',
    ],
);

my @files = map { ["$_.wat", <<"WAT"] } sort keys %flood;
(module
  (import "env" $flood{$_}[0] (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "x-a")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (memory.fill (i32.const 16) (i32.const 65) (i32.const 60000))
    (loop \$again (br_if \$again (i32.eqz (call \$flood $flood{$_}[1]))))
    (i32.const 0)))
WAT

my $zoo = open_zoo(
    plugins => { map { ($_ => { file => "$_.wat", location => $_ eq 'variables' ? 'set $x-a "";' : '' }) } keys %flood },
    user_files => \@files,
    log_level  => 'error',
);
$zoo->is_unharmed('with all of them loaded');

sub peak {
    open my $status, '<', '/proc/' . $zoo->worker . '/status' or die "no worker: $!\n";
    my ($kilobytes) = join('', <$status>) =~ /^VmHWM:\s+(\d+) kB/m;
    return $kilobytes;
}

# The status of an answer, the rest of which may be large.
sub status {
    my ($path) = @_;
    my $sock = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $zoo->server->port, Timeout => 10) or die "connect: $!\n";
    print {$sock} "GET $path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    return (<$sock> // '') =~ m{^HTTP/1\.1 (\d+)} ? $1 : 'none';
}

for my $what (sort keys %flood) {
    subtest "a flood of $what" => sub {
        my $before = peak();
        is status("/$what"), 200, 'is refused before its time is over';
        is $zoo->lines(qr/\[error\].*plugins set more than \d+ bytes of fields and variables.*"GET .$what /), 1, 'in one error line';
        cmp_ok peak() - $before, '<', 64_000, 'costs the worker little memory (kB)';
        $zoo->is_unharmed('afterwards');
    };
}

$zoo->close;
done_testing;
