//! The life of contexts, seen from the plugin, from the host and from the log.

mod failures;
mod guest;
mod ids;
mod joined;
mod life;
mod log;
mod reentrancy;

use std::rc::Rc;

use super::{HttpContext, PluginContext, VmContext};
use crate::proxy_wasm::fake::{self, FakeHost, FakeStream};
use crate::proxy_wasm::plugin::PluginOptions;

/// A VM whose plugin is one of the test guests.
fn vm(wat: &str) -> (FakeHost, Rc<VmContext<FakeHost>>) {
    vm_with(wat, PluginOptions::default())
}

fn vm_with(wat: &str, options: PluginOptions) -> (FakeHost, Rc<VmContext<FakeHost>>) {
    fake::vm(fake::plugin(wat.as_bytes(), options).unwrap_or_else(|error| panic!("the guest {error}: {wat}")))
}

fn started(vm: &Rc<VmContext<FakeHost>>, configuration: &str) -> Rc<PluginContext<FakeHost>> {
    let context = vm.plugin_context(configuration.as_bytes().into());
    context.start().unwrap();
    context
}

fn request(plugin: &Rc<PluginContext<FakeHost>>) -> HttpContext<FakeHost> {
    plugin.create_http_context(FakeStream::default()).unwrap()
}
