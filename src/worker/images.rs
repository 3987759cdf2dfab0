//! The images of instances that have started, in a file in memory that all workers of this nginx
//! share. The file outlives every configuration.

use std::sync::Arc;

use ngx_bindings::cycle;
use once_cell::sync::OnceCell;
use proxy_wasm_host::wasm::images::Images;

use crate::conf::ZoneSettings;

static IMAGES: OnceCell<Arc<Images>> = OnceCell::new();

/// Makes the file. Called in the master before it forks.
pub fn prepare() {
    if let Err(error) = IMAGES.get_or_try_init(Images::new) {
        tracing::warn!("proxy_wasm: no images of plugins can be kept: {error}");
    }
}

/// The file; `None` in the master, which runs no guest that it could restore.
pub fn of_worker() -> Option<&'static Arc<Images>> {
    IMAGES.get().filter(|_| cycle::serves())
}

/// What images depend on besides the plugin and its configurations: zones, which a reload empties if
/// their size changes, and the log level, which plugins may have asked for.
pub fn scope(zones: &ZoneSettings) -> Vec<u8> {
    let level = cycle::with_log(|log| log.level());
    format!("{} {} {} {level:?}", zones.data(), zones.queues(), zones.metrics()).into_bytes()
}
