//! The images of instances that have started, in a file in memory that all workers of this nginx
//! share. The file outlives every configuration.

use std::sync::Arc;

use ngx_bindings::cycle;
use once_cell::sync::OnceCell;
use proxy_wasm_host::wasm::images::Images;

use super::main_conf::MainConf;

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
/// their size changes, and the log level, which plugins may have asked for. Files that a plugin has
/// read may be others when nginx reads its configuration again.
pub fn scope(main: &MainConf, reads_files: bool) -> Vec<u8> {
    let zones = &main.said.zones;
    let level = cycle::with_log(|log| log.level());
    let turn = main.runtime().filter(|_| reads_files).map(|runtime| runtime.turn);
    format!("{} {} {} {level:?} {turn:?}", zones.data(), zones.queues(), zones.metrics()).into_bytes()
}
