//! Spec v0.2.1, "Context lifecycle".

use wasmtime::Linker;

use crate::proxy_wasm::host::Host;
use crate::proxy_wasm::memory::{Guest, Result};
use crate::proxy_wasm::state::VmState;

pub fn add_to_linker<H: Host>(linker: &mut Linker<VmState<H>>) -> wasmtime::Result<()> {
    hostcalls! { linker:
        "proxy_done" () => done();
        "proxy_set_effective_context" (context_id: u32) => set_effective_context(context_id);
    }
    Ok(())
}

fn done<H: Host>(guest: &mut Guest<'_, H>) -> Result {
    Ok(guest.state().contexts.done()?)
}

fn set_effective_context<H: Host>(guest: &mut Guest<'_, H>, context_id: u32) -> Result {
    Ok(guest.state().contexts.set_effective(context_id)?)
}
