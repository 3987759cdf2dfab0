;; Nothing but proxy_on_request_headers, which reads one field: what has no other callback pays for no other.
(module
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "user-agent")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (call $get (i32.const 0) (i32.const 0) (i32.const 10) (i32.const 64) (i32.const 68))
    (if (then (unreachable)))
    (i32.const 0)))
