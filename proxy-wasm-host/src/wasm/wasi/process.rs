//! The guest as a process: it can end itself, and nothing else.

use std::fmt;

use wasmtime::Linker;

use super::{Errno, Version};

/// The guest called `proc_exit`, with this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcExit(pub i32);

impl fmt::Display for ProcExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exited with code {}", self.0)
    }
}

impl std::error::Error for ProcExit {}

pub fn add_to_linker<T: 'static>(linker: &mut Linker<T>, version: Version) -> wasmtime::Result<()> {
    let module = version.module;
    linker.func_wrap(module, "proc_exit", |code: i32| -> wasmtime::Result<()> { Err(ProcExit(code).into()) })?;
    linker.func_wrap(module, "proc_raise", |_signal: i32| Errno::Notsup as i32)?;
    // There is no other thread that could run.
    linker.func_wrap(module, "sched_yield", || Errno::Success as i32)?;
    Ok(())
}
