//! Spec v0.2.1, "Clocks".

use wasmtime::Linker;

use crate::proxy_wasm::host::{Clocks, Host};
use crate::proxy_wasm::memory::{Guest, Result};
use crate::proxy_wasm::state::VmState;

pub fn add_to_linker<H: Host>(linker: &mut Linker<VmState<H>>) -> wasmtime::Result<()> {
    hostcalls! { linker:
        "proxy_get_current_time_nanoseconds" (return_time: u32) => get_current_time_nanoseconds(return_time);
    }
    Ok(())
}

fn get_current_time_nanoseconds<H: Host>(guest: &mut Guest<'_, H>, return_time: u32) -> Result {
    let (mut memory, state) = guest.split();
    Ok(memory.write_u64(return_time, state.host.now())?)
}
