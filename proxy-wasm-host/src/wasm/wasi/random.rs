//! Random numbers, from the kernel. A generator in this process, made before nginx forks, would
//! return the same numbers in every worker.

use wasmtime::{Caller, Linker};

use super::{Errno, Result, Version, WasiHost, answer};
use crate::limits::wasi::RANDOM;
use crate::wasm::memory::{GuestBytes, LinearMemory};

pub fn add_to_linker<T: WasiHost>(linker: &mut Linker<T>, version: Version) -> wasmtime::Result<()> {
    linker.func_wrap(version.module, "random_get", |caller: Caller<'_, T>, address: u32, size: u32| {
        answer(caller, |memory, state| {
            state.wasi().drew_random = true;
            fill(memory, address, size)
        })
    })?;
    Ok(())
}

fn fill(mut memory: LinearMemory<'_>, address: u32, size: u32) -> Result {
    let bytes = memory.bytes_mut(GuestBytes { address, size })?;
    if size > RANDOM {
        return Err(Errno::Inval);
    }
    getrandom::fill(bytes).map_err(|_| Errno::Io)
}
