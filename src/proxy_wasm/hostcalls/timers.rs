//! Spec v0.2.1, "Timers".

use wasmtime::Linker;

use crate::proxy_wasm::host::{Host, Timers};
use crate::proxy_wasm::memory::{Guest, Result};
use crate::proxy_wasm::state::VmState;

pub fn add_to_linker<H: Host>(linker: &mut Linker<VmState<H>>) -> wasmtime::Result<()> {
    hostcalls! { linker:
        "proxy_set_tick_period_milliseconds" (period: u32) => set_tick_period_milliseconds(period);
    }
    Ok(())
}

/// A timer belongs to a plugin context; called in an HTTP context, it is that of its plugin context.
fn set_tick_period_milliseconds<H: Host>(guest: &mut Guest<'_, H>, period: u32) -> Result {
    let (host, origin) = guest.state().host_and_origin();
    Ok(host.set_tick_period(origin.plugin_context, period)?)
}
