//! The zones of [`proxy_wasm_host::shared`] in nginx's shared memory.
//!
//! A zone is requested while nginx reads `http`, allocated by nginx at the end of the
//! configuration, and opened by the master before it forks, so no worker can die while a zone is
//! being formatted. A reload that does not change a zone's size keeps its contents.

pub mod counters;
pub mod definer;
pub mod loads;

use std::cell::OnceCell;

use ngx_bindings::Conf;
use ngx_bindings::shm::ShmZone;
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::shared::{Eviction, Lock, Memory, Metrics, SharedData, SharedQueues};

use super::conf::ZoneSettings;
use super::identity::main_module;

/// The zones that all workers of one configuration share.
#[derive(Default)]
pub struct Shared {
    zones: OnceCell<Zones>,
    stores: OnceCell<Stores>,
}

struct Zones {
    data: ShmZone,
    queues: ShmZone,
    metrics: ShmZone,
    eviction: Eviction,
}

/// The stores in the zones.
pub struct Stores {
    /// Spec, "Shared Key-Value Store".
    pub data: SharedData<ZoneLock>,
    /// Whether items are evicted when the shared data is full.
    pub eviction: Eviction,
    /// Spec, "Shared Queues".
    pub queues: SharedQueues<ZoneLock>,
    /// Spec, "Metrics", and the module's own metrics.
    pub metrics: Metrics<ZoneLock>,
}

impl Shared {
    /// Requests the zones from nginx.
    pub fn declare(&self, cf: Conf, settings: &ZoneSettings) -> Result<(), String> {
        let add = |name: &'static str, size: usize| {
            let zone = cf.add_shared_memory(name.as_bytes(), size, main_module());
            zone.map_err(|_| format!("proxy_wasm: there is no shared memory for \"{name}\""))
        };
        let zones = Zones {
            data: add("proxy_wasm_shared_data", settings.data())?,
            queues: add("proxy_wasm_shared_queue", settings.queues())?,
            metrics: add("proxy_wasm_metrics", settings.metrics())?,
            eviction: settings.eviction,
        };
        // Set once: there is one `http` block, and it is read once.
        let _ = self.zones.set(zones);
        Ok(())
    }

    /// Returns the stores; `None` before nginx has allocated the zones, as in `init_by_lua`.
    pub fn stores(&self) -> Option<&Stores> {
        if let Some(stores) = self.stores.get() {
            return Some(stores);
        }
        let stores = self.zones.get()?.open()?;
        Some(self.stores.get_or_init(|| stores))
    }

    /// As [`Self::stores`], for a host function: without the zones it logs an error.
    pub fn get(&self) -> Result<&Stores, Status> {
        self.stores().ok_or_else(|| {
            tracing::error!("what workers share exists in workers only, not while nginx reads its configuration");
            Status::InternalFailure
        })
    }
}

impl Zones {
    fn open(&self) -> Option<Stores> {
        // SAFETY: the stores belong to the configuration that asked for the zones.
        let memory = |zone: ShmZone| Memory::new(unsafe { zone.words() });
        Some(Stores {
            data: SharedData::open(memory(self.data), ZoneLock(self.data))?,
            eviction: self.eviction,
            queues: SharedQueues::open(memory(self.queues), ZoneLock(self.queues))?,
            metrics: Metrics::open(memory(self.metrics), ZoneLock(self.metrics))?,
        })
    }
}

/// nginx's mutex of one zone.
#[derive(Clone, Copy)]
pub struct ZoneLock(ShmZone);

impl Lock for ZoneLock {
    #[inline]
    fn lock(&self) {
        self.0.lock();
    }

    #[inline]
    fn unlock(&self) {
        self.0.unlock();
    }
}
