;; Computes: FNV-1a over 1 MiB of its memory for every request.
(module
  (memory (export "memory") 17)
  (func (export "proxy_abi_version_0_2_1"))
  (global $sink (mut i32) (i32.const 0))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (local $hash i32) (local $at i32)
    (local.set $hash (i32.const 0x811c9dc5))
    (loop $next
      (local.set $hash
        (i32.mul
          (i32.xor (local.get $hash) (i32.load8_u (local.get $at)))
          (i32.const 0x01000193)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 1048576))))
    (global.set $sink (local.get $hash))
    (i32.const 0)))
