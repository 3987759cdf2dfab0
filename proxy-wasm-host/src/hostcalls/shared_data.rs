//! Spec v0.2.1, "Shared Key-Value Store".

use crate::host::Host;
use crate::memory::{Guest, Result, ReturnBytes};
use crate::wasm::memory::GuestBytes;

hostcalls! {
    "proxy_get_shared_data" (key: u32, key_size: u32, data: u32, size: u32, return_cas: u32)
        => get_shared_data(GuestBytes { address: key, size: key_size }, ReturnBytes { data, size }, return_cas);
    "proxy_set_shared_data" (key: u32, key_size: u32, value: u32, value_size: u32, cas: u32)
        => set_shared_data(
            GuestBytes { address: key, size: key_size },
            GuestBytes { address: value, size: value_size },
            cas
        );
}

/// Why there is no image.
const SHARED_DATA: &str = "it used shared data while it started";

fn get_shared_data<H: Host>(guest: &mut Guest<'_, H>, key: GuestBytes, out: ReturnBytes, return_cas: u32) -> Result {
    guest.check(return_cas, 4)?;
    guest.state().obstruct(SHARED_DATA);
    let mut cas = 0;
    guest.give_copy(out, |value, memory, state| {
        let (key, vm_id) = (memory.bytes(key)?, state.plugin.vm_id.as_bytes());
        cas = state.host.shared_data(vm_id, key, value)?;
        Ok(())
    })?;
    guest.write_u32(return_cas, cas)
}

fn set_shared_data<H: Host>(guest: &mut Guest<'_, H>, key: GuestBytes, value: GuestBytes, cas: u32) -> Result {
    guest.state().obstruct(SHARED_DATA);
    let (memory, state) = guest.split();
    let (key, value) = (memory.bytes(key)?, memory.bytes(value)?);
    if state.is_rehearsal() {
        return Ok(());
    }
    Ok(state.host.set_shared_data(state.plugin.vm_id.as_bytes(), key, value, cas)?)
}

#[cfg(test)]
mod tests {
    use crate::abi::Status;
    use crate::local::probe::{OUT, Probe};

    #[test]
    fn values_are_shared_by_key_and_checked_by_cas() {
        let mut probe = Probe::without_request();
        let (key, value) = (probe.put("key"), probe.put("value"));
        let get = [key[0], key[1], OUT, OUT + 4, OUT + 8];
        assert_eq!(probe.call("proxy_get_shared_data", &get), Status::NotFound);
        assert_eq!(probe.call("proxy_set_shared_data", &[key[0], key[1], value[0], value[1], 0]), Status::Ok);
        assert_eq!(probe.call("proxy_get_shared_data", &get), Status::Ok);
        assert_eq!((probe.returned(), probe.number(OUT + 8)), (b"value".to_vec(), 1));
        assert_eq!(probe.call("proxy_set_shared_data", &[key[0], key[1], value[0], 0, 2]), Status::CasMismatch);
        assert_eq!(probe.call("proxy_set_shared_data", &[key[0], key[1], value[0], 0, 1]), Status::Ok);
        assert_eq!(probe.call("proxy_get_shared_data", &get), Status::Ok);
        assert_eq!((probe.returned(), probe.number(OUT + 8)), (Vec::new(), 2));
        assert!(probe.host.worker().shared_data.keys().all(|(vm_id, _)| vm_id == b"vm"));
    }
}
