;; Calls callbacks that follow each other, in one crossing into the guest. See joined.rs.
(module $joined_callbacks
  (import "plugin" "proxy_on_context_create" (func $context_create (param i32 i32)))
  (import "plugin" "proxy_on_request_headers" (func $request_headers (param i32 i32 i32) (result i32)))
  (import "plugin" "proxy_on_done" (func $done (param i32) (result i32)))
  (import "plugin" "proxy_on_log" (func $log (param i32)))
  (import "plugin" "proxy_on_delete" (func $delete (param i32)))

  ;; The number of callbacks that have returned, which tells the host which one did not.
  (global $returned (export "returned") (mut i32) (i32.const 0))
  ;; The host sets this when a callback changes the effective context: the next one needs the old.
  (global $apart (export "apart") (mut i32) (i32.const 0))

  ;; Returns the 32 bits of proxy_on_request_headers; -1 if the host has to call it.
  (func (export "begin")
    (param $id i32) (param $parent i32) (param $num_headers i32) (param $end_of_stream i32) (result i64)
    (global.set $apart (i32.const 0))
    (global.set $returned (i32.const 0))
    (call $context_create (local.get $id) (local.get $parent))
    (global.set $returned (i32.const 1))
    (if (global.get $apart) (then (return (i64.const -1))))
    (i64.extend_i32_u
      (call $request_headers (local.get $id) (local.get $num_headers) (local.get $end_of_stream))))

  ;; Returns how many of the three have run; 0 if proxy_on_done returned false.
  (func (export "end") (param $id i32) (result i32)
    (global.set $apart (i32.const 0))
    (global.set $returned (i32.const 0))
    (if (i32.eqz (call $done (local.get $id))) (then (return (i32.const 0))))
    (global.set $returned (i32.const 1))
    (if (global.get $apart) (then (return (i32.const 1))))
    (call $log (local.get $id))
    (global.set $returned (i32.const 2))
    (if (global.get $apart) (then (return (i32.const 2))))
    (call $delete (local.get $id))
    (i32.const 3)))
