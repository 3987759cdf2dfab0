//! Plugins that Lua loads, and their configurations.

use std::ffi::c_char;
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use super::{LuaPlugin, LuaPluginContext, bytes, current};
use crate::configuration::Policy;
use crate::deadlines;
use crate::guard::guard;
use crate::vm::Vm;

/// Loads a plugin; null, and a line in the error log, if that fails.
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
    let Some((main, runtime)) = current().and_then(|main| Some((main, main.runtime()?))) else {
        tracing::error!("miss wasm_vm configuration");
        return None;
    };
    let (name, path) = (String::from_utf8_lossy(name), String::from_utf8_lossy(path));
    match runtime.load(&name, Path::new(&*path), &runtime.options) {
        Ok(plugin) => {
            if let Some(stores) = main.shared.stores() {
                runtime.loads.count(stores);
            }
            let vm = Vm::new(plugin, main.client(), &main.shared);
            Some(LuaPlugin { vm, policy: Policy::from(&runtime.options) })
        }
        Err(error) => {
            tracing::error!("failed to load wasm plugin \"{name}\" at {path}: {error}");
            None
        }
    }
}

/// Lets go of a plugin; it stays until its last context has ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_unload(plugin: *mut LuaPlugin) {
    // SAFETY: Lua's collector passes, once, what `load` answered.
    guard((), || drop(unsafe { Box::from_raw(plugin) }));
}

/// Configures a plugin; null, and a line in the error log, if it refuses or fails.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_on_configure(
    plugin: *const LuaPlugin,
    conf: *const c_char,
    conf_len: usize,
) -> *mut LuaPluginContext {
    // SAFETY: Lua passes a plugin it holds, and a string of its own with its length.
    let (plugin, conf) = unsafe { (&*plugin, bytes(conf, conf_len)) };
    guard(ptr::null_mut(), || {
        let context = plugin.vm.plugin_context(Arc::from(conf));
        match deadlines::hold_while(context.plugin().engine(), || context.start()) {
            Ok(()) => Box::into_raw(Box::new(LuaPluginContext { context, policy: plugin.policy })),
            Err(failure) => {
                if !failure.is_reported() {
                    tracing::error!("plugin \"{}\" did not start: {failure}", context.plugin().name());
                }
                ptr::null_mut()
            }
        }
    })
}

/// Lets go of a plugin context; it stays until its last request has ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_delete_plugin_ctx(context: *mut LuaPluginContext) {
    // SAFETY: Lua's collector passes, once, what `on_configure` answered.
    guard((), || drop(unsafe { Box::from_raw(context) }));
}
