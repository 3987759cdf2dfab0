# A plugin that calls proc_exit: its instance is over, the worker is not.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Zoo qw(open_zoo bad_in);

my $command = <<'WAT';
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $exit (i32.const CODE)))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))
WAT

my %code = (0 => 0, 1 => 1, max => 4294967295);
my @callbacks = qw(on_context_create on_request_headers on_request_body on_response_headers on_response_body);
my $zoo = open_zoo(
    plugins => {
        (map { ("exit-$_" => { script => bad_in($_, '["exit", 7]') }) } @callbacks, 'on_log'),
        (map { ("code-$_" => { script => bad_in('on_request_headers', qq(["exit", $code{$_}])) }) } keys %code),
        configure => { script => '{"on_configure": [["exit", 1]]}' },
        raise     => { script => '{"on_request_headers": [["raw", "proc_raise", 9], ["raw", "proc_raise", 15]]}' },
        command   => { file => 'command.wat' },
        broken    => { file => 'broken.wat' },
    },
    user_files => [['command.wat', $command =~ s/CODE/0/r], ['broken.wat', $command =~ s/CODE/3/r]],
);

for my $callback (@callbacks) {
    subtest "exit in $callback" => sub {
        is $zoo->post("/exit-$callback", 'body', 'X-Bad' => 1)->{status}, 503, 'ends the request';
        is $zoo->lines(qr/\[error\].*proxy_$callback of plugin "exit-$callback" .*: it exited with code 7/), 1, 'and is told';
        $zoo->is_unharmed('afterwards');
        is $zoo->post("/exit-$callback", 'body')->{headers}{'x-zoo'}, 'alive', 'and the next request has a plugin that works';
    };
}

for (sort keys %code) {
    is $zoo->get("/code-$_", 'X-Bad' => 1)->{status}, 503, "any code ends the request: $code{$_}";
    is $zoo->get("/code-$_")->{headers}{'x-zoo'}, 'alive', 'and the next one works';
}

is $zoo->get('/exit-on_log', 'X-Bad' => 1)->{status}, 200, 'after the answer it changes nothing for the client';
is $zoo->get('/raise')->{status}, 200, 'a plugin has no signals to send';
is $zoo->get('/command')->{status}, 200, 'a command that ends with 0 has started';
is $zoo->get('/broken')->{status}, 503, 'one that ends with 3 has not';
is $zoo->get('/configure')->{status}, 503, 'nor has one that exits in on_configure';
$zoo->is_unharmed('in the end');
$zoo->close;
done_testing;
