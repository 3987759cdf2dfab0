# A plugin that says the same to the host again and again in one callback, which no limit forbids: the worker holds no more of it than
# of the last time.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';

# What the worker may need more, in kB. The address sanitizer keeps what was freed for a while.
use constant LITTLE => $ENV{TEST_NGINX_SANITIZED} ? 300_000 : 8_000;

# By what is said: the imports, the callback, how often it says so, and how.
my %said = (
    resume => {
        imports  => '(import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))',
        callback => 'response_headers',
        times    => 3_000_000,
        call     => '(drop (call $continue (i32.const 1)))',
    },
    tick => {
        imports  => '(import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))',
        callback => 'request_headers',
        times    => 1_000_000,
        call     => '(drop (call $tick (i32.const 1000000)))',
    },
    cancel => {
        imports => '
  (import "env" "proxy_grpc_stream" (func $stream (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_cancel" (func $cancel (param i32) (result i32)))',
        callback => 'request_headers',
        times    => 300_000,
        call     => '(drop (call $stream (i32.const 0) (i32.const 11) (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 3)
          (i32.const 0) (i32.const 0) (i32.const 16)))
        (drop (call $cancel (i32.load (i32.const 16))))',
    },
);

my @files = map { ["$_.wat", <<"WAT"] } sort keys %said;
(module
  $said{$_}{imports}
  (memory (export "memory") 1)
  (data (i32.const 0) "127.0.0.1:1")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_tick") (param i32))
  (func (export "proxy_on_$said{$_}{callback}") (param i32 i32 i32) (result i32) (local \$times i32)
    (loop \$again
        $said{$_}{call}
        (local.set \$times (i32.add (local.get \$times) (i32.const 1)))
        (br_if \$again (i32.lt_u (local.get \$times) (i32.const $said{$_}{times}))))
    (i32.const 0)))
WAT

my $zoo = open_zoo(
    plugins    => { map { ($_ => { file => "$_.wat", options => 'callback_timeout=60s' }) } keys %said },
    user_files => \@files,
    log_level  => 'error',
);
$zoo->is_unharmed('with all of them loaded');

sub peak {
    open my $status, '<', '/proc/' . $zoo->worker . '/status' or die "no worker: $!\n";
    my ($kilobytes) = join('', <$status>) =~ /^VmHWM:\s+(\d+) kB/m;
    return $kilobytes;
}

for my $what (sort keys %said) {
    subtest $what => sub {
        my $before = peak();
        is $zoo->get("/$what")->{body}, "$what\n", 'the request is answered';
        cmp_ok peak() - $before, '<', LITTLE, 'and the worker needed little memory for it (kB)';
        $zoo->is_unharmed('afterwards');
    };
}

$zoo->close;
done_testing;
