//! Plugins on the local host: one call makes a running VM from a text module.

use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use super::LocalHost;
use crate::error::Error;
use crate::identity::{Dialect, Identity};
use crate::plugin::{Plugin, PluginOptions};
use crate::root_id::RootId;
use crate::vm::VmContext;
use crate::wasm::{Engine, EngineConfig, Module};

/// One engine for all plugins on local hosts, as nginx has one for all its plugins.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    #[cfg(test)]
    super::lines::listen();
    Engine::new(&EngineConfig::default()).expect("wasmtime runs on the machines that this is built on")
});

/// The engine of all plugins on local hosts.
pub fn engine() -> &'static Engine {
    &ENGINE
}

/// Loads a plugin from the bytes or the text of a module; its name is `test`.
///
/// # Errors
/// Those of [`Module::load`] and [`Plugin::new`].
pub fn plugin(module: &[u8], options: PluginOptions) -> Result<Arc<Plugin<LocalHost>>, Error> {
    let identity = Identity {
        name: "test".into(),
        root_id: RootId::to_find("test", module),
        dialect: Dialect::Envoy,
        vm_id: "vm".into(),
        vm_configuration: b"vm conf".to_vec(),
        node: Default::default(),
    };
    Plugin::new(&ENGINE, &Module::load(&ENGINE, None, module)?, identity, options)
}

/// Makes a VM of a plugin. All its instances use the same local host.
pub fn vm(plugin: Arc<Plugin<LocalHost>>) -> (LocalHost, Rc<VmContext<LocalHost>>) {
    let host = LocalHost::default();
    let same = host.clone();
    (host, VmContext::new(plugin, Box::new(move || same.clone())))
}
