//! What the module says of itself to an operator: plain structs, which are JSON as they stand, and a page for browsers.

mod html;

use std::time::Duration;

use serde::Serialize;

pub use html::page;

/// One worker, and what all of them share.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Of the module.
    pub version: &'static str,
    /// Of the wasmtime in it.
    pub wasmtime: &'static str,
    /// Of the nginx that the module was built for.
    pub nginx: String,
    /// The worker's process.
    pub pid: u32,
    /// The worker's number.
    pub worker: usize,
    /// Calls to other servers that are under way in this worker.
    pub calls: usize,
    /// Connections of these calls, those that are kept for the next ones among them.
    pub call_connections: usize,
    /// Bytes that this worker keeps for its plugins beside their linear memory.
    pub host_memory: usize,
    /// The plugins of this worker.
    pub plugins: Vec<Plugin>,
    /// The folder of compiled modules.
    pub cache: Option<String>,
    /// What is in shared memory, where there is any.
    pub zones: Option<Zones>,
    /// The Lua half of the install.
    pub lua: Lua,
}

/// A plugin.
#[derive(Debug, Serialize)]
pub struct Plugin {
    /// What it was declared with.
    pub name: String,
    /// `0.2.1` and the like.
    pub abi_version: &'static str,
    /// Bytes of its file.
    pub size: usize,
    /// BLAKE3 of its file.
    pub blake3: String,
    /// Whether compiling was spared by the cache.
    pub from_cache: bool,
    /// It has an instance in this worker.
    pub running: bool,
    /// Seconds until it is tried again, after it failed again and again.
    pub retry_in: Option<f64>,
    /// Instances that were started in this worker.
    pub starts: u64,
    /// Instances that failed in this worker.
    pub failures: u64,
    /// Bytes of the instance's linear memory.
    pub memory: usize,
    /// The most it may have.
    pub memory_limit: usize,
    /// Bytes that this worker keeps for it beside that memory.
    pub host_memory: usize,
    /// Configurations of it.
    pub plugin_contexts: usize,
    /// Requests that it is busy with.
    pub http_contexts: usize,
    /// Counted over all workers, where there is shared memory.
    pub all_workers: Option<Totals>,
}

/// What is counted over all workers, and kept over a reload.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Totals {
    pub requests: u64,
    pub callbacks: u64,
    pub guest_seconds: f64,
    pub starts: u64,
    pub restarts: u64,
    pub failures: u64,
    pub calls: u64,
}

impl Totals {
    /// The time that a callback takes, on the average.
    pub fn per_callback(&self) -> Option<Duration> {
        (self.callbacks > 0).then(|| Duration::from_secs_f64(self.guest_seconds / self.callbacks as f64))
    }
}

/// Shared memory.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Zones {
    pub shared_data: SharedData,
    pub shared_queue: SharedQueue,
    pub metrics: Metrics,
}

/// Shared data.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct SharedData {
    pub items: u64,
    pub evictions: u64,
}

/// Shared queues.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct SharedQueue {
    pub queues: usize,
}

/// Metrics, those of plugins and the module's own.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Metrics {
    pub metrics: usize,
}

/// `resty/proxy-wasm.lua`.
#[derive(Debug, Default, Serialize)]
pub struct Lua {
    /// Where Lua found it, once it was required.
    pub file: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// What is wrong with the install, in the words of the error log.
    pub problem: Option<String>,
}

/// The status in JSON.
pub fn json(status: &Status) -> String {
    // Strings, numbers and lists of them: nothing that JSON cannot say.
    let mut text = serde_json::to_string_pretty(status).unwrap_or_default();
    text.push('\n');
    text
}
