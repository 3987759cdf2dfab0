//! Spec v0.2.1, "Logging".

use wasmtime::Linker;

use crate::proxy_wasm::abi::LogLevel;
use crate::proxy_wasm::host::{Host, Logging};
use crate::proxy_wasm::memory::{Guest, Result};
use crate::proxy_wasm::state::VmState;
use crate::wasm::memory::GuestBytes;

pub fn add_to_linker<H: Host>(linker: &mut Linker<VmState<H>>) -> wasmtime::Result<()> {
    hostcalls! { linker:
        "proxy_log" (level: i32, address: u32, size: u32) => log(level, GuestBytes { address, size });
        "proxy_get_log_level" (return_level: u32) => get_log_level(return_level);
    }
    Ok(())
}

fn log<H: Host>(guest: &mut Guest<'_, H>, level: i32, message: GuestBytes) -> Result {
    let level = LogLevel::try_from(level)?;
    let (memory, state) = guest.split();
    let message = memory.bytes(message)?;
    let (host, origin) = state.host_and_origin();
    if level >= host.log_level(origin.stream) {
        host.log(origin.stream, level, message);
    }
    Ok(())
}

fn get_log_level<H: Host>(guest: &mut Guest<'_, H>, return_level: u32) -> Result {
    let (mut memory, state) = guest.split();
    let (host, origin) = state.host_and_origin();
    Ok(memory.write_u32(return_level, host.log_level(origin.stream) as u32)?)
}
