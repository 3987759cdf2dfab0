;; The work that the budgets are about: reads one field of the request and adds one to the response, with every callback of an
;; HTTP context's life.
(module
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "user-agent")
  (data (i32.const 16) "x-plugin")
  (data (i32.const 32) "yes")
  (func (export "proxy_abi_version_0_2_1"))
  ;; Every value in the same place: this guest reads one at a time.
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (call $get (i32.const 0) (i32.const 0) (i32.const 10) (i32.const 64) (i32.const 68))
    (if (then (unreachable)))
    (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (call $add (i32.const 2) (i32.const 16) (i32.const 8) (i32.const 32) (i32.const 3))
    (if (then (unreachable)))
    (i32.const 0))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_log") (param i32))
  (func (export "proxy_on_delete") (param i32)))
