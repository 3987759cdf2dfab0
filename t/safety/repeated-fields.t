# Fields of one name, or two, tens of thousands of times: the host does with them what is asked before the plugin's deadline, rather
# than look through all of them for each.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';

# By name: the two names that take turns in the map, which map it is or whether it is that of an answer, what is removed then.
my %map_of = (
    'one name that nginx keeps, in a request'  => ['cookie', 'cookie', 0],
    'one name that nginx keeps, in a response' => ['link',   'link',   2],
    'one name that nginx keeps, in an answer'  => ['link',   'link',   'answer'],
    'a name that a request has once'           => ['host',   'x-ab',   0],
    'one of two names, which is removed'       => ['x-ab',   'x-cd',   0, 'x-cd'],
    'one of two names, removed from a response' => ['x-ab', 'x-cd', 2, 'x-cd'],
);

my ($count, $texts) = (80_000, 4096 + 4 + 8 * 80_000);
my (%plugins, %about, @files);
for (sort keys %map_of) {
    my ($even, $odd, $map, $removed) = @{ $map_of{$_} };
    my ($even_size, $odd_size) = (length $even, length $odd);
    my $size = 4 + $count * 8 + $count / 2 * ($even_size + $odd_size + 4);
    my $set = $map eq 'answer'
        ? "(call \$send (i32.const 200) @{['(i32.const 0) ' x 4]} (i32.const 4096) (i32.const $size) (i32.const -1))"
        : "(call \$set (i32.const $map) (i32.const 4096) (i32.const $size))";
    my $remove = $removed
        ? "(drop (call \$remove (i32.const $map) (i32.const 1024) (i32.const @{[length $removed]})))" : '';
    my $name = 'map' . keys %plugins;
    ($plugins{$name}, $about{$name}) = ({ file => "$name.wat", options => 'callback_timeout=3s' }, $_);
    push @files, ["$name.wat", <<"WAT"];
(module
  (import "env" "proxy_set_header_map_pairs" (func \$set (param i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func \$send (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_remove_header_map_value" (func \$remove (param i32 i32 i32) (result i32)))
  (import "env" "proxy_log" (func \$log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 40)
  (data (i32.const 0) "$even") (data (i32.const 512) "$odd") (data (i32.const 1024) "@{[$removed // '']}")
  (data (i32.const 2048) "answered 0")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 0))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (local \$i i32) (local \$text i32) (local \$name i32) (local \$length i32)
    (i32.store (i32.const 4096) (i32.const $count))
    (local.set \$text (i32.const $texts))
    (loop \$next
      (local.set \$name (i32.shl (i32.and (local.get \$i) (i32.const 1)) (i32.const 9)))
      (local.set \$length (select (i32.const $odd_size) (i32.const $even_size) (local.get \$name)))
      (i64.store (i32.add (i32.const 4100) (i32.shl (local.get \$i) (i32.const 3))) (i64.extend_i32_u (local.get \$length)))
      (memory.copy (local.get \$text) (local.get \$name) (local.get \$length))
      (local.set \$text (i32.add (local.get \$text) (i32.add (local.get \$length) (i32.const 2))))
      (local.set \$i (i32.add (local.get \$i) (i32.const 1)))
      (br_if \$next (i32.lt_u (local.get \$i) (i32.const $count))))
    (i32.store8 (i32.const 2057) (i32.add (i32.const 48) $set))
    $remove
    ;; Where the deadline is looked at.
    (loop \$once (br_if \$once (i32.const 0)))
    (drop (call \$log (i32.const 2) (i32.const 2048) (i32.const 10)))
    (i32.const 0)))
WAT
}

my $zoo = open_zoo(plugins => \%plugins, user_files => \@files);
$zoo->is_unharmed('with all of them loaded');

for my $name (sort keys %about) {
    subtest $about{$name} => sub {
        $zoo->server->mark_log;
        $zoo->get("/$name");
        my @answered = map { /answered (\S)/ } $zoo->lines(qr/answered/);
        is_deeply \@answered, [0], 'is done in time';
        $zoo->is_unharmed('afterwards');
    };
}

$zoo->close;
done_testing;
