//! Random numbers, from the kernel: a generator of our own that begins before nginx forks would go on in every worker with the same
//! numbers.

use wasmtime::{Caller, Linker};

use super::{Errno, Result, Version, WasiHost, answer};
use crate::wasm::memory::{GuestBytes, LinearMemory};

/// Bytes of one call, some milliseconds: a guest can be interrupted between calls, not in one.
const RANDOM: u32 = 1 << 20;

pub fn add_to_linker<T: WasiHost>(linker: &mut Linker<T>, version: Version) -> wasmtime::Result<()> {
    linker.func_wrap(version.module, "random_get", |caller: Caller<'_, T>, address: u32, size: u32| {
        answer(caller, |memory, _| fill(memory, address, size))
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
