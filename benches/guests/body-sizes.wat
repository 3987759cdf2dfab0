;; Looks at the sizes of a response's pieces.
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (global $size (mut i64) (i64.const 0))
  (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
    (global.set $size (i64.add (global.get $size) (i64.extend_i32_u (local.get 1))))
    (i32.const 0)))
