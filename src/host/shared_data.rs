//! Spec, "Shared Key-Value Store": passes calls on to the zone of the shared data
//! ([`crate::shared`]).

use proxy_wasm_host::host::{Result, SharedData};

use crate::context::NginxHost;

impl SharedData for NginxHost {
    fn shared_data(&mut self, vm_id: &[u8], key: &[u8], value: &mut Vec<u8>) -> Result<u32> {
        Ok(self.shared.get()?.data.get(vm_id, key, value)?)
    }

    fn set_shared_data(&mut self, vm_id: &[u8], key: &[u8], value: &[u8], cas: u32) -> Result {
        let stores = self.shared.get()?;
        Ok(stores.data.set(vm_id, key, value, cas, stores.eviction)?)
    }
}
