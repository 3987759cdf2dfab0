//! Spec, "Shared Key-Value Store": passes calls on to the zone of the shared data
//! ([`crate::shared`]).

use std::time::Duration;

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

    fn set_expiring_shared_data(&mut self, vm_id: &[u8], key: &[u8], value: &[u8], cas: u32, ttl: Duration) -> Result {
        let stores = self.shared.get()?;
        Ok(stores.data.set_with_ttl(vm_id, key, value, cas, stores.eviction, Some(ttl))?)
    }

    fn delete_shared_data(&mut self, vm_id: &[u8], key: &[u8]) -> Result {
        Ok(self.shared.get()?.data.delete(vm_id, key)?)
    }

    fn shared_data_keys(
        &mut self,
        vm_id: &[u8],
        prefix: &[u8],
        cursor: u64,
        key: &mut dyn FnMut(&[u8]),
    ) -> Result<u64> {
        Ok(self.shared.get()?.data.keys(vm_id, prefix, cursor, key))
    }
}
