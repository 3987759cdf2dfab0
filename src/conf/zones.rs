//! The sizes of the shared zones: `wasm_shared_data`, `wasm_shared_queue`, `wasm_metrics_zone`.

use ngx_bindings::shm;
use proxy_wasm_host::config::units::parse_size;
use proxy_wasm_host::shared::Eviction;

use crate::limits::zones;

/// What `wasm_shared_data`, `wasm_shared_queue` and `wasm_metrics_zone` set.
#[derive(Default)]
pub struct ZoneSettings {
    data: Option<usize>,
    /// Whether items are evicted when the zone of the shared data is full.
    pub eviction: Eviction,
    queues: Option<usize>,
    metrics: Option<usize>,
}

impl ZoneSettings {
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

    /// The size of the zone for shared data, in bytes.
    pub fn data(&self) -> usize {
        self.data.unwrap_or(zones::DATA)
    }

    /// The size of the zone for queues, in bytes.
    pub fn queues(&self) -> usize {
        self.queues.unwrap_or(zones::QUEUES)
    }

    /// The size of the zone for metrics, in bytes.
    pub fn metrics(&self) -> usize {
        self.metrics.unwrap_or(zones::METRICS)
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
