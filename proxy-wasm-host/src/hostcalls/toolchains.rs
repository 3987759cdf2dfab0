//! Functions that compilers import from `env` outside the ABI: real plugins import them, and the
//! reference host or the compilers' own runtimes define them.

use wasmtime::{Caller, Linker, bail};

use crate::host::Host;
use crate::state::VmState;

/// The names of these functions.
pub const NAMES: &[&str] = &["abort", "emscripten_notify_memory_growth", "pthread_equal"];

pub fn add_to_linker<H: Host>(linker: &mut Linker<VmState<H>>) -> wasmtime::Result<()> {
    // Emscripten's libc++ compares threads; a plugin has one thread only.
    linker.func_wrap("env", "pthread_equal", |left: i32, right: i32| i32::from(left == right))?;
    // Emscripten tells its JavaScript that the memory has moved; this host looks up the memory
    // again anyway.
    linker.func_wrap("env", "emscripten_notify_memory_growth", |_memory: i32| {})?;
    linker.func_wrap("env", "abort", abort::<H>)?;
    Ok(())
}

/// AssemblyScript's `abort(message, file, line, column)`, for a plugin that is not built with
/// `--use abort=…`. The two texts are UTF-16 in a heap whose layout depends on the compiler's
/// version, so only line and column are shown.
fn abort<H: Host>(
    _: Caller<'_, VmState<H>>,
    _message: u32,
    _file: u32,
    line: u32,
    column: u32,
) -> wasmtime::Result<()> {
    bail!("abort at line {line}, column {column}")
}

#[cfg(test)]
mod tests {
    use crate::local::LocalStream;
    use crate::local::probe::{Probe, link};

    #[test]
    fn plugins_of_emscripten_and_assemblyscript_link_and_an_abort_is_a_trap() {
        let plugin = link(
            r#"(module
                (import "env" "pthread_equal" (func (param i32 i32) (result i32)))
                (import "env" "emscripten_notify_memory_growth" (func (param i32)))
                (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
                (memory (export "memory") 1)
                (func (export "proxy_abi_version_0_2_0"))
                (func (export "abort") (result i32)
                    (call $abort (i32.const 0) (i32.const 0) (i32.const 12) (i32.const 3)) (i32.const 0)))"#,
        );
        let mut probe = Probe::of(&plugin.unwrap(), LocalStream::default());
        let error = probe.try_call("abort", &[]).unwrap_err();
        assert_eq!(error.root_cause().to_string(), "abort at line 12, column 3");
    }
}
