//! How large the shared zones are: `wasm_shared_data`, `wasm_shared_queue`, `wasm_metrics_zone`.

use ngx_bindings::shm;
use proxy_wasm_host::config::units::parse_size;
use proxy_wasm_host::shared::Eviction;

use crate::limits::zones;

/// `wasm_shared_data`, `wasm_shared_queue`, `wasm_metrics_zone`.
#[derive(Default)]
pub struct ZoneSettings {
    data: Option<usize>,
    /// What happens when the shared data is full.
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

    /// Bytes for shared data.
    pub fn data(&self) -> usize {
        self.data.unwrap_or(zones::DATA)
    }

    /// Bytes for queues.
    pub fn queues(&self) -> usize {
        self.queues.unwrap_or(zones::QUEUES)
    }

    /// Bytes for metrics.
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
