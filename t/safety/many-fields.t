# A map of 40,000 fields, where a plugin may give one: what cannot be carried is refused, and nothing breaks of it.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo 'open_zoo';

# By function: its type, the arguments around the map (its address and size), the status that it answers.
my $map  = '(i32.const 4096) (i32.const 560004)';
my $none = '(i32.const 0) (i32.const 0)';
my $host = '(i32.const 0) (i32.const 1)';
my %call = (
    proxy_http_call => [10, "$host $map $none $none (i32.const 100) (i32.const 64)", 2],
    'proxy_http_call, trailers' => [10, "$host $none $none $map (i32.const 100) (i32.const 64)", 2],
    proxy_grpc_call => [12, "$host $host $host $map $none (i32.const 100) (i32.const 64)", 2],
    proxy_grpc_stream => [9, "$host $host $host $map (i32.const 64)", 2],
    proxy_set_header_map_pairs => [3, "(i32.const 0) $map", 0],
    'proxy_set_header_map_pairs, response' => [3, "(i32.const 2) $map", 0],
    proxy_send_local_response => [8, "(i32.const 200) $none $host $map (i32.const -1)", 0],
);

my (%plugins, @files);
for (sort keys %call) {
    my ($function) = /^(\w+)/;
    my ($count, $arguments) = @{ $call{$_} };
    (my $name = $_) =~ s/\W+/-/;
    $plugins{$name} = { file => "$name.wat" };
    push @files, ["$name.wat", <<"WAT"];
(module
  (import "env" "$function" (func \$call (param ${\ join ' ', ('i32') x $count }) (result i32)))
  (import "env" "proxy_log" (func \$log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 16)
  (data (i32.const 0) "h") (data (i32.const 16) "answered 00")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 600000))
  ;; The letter of four bits of a number.
  (func \$letter (param \$number i32) (param \$shift i32) (result i32)
    (i32.add (i32.const 97) (i32.and (i32.shr_u (local.get \$number) (local.get \$shift)) (i32.const 15))))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (local \$i i32) (local \$text i32)
    (i32.store (i32.const 4096) (i32.const 40000))
    (loop \$next
      (i64.store (i32.add (i32.const 4100) (i32.shl (local.get \$i) (i32.const 3))) (i64.const 4))
      (local.set \$text (i32.add (i32.const 324100) (i32.mul (local.get \$i) (i32.const 6))))
      (i32.store8 (local.get \$text) (call \$letter (local.get \$i) (i32.const 0)))
      (i32.store8 offset=1 (local.get \$text) (call \$letter (local.get \$i) (i32.const 4)))
      (i32.store8 offset=2 (local.get \$text) (call \$letter (local.get \$i) (i32.const 8)))
      (i32.store8 offset=3 (local.get \$text) (call \$letter (local.get \$i) (i32.const 12)))
      (local.set \$i (i32.add (local.get \$i) (i32.const 1)))
      (br_if \$next (i32.lt_u (local.get \$i) (i32.const 40000))))
    (i32.store8 (i32.const 26) (i32.add (i32.const 48) (call \$call $arguments)))
    (drop (call \$log (i32.const 2) (i32.const 16) (i32.const 11)))
    (i32.const 0)))
WAT
}

my $zoo = open_zoo(plugins => \%plugins, user_files => \@files);
$zoo->is_unharmed('with all of them loaded');

for (sort keys %call) {
    (my $name = $_) =~ s/\W+/-/;
    my $status = $call{$_}[2];
    subtest $_ => sub {
        $zoo->server->mark_log;
        $zoo->get("/$name");
        my @answered = map { /answered 0(\S)/ } $zoo->lines(qr/answered/);
        is_deeply \@answered, [$status], "answers status $status";
        $zoo->is_unharmed('afterwards');
    };
}

$zoo->close;
done_testing;
