//! Plugins that Lua loads, and their configurations.

use std::cell::{OnceCell, RefCell};
use std::ffi::{c_char, c_int, c_void};
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;

use ngx_bindings::cycle::{self, Process};
use proxy_wasm_host::config::Options;
use proxy_wasm_host::{Announced, Dialect, Plugin};

use super::loading::Load;
use super::{LoadedPlugin, LuaPlugin, LuaPluginContext, bytes, with_current};
use crate::conf::io_reason;
use crate::context::{NginxHost, Post};
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

/// Begins to load a plugin. If its file cannot be a plugin, logs an error and returns null.
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
    let plugin = LuaPlugin {
        name: text(name),
        path: text(path).into(),
        loaded: OnceCell::new(),
        load: RefCell::default(),
        announced: Rc::default(),
    };
    with_runtime(|main, runtime| {
        // APISIX loads every plugin in its privileged agent, too, which is root and serves no
        // request. The workers, which run as another user, would compile again what it had compiled.
        if cycle::process() == Process::Helper {
            return Some(());
        }
        if !cycle::serves() {
            return plugin.load_here(main, runtime).map(|_| ());
        }
        plugin.check()?;
        plugin.begin();
        Some(())
    })?;
    Some(Box::new(plugin))
}

/// Uses what plugins run on. Without `wasm_vm`, logs an error.
pub(super) fn with_runtime<R>(body: impl FnOnce(&MainConf, &Runtime) -> Option<R>) -> Option<R> {
    let result = with_current(|main| main.runtime().map(|runtime| body(main, runtime))).flatten();
    result.unwrap_or_else(|| {
        tracing::error!("miss wasm_vm configuration");
        None
    })
}

/// Whether the plugin's module is under way. It is brought on its way if nobody has done that.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_is_loading(plugin: &LuaPlugin) -> c_int {
    guard(false, || plugin.is_loading()).into()
}

/// Notes a semaphore that is posted when the plugin's module is no longer under way. Lua keeps the
/// semaphore until `ngx_http_proxy_wasm_is_loading` says so.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_wait_for_module(
    plugin: &LuaPlugin,
    semaphore: *mut c_void,
    post: Option<Post>,
) {
    guard((), || {
        if let (Some(Ok(load)), Some(post)) = (&*plugin.load.borrow(), post) {
            load.wake(semaphore, post);
        }
    });
}

/// Waits for the plugin's module for a moment, in a phase in which Lua cannot wait. Returns whether it
/// is no longer under way.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_wait_shortly(plugin: &LuaPlugin) -> c_int {
    let wait = || match &*plugin.load.borrow() {
        Some(Ok(load)) => load.wait_shortly(),
        _ => true,
    };
    guard(true, wait).into()
}

impl LuaPlugin {
    /// Returns the loaded plugin, and waits for its module if need be. If it cannot be loaded, logs
    /// an error and returns `None`.
    fn loaded(&self) -> Option<&LoadedPlugin> {
        if let Some(loaded) = self.loaded.get() {
            return Some(loaded);
        }
        if cycle::serves() { self.finish() } else { with_runtime(|main, runtime| self.load_here(main, runtime)) }
    }

    /// Checks what the beginning of the file shows.
    fn check(&self) -> Option<()> {
        let checked = File::open(&self.path).and_then(|mut file| Plugin::<NginxHost>::check_beginning(&mut file));
        let reason = match checked {
            Ok(Ok(())) => return Some(()),
            Ok(Err(error)) => error.to_string(),
            Err(error) => format!("cannot be read: {}", io_reason(&error)),
        };
        self.log_failure(&reason);
        None
    }

    fn is_loading(&self) -> bool {
        if self.loaded.get().is_some() {
            return false;
        }
        let is_over = matches!(&*self.load.borrow(), Some(Err(failed)) if failed.is_over());
        if is_over || self.load.borrow().is_none() {
            self.begin();
        }
        matches!(&*self.load.borrow(), Some(Ok(load)) if load.is_under_way())
    }

    /// Brings the module on its way.
    fn begin(&self) {
        // It stands in the log once, though it may be tried several times.
        let announced = self.announced.take().unwrap_or_else(Announced::new);
        self.announced.set(Some(announced));
        let load = Load::new(&self.name, self.path.clone(), Rc::clone(&self.announced));
        self.load.replace(Some(Ok(load)));
    }

    /// Takes the plugin from its load, for which it waits if need be.
    fn finish(&self) -> Option<&LoadedPlugin> {
        self.is_loading();
        match self.load.take()? {
            Ok(load) => match load.finish() {
                Ok(loaded) => return Some(self.loaded.get_or_init(|| loaded)),
                Err(failed) => self.load.replace(Some(Err(failed))),
            },
            Err(failed) => {
                self.log_failure(&failed.reason);
                self.load.replace(Some(Err(failed)))
            }
        };
        None
    }

    /// Loads the plugin in a process without an event loop, and waits for it.
    fn load_here(&self, main: &MainConf, runtime: &Runtime) -> Option<&LoadedPlugin> {
        let vm = (&*self.name, &[][..]);
        let options = main.said.with_directories(&self.name, runtime.options.clone());
        let loaded = runtime.load(&self.name, &self.path, Dialect::CModule, Some(&self.name), vm, &options);
        let plugin = loaded.inspect_err(|reason| self.log_failure(reason)).ok()?;
        let loaded = LoadedPlugin::new(main, runtime, plugin, &options, Announced::new());
        Some(self.loaded.get_or_init(|| loaded))
    }

    fn log_failure(&self, reason: &str) {
        tracing::error!("failed to load wasm plugin \"{}\" at {}: {reason}", self.name, self.path.display());
    }
}

impl LoadedPlugin {
    /// Makes the VM of a plugin.
    pub(super) fn new(
        main: &MainConf,
        runtime: &Runtime,
        plugin: Arc<Plugin<NginxHost>>,
        options: &Options,
        announced: Announced,
    ) -> Self {
        if let Some(stores) = main.shared.stores() {
            runtime.loads.count(stores);
        }
        let policy = Rc::new(main.said.policy(plugin.name(), options));
        // Routes, and with them configurations, come and go.
        let vm = Vm::new(plugin, policy.memory, main, None, announced);
        Self { vm, policy }
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
