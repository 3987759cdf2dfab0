//! Spec v0.2.1, "Metrics".

use wasmtime::Linker;

use crate::proxy_wasm::abi::MetricType;
use crate::proxy_wasm::host::{Host, Metrics};
use crate::proxy_wasm::memory::{Guest, Result};
use crate::proxy_wasm::state::VmState;
use crate::wasm::memory::GuestBytes;

pub fn add_to_linker<H: Host>(linker: &mut Linker<VmState<H>>) -> wasmtime::Result<()> {
    hostcalls! { linker:
        "proxy_define_metric" (kind: i32, address: u32, size: u32, return_id: u32)
            => define_metric(kind, GuestBytes { address, size }, return_id);
        "proxy_get_metric" (id: u32, return_value: u32) => get_metric(id, return_value);
        "proxy_record_metric" (id: u32, value: u64) => record_metric(id, value);
        "proxy_increment_metric" (id: u32, offset: i64) => increment_metric(id, offset);
    }
    Ok(())
}

fn define_metric<H: Host>(guest: &mut Guest<'_, H>, kind: i32, name: GuestBytes, return_id: u32) -> Result {
    let kind = MetricType::try_from(kind)?;
    guest.check(return_id, 4)?;
    let (memory, state) = guest.split();
    let id = state.host.define_metric(kind, memory.bytes(name)?)?;
    guest.write_u32(return_id, id)
}

fn get_metric<H: Host>(guest: &mut Guest<'_, H>, id: u32, return_value: u32) -> Result {
    guest.check(return_value, 8)?;
    let value = guest.state().host.metric(id)?;
    guest.write_u64(return_value, value)
}

fn record_metric<H: Host>(guest: &mut Guest<'_, H>, id: u32, value: u64) -> Result {
    Ok(guest.state().host.record_metric(id, value)?)
}

fn increment_metric<H: Host>(guest: &mut Guest<'_, H>, id: u32, offset: i64) -> Result {
    Ok(guest.state().host.increment_metric(id, offset)?)
}
