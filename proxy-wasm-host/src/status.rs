//! The module's status for an operator: plain structs that serialize to JSON, and a page for
//! browsers.

mod html;

use std::time::Duration;

use serde::Serialize;

pub use html::page;

/// One worker, and the state that all workers share.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The module's version.
    pub version: &'static str,
    /// The version of the wasmtime in the module.
    pub wasmtime: &'static str,
    /// The version of the nginx that the module was built for.
    pub nginx: String,
    /// The worker's process id.
    pub pid: u32,
    /// The worker's number.
    pub worker: usize,
    /// Calls to other servers that this worker has under way.
    pub calls: usize,
    /// Connections of these calls, including those that are kept for later calls.
    pub call_connections: usize,
    /// Bytes that this worker keeps for its plugins outside their linear memory.
    pub host_memory: usize,
    /// Instances that requests of this worker have for themselves now.
    pub request_instances: usize,
    /// Requests of this worker that wait for an instance.
    pub waiting_requests: usize,
    /// The plugins of this worker.
    pub plugins: Vec<Plugin>,
    /// The folder of compiled modules, if there is one.
    pub cache: Option<String>,
    /// The state of shared memory, if there is any.
    pub zones: Option<Zones>,
    /// The Lua half of the installation.
    pub lua: Lua,
}

/// One plugin in this worker.
#[derive(Debug, Serialize)]
pub struct Plugin {
    /// The name that the plugin was declared with.
    pub name: String,
    /// The version of the ABI, such as `0.2.1`.
    pub abi_version: &'static str,
    /// The size of the plugin's file in bytes.
    pub size: usize,
    /// The BLAKE3 hash of the plugin's file.
    pub blake3: String,
    /// Whether the cache had the compiled module.
    pub from_cache: bool,
    /// Whether the plugin has an instance in this worker.
    pub running: bool,
    /// Seconds until the plugin is started again, after it failed.
    pub retry_in: Option<f64>,
    /// How many instances the plugin has in this worker now.
    pub instances: usize,
    /// How many more wait for the next requests. Requests that had them are over.
    pub spare_instances: usize,
    /// How many instances were started in this worker.
    pub starts: u64,
    /// How many instances failed in this worker.
    pub failures: u64,
    /// The image from which instances are restored.
    pub image: Image,
    /// The linear memory of the instance, in bytes.
    pub memory: usize,
    /// The limit of the linear memory, in bytes.
    pub memory_limit: usize,
    /// Bytes that this worker keeps for the plugin outside its linear memory.
    pub host_memory: usize,
    /// The number of the plugin's configurations.
    pub plugin_contexts: usize,
    /// The number of requests that the plugin has now.
    pub http_contexts: usize,
    /// Counts over all workers, where there is shared memory.
    pub all_workers: Option<Totals>,
}

/// The image of a plugin's started instance, which all workers share.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Image {
    /// The bytes of memory in it; none if there is no image.
    pub bytes: Option<usize>,
    /// The bytes of it that this worker's instance has not written, so that they are there once for all
    /// workers; none if there is no instance, or the system does not tell.
    pub shared: Option<usize>,
    /// Why there is no image, where one is wanted.
    pub why_not: Option<String>,
    /// How many instances were restored in this worker.
    pub restores: u64,
}

/// Counts over all workers, kept over a reload.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Totals {
    pub requests: u64,
    pub callbacks: u64,
    pub guest_seconds: f64,
    pub starts: u64,
    pub restarts: u64,
    pub restores: u64,
    pub failures: u64,
    pub failed_requests: FailedRequests,
    pub calls: u64,
}

/// Requests that lived in instances that failed.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct FailedRequests {
    /// Requests whose own callback did not return.
    pub caused: u64,
    /// Requests that were lost with their instance, though another call failed.
    pub collateral: u64,
}

impl Totals {
    /// The average time of a callback.
    pub fn per_callback(&self) -> Option<Duration> {
        (self.callbacks > 0).then(|| Duration::from_secs_f64(self.guest_seconds / self.callbacks as f64))
    }
}

/// The state of shared memory.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Zones {
    pub shared_data: SharedData,
    pub shared_queue: SharedQueue,
    pub metrics: Metrics,
}

/// The state of shared data.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct SharedData {
    pub items: u64,
    pub evictions: u64,
}

/// The state of shared queues.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct SharedQueue {
    pub queues: usize,
}

/// The state of metrics, both the plugins' and the module's own.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Metrics {
    pub metrics: usize,
}

/// The state of `resty/proxy-wasm.lua`.
#[derive(Debug, Default, Serialize)]
pub struct Lua {
    /// The file that Lua found, once the module was required.
    pub file: Option<String>,
    /// The file's version.
    pub version: Option<String>,
    /// What is wrong with the installation, in the words of the error log.
    pub problem: Option<String>,
}

/// Prints the status as JSON.
pub fn json(status: &Status) -> String {
    // The status holds strings, numbers and lists of them, all of which JSON can express.
    let mut text = serde_json::to_string_pretty(status).unwrap_or_default();
    text.push('\n');
    text
}
