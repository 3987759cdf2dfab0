//! Test guests, as text: plugins that log the callbacks they get, with the context, and do what a
//! test needs.

/// The parameters and results of each callback that a guest can have.
const CALLBACKS: &[(&str, usize, usize)] = &[
    ("proxy_on_context_create", 2, 0),
    ("proxy_on_vm_start", 2, 1),
    ("proxy_on_configure", 2, 1),
    ("proxy_on_tick", 1, 0),
    ("proxy_on_done", 1, 1),
    ("proxy_on_log", 1, 0),
    ("proxy_on_delete", 1, 0),
    ("proxy_on_request_headers", 3, 1),
    ("proxy_on_request_body", 3, 1),
    ("proxy_on_request_trailers", 2, 1),
    ("proxy_on_response_headers", 3, 1),
    ("proxy_on_response_body", 3, 1),
    ("proxy_on_response_trailers", 2, 1),
    ("proxy_on_http_call_response", 5, 0),
    ("proxy_on_grpc_receive_initial_metadata", 3, 0),
    ("proxy_on_grpc_receive", 3, 0),
    ("proxy_on_grpc_receive_trailing_metadata", 3, 0),
    ("proxy_on_grpc_close", 3, 0),
    ("proxy_on_queue_ready", 2, 0),
    ("proxy_on_foreign_function", 3, 0),
];

/// The host functions that a guest imports, and the exports that every guest has.
const PRELUDE: &str = r#"
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_done" (func $done (result i32)))
    (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
    (import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "echo")
    (global $free (mut i32) (i32.const 8192))
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
        (global.get $free)
        (global.set $free (i32.add (global.get $free) (local.get $size))))
    ;; Asks the host for something, which a test can make it do anything in.
    (func $echo
        (drop (call $foreign (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 12))))
    ;; Logs a text that ends in a digit, with the digit set.
    (func $say (param $text i32) (param $size i32) (param $digit i32)
        (i32.store8
            (i32.sub (i32.add (local.get $text) (local.get $size)) (i32.const 1))
            (i32.add (i32.const 48) (local.get $digit)))
        (drop (call $log (i32.const 2) (local.get $text) (local.get $size))))
"#;

/// The text of a plugin with the given callbacks: names without `proxy_on_`, each with its code.
/// The context id is `(local.get 0)`; the code of a callback with a result must leave one.
pub fn guest(callbacks: &[(&str, &str)]) -> String {
    let mut module = format!("(module {PRELUDE}");
    for (index, (name, body)) in callbacks.iter().enumerate() {
        let name = format!("proxy_on_{name}");
        let (_, params, results) = CALLBACKS.iter().find(|(known, ..)| *known == name).expect("a callback");
        let text = 1024 + 64 * index;
        let size = name.len() + 2;
        module += &format!(
            r#"
            (data (i32.const {text}) "{name} ?")
            (func (export "{name}") {params} {results}
                (call $say (i32.const {text}) (i32.const {size}) (local.get 0))
                {body})"#,
            params = "(param i32) ".repeat(*params),
            results = if *results == 1 { "(result i32)" } else { "" },
        );
    }
    module + ")"
}

/// The text of a plugin that has every callback and always agrees and continues, with the given
/// changes.
pub fn guest_but(changes: &[(&str, &str)]) -> String {
    let all: Vec<_> = CALLBACKS
        .iter()
        .map(|(name, _, results)| {
            let name = &name["proxy_on_".len()..];
            let default = match (*results, name) {
                (0, _) => "",
                (_, "vm_start" | "configure" | "done") => "(i32.const 1)",
                _ => "(i32.const 0)",
            };
            let change = changes.iter().find(|(changed, _)| *changed == name);
            (name, change.map_or(default, |(_, body)| body))
        })
        .collect();
    guest(&all)
}
