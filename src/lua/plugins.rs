//! Plugins that Lua loads, and their configurations.

use std::cell::OnceCell;
use std::ffi::c_char;
use std::rc::Rc;
use std::sync::Arc;

use ngx_bindings::cycle::{self, Process};
use proxy_wasm_host::Dialect;

use super::{LoadedPlugin, LuaPlugin, LuaPluginContext, bytes, with_current};
use crate::guard::guard;
use crate::worker::{MainConf, Runtime, Vm, deadlines};

/// Registers the Lua file, which calls this when it is required.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_register(
    version: *const c_char,
    version_len: usize,
    path: *const c_char,
    path_len: usize,
) {
    // SAFETY: Lua passes a string of its own with its length.
    let version = unsafe { bytes(version, version_len) };
    // SAFETY: as above.
    let path = unsafe { bytes(path, path_len) };
    guard((), || register(version, path));
}

fn register(version: &[u8], path: &[u8]) {
    let (version, path) = (String::from_utf8_lossy(version), String::from_utf8_lossy(path));
    with_current(|main| main.installation.register(&version, &path));
}

/// Loads a plugin. If that fails, logs an error and returns null.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_load(
    name: *const c_char,
    name_len: usize,
    path: *const c_char,
    path_len: usize,
) -> Option<Box<LuaPlugin>> {
    // SAFETY: Lua passes a string of its own with its length.
    let name = unsafe { bytes(name, name_len) };
    // SAFETY: as above.
    let path = unsafe { bytes(path, path_len) };
    guard(None, || load(name, path))
}

fn load(name: &[u8], path: &[u8]) -> Option<Box<LuaPlugin>> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let plugin = LuaPlugin { name: text(name), path: text(path).into(), loaded: OnceCell::new() };
    with_runtime(|main, runtime| {
        // APISIX loads every plugin in its privileged agent, too, which is root and serves no
        // request. The workers, which run as another user, would compile again what it had compiled.
        let is_loaded = cycle::process() == Process::Helper || plugin.loaded_by(main, runtime).is_some();
        is_loaded.then_some(())
    })?;
    Some(Box::new(plugin))
}

/// Uses what plugins run on. Without `wasm_vm`, logs an error.
fn with_runtime<R>(body: impl FnOnce(&MainConf, &Runtime) -> Option<R>) -> Option<R> {
    let result = with_current(|main| main.runtime().map(|runtime| body(main, runtime))).flatten();
    result.unwrap_or_else(|| {
        tracing::error!("miss wasm_vm configuration");
        None
    })
}

impl LuaPlugin {
    /// Returns the loaded plugin, and reads its file the first time. If that fails, logs an error
    /// and returns `None`.
    fn loaded(&self) -> Option<&LoadedPlugin> {
        if let Some(loaded) = self.loaded.get() {
            return Some(loaded);
        }
        with_runtime(|main, runtime| self.loaded_by(main, runtime))
    }

    fn loaded_by(&self, main: &MainConf, runtime: &Runtime) -> Option<&LoadedPlugin> {
        let root_id = Some(&*self.name);
        let options = main.said.with_directories(&self.name, runtime.options.clone());
        let loaded = runtime.load(&self.name, &self.path, Dialect::CModule, root_id, (&self.name, &[]), &options);
        let loaded = loaded.inspect_err(|error| {
            tracing::error!("failed to load wasm plugin \"{}\" at {}: {error}", self.name, self.path.display());
        });
        let plugin = loaded.ok()?;
        if let Some(stores) = main.shared.stores() {
            runtime.loads.count(stores);
        }
        let policy = Rc::new(main.said.policy(&self.name, &options));
        // Routes, and with them configurations, come and go.
        let vm = Vm::new(plugin, policy.memory, main, None);
        Some(self.loaded.get_or_init(|| LoadedPlugin { vm, policy }))
    }
}

/// Frees Lua's reference to a plugin. The plugin itself stays until its last context has ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_unload(plugin: Box<LuaPlugin>) {
    guard((), || drop(plugin));
}

/// Configures a plugin. If the plugin refuses or fails, logs an error and returns null.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_on_configure(
    plugin: &LuaPlugin,
    conf: *const c_char,
    conf_len: usize,
) -> Option<Box<LuaPluginContext>> {
    // SAFETY: Lua passes a string of its own with its length.
    let conf = unsafe { bytes(conf, conf_len) };
    guard(None, || configure(plugin, conf))
}

fn configure(plugin: &LuaPlugin, conf: &[u8]) -> Option<Box<LuaPluginContext>> {
    let LoadedPlugin { vm, policy } = plugin.loaded()?;
    let context = vm.plugin_context(Arc::from(conf));
    match deadlines::hold_while(context.plugin().engine(), || context.start()) {
        Ok(()) => Some(Box::new(LuaPluginContext { context, policy: Rc::clone(policy) })),
        Err(failure) => {
            if !failure.is_reported() {
                tracing::error!("plugin \"{}\" did not start: {failure}", context.plugin().name());
            }
            None
        }
    }
}

/// Frees Lua's reference to a PluginContext. The PluginContext itself stays until its last request
/// has ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_delete_plugin_ctx(context: Box<LuaPluginContext>) {
    guard((), || drop(context));
}
