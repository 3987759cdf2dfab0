# Plugins that find their contexts by root id, as those of two SDKs do.
package ProxyWasm::RootId;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(rooted);

# rooted($id, ends => …): the text of a plugin whose contexts are registered for $id. They add
# `x-root`, with the id that the plugin asked for, to each response. With another id the plugin does
# nothing, as of the C++ SDK; or it logs and ends itself, as of the AssemblyScript SDK.
sub rooted {
    my ($id, %o) = @_;
    my $size = length $id;
    my $otherwise = $o{ends} ? '(drop (call $log (i32.const 5) (i32.const 32) (i32.const 10))) (call $exit (i32.const 255))' : '';
    return qq{(module
        (import "env" "proxy_get_property" (func \$get (param i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_log" (func \$log (param i32 i32 i32) (result i32)))
        (import "env" "proxy_add_header_map_value" (func \$add (param i32 i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func \$exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "plugin_root_id")
        (data (i32.const 16) "x-root")
        (data (i32.const 32) "no factory")
        (data (i32.const 128) "$id")
        (global \$own (mut i32) (i32.const 0))
        (global \$next (mut i32) (i32.const 4096))
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param \$size i32) (result i32)
            (global.get \$next)
            (global.set \$next (i32.add (global.get \$next) (local.get \$size))))
        ;; Whether the id at 64, with its size at 68, is the plugin's.
        (func \$is_own (result i32) (local \$at i32)
            (if (i32.ne (i32.load (i32.const 68)) (i32.const $size)) (then (return (i32.const 0))))
            (block \$end (loop \$next
                (br_if \$end (i32.eq (local.get \$at) (i32.const $size)))
                (if (i32.ne
                    (i32.load8_u (i32.add (i32.load (i32.const 64)) (local.get \$at)))
                    (i32.load8_u offset=128 (local.get \$at))) (then (return (i32.const 0))))
                (local.set \$at (i32.add (local.get \$at) (i32.const 1)))
                (br \$next)))
            (i32.const 1))
        (func (export "proxy_on_context_create") (param \$id i32) (param \$parent i32)
            (if (i32.eqz (local.get \$parent)) (then
                (if (call \$get (i32.const 0) (i32.const 14) (i32.const 64) (i32.const 68)) (then unreachable))
                (global.set \$own (call \$is_own))
                (if (i32.eqz (global.get \$own)) (then $otherwise)))))
        (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
            (if (global.get \$own) (then
                (drop (call \$add (i32.const 2) (i32.const 16) (i32.const 6) (i32.load (i32.const 64)) (i32.load (i32.const 68))))))
            (i32.const 0)))};
}

1;
