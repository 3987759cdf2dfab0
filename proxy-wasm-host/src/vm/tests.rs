//! The life of contexts, as the plugin, the host and the log see it.

mod failures;
mod guest;
mod ids;
mod images;
mod isolation;
mod joined;
mod life;
mod log;
mod reentrancy;
mod spares;

use std::rc::Rc;

use super::{HttpContext, PluginContext, VmContext};
use crate::local::{self, LocalHost, LocalStream};
use crate::plugin::PluginOptions;

/// A VM of one of the test guests.
fn vm(wat: &str) -> (LocalHost, Rc<VmContext<LocalHost>>) {
    vm_with(wat, PluginOptions::default())
}

fn vm_with(wat: &str, options: PluginOptions) -> (LocalHost, Rc<VmContext<LocalHost>>) {
    local::vm(local::plugin(wat.as_bytes(), options).unwrap_or_else(|error| panic!("the guest {error}: {wat}")))
}

fn started(vm: &Rc<VmContext<LocalHost>>, configuration: &str) -> Rc<PluginContext<LocalHost>> {
    let context = vm.plugin_context(configuration.as_bytes().into());
    context.start().unwrap();
    context
}

fn request(plugin: &Rc<PluginContext<LocalHost>>) -> HttpContext<LocalHost> {
    plugin.create_http_context(LocalStream::default()).unwrap()
}
