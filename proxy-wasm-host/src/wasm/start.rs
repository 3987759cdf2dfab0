//! The functions that start an instance.

use wasmtime::{Instance, Store};

use super::prepare::START;
use super::wasi::ProcExit;

/// What the log calls the start section.
pub const START_SECTION: &str = "the start section";

/// Calls `_initialize`, and then `main` if there is one; else calls `_start`. A start section runs
/// before all of them: its function is called here, because in an instance that is restored from an
/// image it must not run.
///
/// # Errors
/// The name of the function that failed, and how.
pub fn run<T: 'static>(instance: &Instance, store: &mut Store<T>) -> Result<(), (&'static str, wasmtime::Error)> {
    if let Ok(start) = instance.get_typed_func::<(), ()>(&mut *store, START) {
        start.call(&mut *store, ()).map_err(|error| (START_SECTION, error))?;
    }
    if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, "_initialize") {
        returned("_initialize", initialize.call(&mut *store, ()))?;
        if let Ok(main) = instance.get_typed_func::<(u32, u32), u32>(&mut *store, "main") {
            returned("main", main.call(&mut *store, (0, 0)))?;
        }
    } else if let Ok(start) = instance.get_typed_func::<(), ()>(&mut *store, "_start") {
        returned("_start", start.call(&mut *store, ()))?;
    }
    Ok(())
}

/// A start function may leave by `proc_exit(0)`, as a WASI command does when its `main` has
/// returned.
fn returned<R>(function: &'static str, result: wasmtime::Result<R>) -> Result<(), (&'static str, wasmtime::Error)> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.downcast_ref(), Some(ProcExit(0))) => Ok(()),
        Err(error) => Err((function, error)),
    }
}
