//! Spec v0.2.1, "Shared Key-Value Store".

use wasmtime::Linker;

use crate::proxy_wasm::host::{Host, SharedData};
use crate::proxy_wasm::memory::{Guest, Result, ReturnBytes};
use crate::proxy_wasm::state::VmState;
use crate::wasm::memory::GuestBytes;

pub fn add_to_linker<H: Host>(linker: &mut Linker<VmState<H>>) -> wasmtime::Result<()> {
    hostcalls! { linker:
        "proxy_get_shared_data" (key: u32, key_size: u32, data: u32, size: u32, return_cas: u32)
            => get_shared_data(GuestBytes { address: key, size: key_size }, ReturnBytes { data, size }, return_cas);
        "proxy_set_shared_data" (key: u32, key_size: u32, value: u32, value_size: u32, cas: u32)
            => set_shared_data(
                GuestBytes { address: key, size: key_size },
                GuestBytes { address: value, size: value_size },
                cas
            );
    }
    Ok(())
}

fn get_shared_data<H: Host>(guest: &mut Guest<'_, H>, key: GuestBytes, out: ReturnBytes, return_cas: u32) -> Result {
    guest.check_return(out)?;
    guest.check(return_cas, 4)?;
    let mut cas = 0;
    guest.give_copy(out, |value, memory, state| {
        let (key, vm_id) = (memory.bytes(key)?, state.plugin.vm_id.as_bytes());
        cas = state.host.shared_data(vm_id, key, value)?;
        Ok(())
    })?;
    guest.write_u32(return_cas, cas)
}

fn set_shared_data<H: Host>(guest: &mut Guest<'_, H>, key: GuestBytes, value: GuestBytes, cas: u32) -> Result {
    let (memory, state) = guest.split();
    let (key, value) = (memory.bytes(key)?, memory.bytes(value)?);
    Ok(state.host.set_shared_data(state.plugin.vm_id.as_bytes(), key, value, cas)?)
}
