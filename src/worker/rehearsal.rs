//! `wasm_start_failure refuse`: plugins are tried while nginx reads its configuration.

use std::sync::Arc;

use proxy_wasm_host::config::StartFailure;
use proxy_wasm_host::rehearsal::{self, NotStarted};

use super::deadlines;
use super::declared::DeclaredPlugin;
use super::runtime::DeclaredVm;
use crate::conf::{Attachment, Fault};

/// Starts the plugins of all lines whose failure is to stop nginx's start, as a worker will start
/// them. `plugin_of` has the plugin of each line, and `vm_of` the VM of each plugin.
///
/// # Errors
///
/// The first line whose plugin does not start.
pub fn start(
    lines: &[Attachment],
    plugins: &[DeclaredPlugin],
    vms: &[DeclaredVm],
    (plugin_of, vm_of): (&[usize], &[usize]),
) -> Result<(), Fault> {
    for (index, vm) in vms.iter().enumerate() {
        let of_vm = lines.iter().zip(plugin_of).filter(|(_, plugin)| vm_of[**plugin] == index);
        let tried = of_vm.map(|(line, &plugin)| (line, &plugins[plugin]));
        let tried: Vec<_> = tried.filter(|(_, plugin)| plugin.start_failure == StartFailure::Refuse).collect();
        if tried.is_empty() {
            continue;
        }
        let contexts: Vec<_> =
            tried.iter().map(|(line, plugin)| (&*plugin.plugin, Arc::clone(&line.configuration))).collect();
        rehearsal::start(&vm.plugin, &contexts, deadlines::try_start).map_err(|NotStarted { index, reason }| {
            let Attachment { directive, name, place, .. } = tried[index].0;
            let message = format!("\"{directive}\": plugin \"{name}\" does not start: {reason} (start_failure=refuse)");
            Fault { message, place: place.clone() }
        })?;
    }
    Ok(())
}
