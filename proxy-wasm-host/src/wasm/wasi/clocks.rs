//! The clocks: spec of Proxy-Wasm v0.2.1, "Clocks", `wasi_snapshot_preview1.clock_time_get`.

use nix::sys::time::TimeSpec;
use nix::time::ClockId;
use wasmtime::{Caller, Linker};

use super::{Errno, Result, Version, WasiHost, answer};
use crate::wasm::memory::LinearMemory;

pub fn add_to_linker<T: WasiHost>(linker: &mut Linker<T>, version: Version) -> wasmtime::Result<()> {
    linker.func_wrap(version.module, "clock_res_get", |caller: Caller<'_, T>, clock: u32, return_time: u32| {
        answer(caller, |memory, _| read(memory, clock, ClockId::res, return_time))
    })?;
    linker.func_wrap(
        version.module,
        "clock_time_get",
        |caller: Caller<'_, T>, clock: u32, _precision: i64, return_time: u32| {
            answer(caller, |memory, _| read(memory, clock, ClockId::now, return_time))
        },
    )?;
    Ok(())
}

/// Writes a clock's time, in nanoseconds.
fn read(
    mut memory: LinearMemory<'_>,
    clock: u32,
    ask: impl FnOnce(ClockId) -> nix::Result<TimeSpec>,
    return_time: u32,
) -> Result {
    let clock = match clock {
        0 => ClockId::CLOCK_REALTIME,
        1 => ClockId::CLOCK_MONOTONIC,
        // CPU-time clocks would show the time of the worker's other plugins and requests.
        2 | 3 => return Err(Errno::Badf),
        _ => return Err(Errno::Inval),
    };
    memory.check(return_time, 8)?;
    let time = ask(clock).map_err(|_| Errno::Io)?;
    let (seconds, nanoseconds) = (time.tv_sec().unsigned_abs(), time.tv_nsec().unsigned_abs());
    Ok(memory.write_u64(return_time, seconds.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds))?)
}
