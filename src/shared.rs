//! The zones of [`proxy_wasm_host::shared`] in nginx: their directives' settings, their memory, and what is in them.
//!
//! A zone is asked for while `http` is read, made by nginx when all is read, and opened by the master before it forks, so that
//! no worker can die while a zone is formatted. A reload that does not change a zone's size keeps what is in it.

pub mod counters;
pub mod loads;
pub mod queue_events;

use std::cell::OnceCell;

use ngx_bindings::Conf;
use ngx_bindings::shm::{self, ShmZone};
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::config::units::parse_size;
use proxy_wasm_host::shared::{Eviction, Lock, Memory, Metrics, SharedData, SharedQueues};

use super::identity::main_module;

/// What a zone has when nobody says otherwise.
mod default {
    pub const DATA: usize = 16 << 20;
    pub const QUEUES: usize = 4 << 20;
    /// About 8,000 counters.
    pub const METRICS: usize = 1 << 20;
}

/// `wasm_shared_data`, `wasm_shared_queue`, `wasm_metrics_zone`.
#[derive(Default)]
pub struct Settings {
    data: Option<usize>,
    eviction: Eviction,
    queues: Option<usize>,
    metrics: Option<usize>,
}

impl Settings {
    /// `wasm_shared_data SIZE [evict=lru|none]`
    pub fn set_data(&mut self, args: &[&[u8]]) -> Result<(), String> {
        let (size, eviction) = match *args {
            [size] => (size, Eviction::default()),
            [size, b"evict=lru"] => (size, Eviction::LeastRecentlyUsed),
            [size, b"evict=none"] => (size, Eviction::None),
            _ => return Err("takes a size, and evict=lru or evict=none".to_owned()),
        };
        self.eviction = eviction;
        set_size(&mut self.data, size)
    }

    /// `wasm_shared_queue SIZE`
    pub fn set_queues(&mut self, size: &[u8]) -> Result<(), String> {
        set_size(&mut self.queues, size)
    }

    /// `wasm_metrics_zone SIZE`
    pub fn set_metrics(&mut self, size: &[u8]) -> Result<(), String> {
        set_size(&mut self.metrics, size)
    }
}

fn set_size(setting: &mut Option<usize>, size: &[u8]) -> Result<(), String> {
    let size = parse_size(&String::from_utf8_lossy(size)).map_err(|error| error.to_string())?;
    if size < shm::MIN_SIZE {
        return Err(format!("a zone of {size} bytes is too small; give it {}k or more", shm::MIN_SIZE >> 10));
    }
    match setting.replace(size) {
        None => Ok(()),
        Some(_) => Err("is duplicate".to_owned()),
    }
}

/// What the workers of one configuration share.
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

/// What is in the zones.
pub struct Stores {
    /// Spec, "Shared Key-Value Store".
    pub data: SharedData<ZoneLock>,
    /// What happens when it is full.
    pub eviction: Eviction,
    /// Spec, "Shared Queues".
    pub queues: SharedQueues<ZoneLock>,
    /// Spec, "Metrics", and the module's own.
    pub metrics: Metrics<ZoneLock>,
}

impl Shared {
    /// Asks nginx for the zones.
    pub fn declare(&self, cf: Conf, settings: &Settings) -> Result<(), String> {
        let add = |name: &'static str, size: usize| {
            let zone = cf.add_shared_memory(name.as_bytes(), size, main_module());
            zone.map_err(|_| format!("proxy_wasm: there is no shared memory for \"{name}\""))
        };
        let zones = Zones {
            data: add("proxy_wasm_shared_data", settings.data.unwrap_or(default::DATA))?,
            queues: add("proxy_wasm_shared_queue", settings.queues.unwrap_or(default::QUEUES))?,
            metrics: add("proxy_wasm_metrics", settings.metrics.unwrap_or(default::METRICS))?,
            eviction: settings.eviction,
        };
        // There is one `http` block, and it is read once.
        let _ = self.zones.set(zones);
        Ok(())
    }

    /// What is in the zones; nothing before nginx has made them, as in `init_by_lua`.
    pub fn stores(&self) -> Option<&Stores> {
        if let Some(stores) = self.stores.get() {
            return Some(stores);
        }
        let stores = self.zones.get()?.open()?;
        Some(self.stores.get_or_init(|| stores))
    }

    /// As [`Self::stores`], for a host function.
    pub fn get(&self) -> Result<&Stores, Status> {
        self.stores().ok_or_else(|| {
            tracing::error!("what workers share exists in workers only, not while nginx reads its configuration");
            Status::InternalFailure
        })
    }
}

impl Zones {
    fn open(&self) -> Option<Stores> {
        let memory = |zone: ShmZone| Memory::new(zone.words());
        Some(Stores {
            data: SharedData::open(memory(self.data), ZoneLock(self.data))?,
            eviction: self.eviction,
            queues: SharedQueues::open(memory(self.queues), ZoneLock(self.queues))?,
            metrics: Metrics::open(memory(self.metrics), ZoneLock(self.metrics))?,
        })
    }
}

/// nginx's mutex of a zone.
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
