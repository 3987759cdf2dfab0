//! Environment variables and arguments: spec of Proxy-Wasm v0.2.1, "Environment variables". A guest
//! has no arguments.

use wasmtime::{Caller, Linker};

use super::{Errno, Result, Version, WasiHost, answer};
use crate::wasm::memory::LinearMemory;

/// The environment of a guest: each entry is `NAME=value`, ending in a NUL.
#[derive(Debug)]
pub struct Environment(Vec<Vec<u8>>);

impl Environment {
    pub fn new(variables: &[(String, String)]) -> Self {
        Self(variables.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect())
    }
}

pub fn add_to_linker<T: WasiHost>(linker: &mut Linker<T>, version: Version) -> wasmtime::Result<()> {
    let module = version.module;
    linker.func_wrap(module, "args_sizes_get", |caller: Caller<'_, T>, return_count: u32, return_size: u32| {
        answer(caller, |memory, _| write_sizes(memory, &[], return_count, return_size))
    })?;
    linker.func_wrap(module, "args_get", |caller: Caller<'_, T>, pointers: u32, text: u32| {
        answer(caller, |memory, _| write(memory, &[], pointers, text))
    })?;
    linker.func_wrap(module, "environ_sizes_get", |caller: Caller<'_, T>, return_count: u32, return_size: u32| {
        answer(caller, |memory, state| write_sizes(memory, &state.wasi().environment.0, return_count, return_size))
    })?;
    linker.func_wrap(module, "environ_get", |caller: Caller<'_, T>, pointers: u32, text: u32| {
        answer(caller, |memory, state| write(memory, &state.wasi().environment.0, pointers, text))
    })?;
    Ok(())
}

fn write_sizes(mut memory: LinearMemory<'_>, strings: &[Vec<u8>], return_count: u32, return_size: u32) -> Result {
    memory.check(return_size, 4)?;
    memory.write_u32(return_count, size(strings.len())?)?;
    Ok(memory.write_u32(return_size, size(strings.iter().map(Vec::len).sum())?)?)
}

/// Writes the strings one after another, and the address of each.
fn write(mut memory: LinearMemory<'_>, strings: &[Vec<u8>], mut pointers: u32, mut text: u32) -> Result {
    for string in strings {
        memory.write_u32(pointers, text)?;
        memory.write(text, string)?;
        pointers = pointers.checked_add(4).ok_or(Errno::Fault)?;
        text = text.checked_add(size(string.len())?).ok_or(Errno::Fault)?;
    }
    Ok(())
}

fn size(size: usize) -> Result<u32> {
    u32::try_from(size).map_err(|_| Errno::Inval)
}
