//! Plugins that Lua loads, and their configurations.

use std::cell::OnceCell;
use std::ffi::c_char;
use std::ptr;
use std::sync::Arc;

use ngx_bindings::cycle::{self, Process};

use super::{LoadedPlugin, LuaPlugin, LuaPluginContext, bytes, current};
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
    // SAFETY: Lua passes strings of its own with their lengths.
    let (version, path) = unsafe { (bytes(version, version_len), bytes(path, path_len)) };
    guard((), || {
        if let Some(main) = current() {
            let (version, path) = (String::from_utf8_lossy(version), String::from_utf8_lossy(path));
            main.installation.register(&version, &path);
        }
    });
}

/// Loads a plugin. If that fails, logs an error and returns null.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_load(
    name: *const c_char,
    name_len: usize,
    path: *const c_char,
    path_len: usize,
) -> *mut LuaPlugin {
    // SAFETY: Lua passes strings of its own with their lengths.
    let (name, path) = unsafe { (bytes(name, name_len), bytes(path, path_len)) };
    guard(ptr::null_mut(), || load(name, path).map_or(ptr::null_mut(), |plugin| Box::into_raw(Box::new(plugin))))
}

fn load(name: &[u8], path: &[u8]) -> Option<LuaPlugin> {
    let (main, runtime) = configuration()?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let plugin = LuaPlugin { name: text(name), path: text(path).into(), loaded: OnceCell::new() };
    // APISIX loads every plugin in its privileged agent, too, which is root and serves no request.
    // The workers, which run as another user, would compile again what it had compiled.
    if cycle::process() != Process::Helper {
        plugin.loaded_by(main, runtime)?;
    }
    Some(plugin)
}

/// Returns what plugins run on. Without `wasm_vm`, logs an error and returns `None`.
fn configuration<'a>() -> Option<(&'a MainConf, &'a Runtime)> {
    let found = current().and_then(|main| Some((main, main.runtime()?)));
    if found.is_none() {
        tracing::error!("miss wasm_vm configuration");
    }
    found
}

impl LuaPlugin {
    /// Returns the loaded plugin, and reads its file the first time. If that fails, logs an error
    /// and returns `None`.
    fn loaded(&self) -> Option<&LoadedPlugin> {
        if let Some(loaded) = self.loaded.get() {
            return Some(loaded);
        }
        let (main, runtime) = configuration()?;
        self.loaded_by(main, runtime)
    }

    fn loaded_by(&self, main: &MainConf, runtime: &Runtime) -> Option<&LoadedPlugin> {
        let loaded = runtime.load(&self.name, &self.path, &runtime.options).inspect_err(|error| {
            tracing::error!("failed to load wasm plugin \"{}\" at {}: {error}", self.name, self.path.display());
        });
        let plugin = loaded.ok()?;
        if let Some(stores) = main.shared.stores() {
            runtime.loads.count(stores);
        }
        let policy = main.said.policy(&self.name, &runtime.options);
        let vm = Vm::new(plugin, policy.memory, main.client(), &main.shared);
        Some(self.loaded.get_or_init(|| LoadedPlugin { vm, policy }))
    }
}

/// Frees Lua's reference to a plugin. The plugin itself stays until its last context has ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_unload(plugin: *mut LuaPlugin) {
    // SAFETY: Lua's collector passes, once, what `load` answered.
    guard((), || drop(unsafe { Box::from_raw(plugin) }));
}

/// Configures a plugin. If the plugin refuses or fails, logs an error and returns null.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_on_configure(
    plugin: *const LuaPlugin,
    conf: *const c_char,
    conf_len: usize,
) -> *mut LuaPluginContext {
    // SAFETY: Lua passes a plugin it holds, and a string of its own with its length.
    let (plugin, conf) = unsafe { (&*plugin, bytes(conf, conf_len)) };
    guard(ptr::null_mut(), || {
        let Some(LoadedPlugin { vm, policy }) = plugin.loaded() else { return ptr::null_mut() };
        let context = vm.plugin_context(Arc::from(conf));
        match deadlines::hold_while(context.plugin().engine(), || context.start()) {
            Ok(()) => Box::into_raw(Box::new(LuaPluginContext { context, policy: *policy })),
            Err(failure) => {
                if !failure.is_reported() {
                    tracing::error!("plugin \"{}\" did not start: {failure}", context.plugin().name());
                }
                ptr::null_mut()
            }
        }
    })
}

/// Frees Lua's reference to a PluginContext. The PluginContext itself stays until its last request
/// has ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_delete_plugin_ctx(context: *mut LuaPluginContext) {
    // SAFETY: Lua's collector passes, once, what `on_configure` answered.
    guard((), || drop(unsafe { Box::from_raw(context) }));
}
