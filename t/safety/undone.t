# Plugins that put off the end of their contexts: for ever, or for so many that it takes long to end them all at once.

use lib '.';
use t::ProxyWasm;
use JSON::PP qw(decode_json);
use ProxyWasm::Connection;
use ProxyWasm::Zoo qw(open_zoo);

# As many as wait, of proxy-wasm-host/src/limits.rs; and requests past that.
use constant { PENDING => 16 << 10, BATCH => 100 };

# Contexts whose ends, each in good time, take many times the deadline together.
use constant SLOW => 100;

my $never = <<'WAT';
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_done") (param $context i32) (result i32)
    (i32.eq (local.get $context) (i32.const 1))))
WAT

# The requests of one place leave their contexts, and one of the other ends them all.
my $late = <<'WAT';
(module
  (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
  (import "env" "proxy_done" (func $done (result i32)))
  (memory (export "memory") 1)
  (global $parent (mut i32) (i32.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func $time (result i64)
    (drop (call $now (i32.const 0)))
    (i64.load (i32.const 0)))
  (func (export "proxy_on_context_create") (param $context i32) (param $parent i32)
    (global.set $parent (local.get $parent)))
  (func (export "proxy_on_request_headers") (param $context i32) (param i32 i32) (result i32)
    (if (i32.eq (global.get $parent) (i32.const PARENT)) (then
      (loop $next
        (local.set $context (i32.sub (local.get $context) (i32.const 1)))
        (drop (call $effective (local.get $context)))
        (drop (call $done))
        (br_if $next (i32.gt_u (local.get $context) (i32.const 3))))))
    (i32.const 0))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 0))
  (func (export "proxy_on_log") (param i32) (local $end i64)
    (local.set $end (i64.add (call $time) (i64.const 30000000)))
    (loop $wait (br_if $wait (i64.lt_u (call $time) (local.get $end))))))
WAT
# The place of `config` comes first.
$late =~ s/PARENT/1/;

my $zoo = open_zoo(
    log_level  => 'error',
    plugins    => { never => { file => 'never.wat' }, late => { file => 'late.wat', options => 'callback_timeout=200ms' } },
    user_files => [['never.wat', $never], ['late.wat', $late]],
    config     => <<'E',
    keepalive_requests 1000000;
    location = /end { proxy_wasm late; return 200 "end\n"; }
    location = /status { wasm_status; }
E
);

sub contexts_of {
    my ($name) = @_;
    my $status = decode_json($zoo->get('/status')->{body});
    return (map { $_->{http_contexts} } grep { $_->{name} eq $name } @{ $status->{plugins} })[0];
}

# So many requests on one connection, by batches; answers how many were served.
sub send_many {
    my ($path, $count) = @_;
    my $connection = ProxyWasm::Connection->new(port => $zoo->server->port);
    my $ok = 0;
    for (1 .. $count / BATCH) {
        $connection->send_bytes("GET $path HTTP/1.1\r\nHost: localhost\r\n\r\n" x BATCH);
        $ok += $connection->read_response->{status} == 200 for 1 .. BATCH;
    }
    $connection->close;
    return $ok;
}

subtest 'a plugin that is never done' => sub {
    my $count = (int(PENDING / BATCH) + 2) * BATCH;
    is send_many('/never', $count), $count, 'serves all requests';
    is contexts_of('never'), PENDING, 'and only so many of their contexts wait';
    my ($told) = $zoo->lines(qr/contexts wait/);
    like $told, qr/${\PENDING} contexts wait for proxy_done, more end without it, plugin: never/, 'which the log says';
    $zoo->is_unharmed('afterwards');
};

subtest 'one that ends many at once' => sub {
    is send_many('/late', SLOW), SLOW, 'serves all requests';
    is contexts_of('late'), SLOW, 'and their contexts wait';
    $zoo->server->mark_log;
    $zoo->get('/end');
    is $zoo->lines(qr/function: proxy_on_log of plugin "late".*it ran past its timeout/), 1, 'has one deadline for all of them';
    $zoo->is_unharmed('afterwards');
};

$zoo->close;
done_testing;
