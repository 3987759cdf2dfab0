# A plugin whose proxy_on_memory_allocate lies: the host takes no address on trust.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo qw(open_zoo BRIEF);

# What each behaviour gives to a step that needs room, and to the request.
my %expected = (
    ok   => ['OK localhost', 200],
    grow => ['OK localhost', 200],
    null => ['INVALID_MEMORY_ACCESS', 200],
    wild => ['INVALID_MEMORY_ACCESS', 200],
    trap => [undef, 503],
);

my @needs_room = (
    '["get_header_map_value", "request", "host"]', '["get_header_map_pairs", "request"]',
    '["get_property", "host"]',                    '["get_buffer_bytes", "plugin_configuration"]',
    '["get_shared_data", "key"]',                  '["get_buffer_bytes", "request_body"]',
    '["call_foreign_function", "none", "x"]',      '["get_status"]',
);
sub script {
    my ($allocator) = @_;
    my $steps = join ', ', @needs_room;
    return qq({
        "on_configure": [["set_shared_data", "key", "value"]],
        "on_request_body": [
            {"if": ["request_header", "x-bad"], "then": [["allocator", "$allocator"], $steps, ["allocator", "ok"]]},
            ["get_header_map_value", "request", "host"]
        ]
    });
}

# Allocators only a .wat can have: one that answers the last byte of the memory, one that overlaps where the result's place is
# written, one that is no allocator at all.
my %wat = (
    edge    => '(func (export "malloc") (param i32) (result i32) (i32.const 65535))',
    negative => '(func (export "malloc") (param i32) (result i32) (i32.const -1))',
    overlap => '(func (export "malloc") (param i32) (result i32) (i32.const 62))',
    missing => '',
    wrong   => '(func (export "malloc") (param i64) (result i64) (i64.const 0))',
    loop    => '(func (export "malloc") (param i32) (result i32) (loop $a (br $a)) (i32.const 0))',
);
my %wat_status = (edge => 6, negative => 6, overlap => 0, missing => 6, wrong => 6, loop => 'trap');
my @files = map { ["$_.wat", <<"WAT"] } sort keys %wat;
(module
  (import "env" "proxy_get_property" (func \$get (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_log" (func \$log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "host") (data (i32.const 16) "status 0")
  (func (export "proxy_abi_version_0_2_1"))
  $wat{$_}
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (i32.store8 (i32.const 23)
      (i32.add (i32.const 48) (call \$get (i32.const 0) (i32.const 4) (i32.const 64) (i32.const 68))))
    (drop (call \$log (i32.const 2) (i32.const 16) (i32.const 8)))
    (i32.const 0)))
WAT

my $zoo = open_zoo(
    http_config => "wasm_shared_data 64k;\n",
    plugins => {
        (map { ("alloc-$_" => { script => script($_) }) } keys %expected),
        (map { ("wat-$_" => { file => "$_.wat", options => 'callback_timeout=' . BRIEF }) } keys %wat),
    },
    user_files => \@files,
);

for my $allocator (sort keys %expected) {
    my ($result, $status) = @{ $expected{$allocator} };
    subtest "an allocator that does $allocator" => sub {
        $zoo->server->mark_log;
        is $zoo->post("/alloc-$allocator", 'body', 'X-Bad' => 1)->{status}, $status, "the request gets $status";
        my ($first) = map { /get_header_map_value request host -> (.*?), client/ } $zoo->lines(qr/get_header_map_value/);
        is $first, $result, 'the host function answers by it';
        $zoo->is_unharmed('afterwards');
        $zoo->server->mark_log;
        is $zoo->post("/alloc-$allocator", 'body')->{status}, 200, 'the next request';
        is $zoo->lines(qr/get_header_map_value request host -> OK localhost/), 1, 'has a plugin that works';
    };
}

for my $allocator (sort keys %wat) {
    subtest "an allocator of the kind \"$allocator\"" => sub {
        $zoo->server->mark_log;
        my $status = $wat_status{$allocator};
        is $zoo->get("/wat-$allocator")->{status}, $status eq 'trap' ? 503 : 200, 'the request is answered';
        my @told = map { /status (\d)/ } $zoo->lines(qr/: \*\d+ status |\] .*status \d,/);
        is_deeply \@told, [$status eq 'trap' ? () : $status], "with status $status for the host function";
        $zoo->is_unharmed('afterwards');
    };
}

$zoo->close;
done_testing;
