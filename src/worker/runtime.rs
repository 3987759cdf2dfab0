//! The engine that plugins run on, and how a plugin is loaded.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ngx_bindings::Conf;
use proxy_wasm_host::config::Options;
use proxy_wasm_host::node::Node;
use proxy_wasm_host::wasm::{Cache, Compiler, Deadlines, Engine, EngineConfig, Error, Loaded, Loading, Module, Source};
use proxy_wasm_host::{Dialect, Identity, Plugin, PluginOptions, RootId};

use super::declared::DeclaredPlugin;
use super::{announce, deadlines};
use crate::conf::{CacheSetting, Declared, Fault, HttpConf, io_reason};
use crate::context::NginxHost;
use crate::host_memory::HostMemory;
use crate::shared::loads::Loads;

/// How many configurations this nginx has read.
static TURNS: AtomicU64 = AtomicU64::new(0);

/// The engine, the compiler and the cache. Plugins that Lua loads use them, too.
pub struct Runtime {
    pub engine: Engine,
    pub compiler: Compiler,
    pub cache: Option<Cache>,
    /// The options of plugins that set none of their own.
    pub options: Options,
    /// Plugins that were loaded and are not counted yet.
    pub loads: Loads,
    /// The number of this configuration among those that this nginx has read.
    pub turn: u64,
    node: Arc<Node>,
}

/// A VM of declared plugins.
pub struct DeclaredVm {
    /// What the VM's instances are made of. Where plugins share a VM, it has the name of the VM.
    pub plugin: Arc<Plugin<NginxHost>>,
    /// The account of bytes that are kept for the instance.
    pub memory: HostMemory,
}

impl Runtime {
    /// Makes the engine from the settings of `http`.
    ///
    /// # Errors
    ///
    /// If this system cannot run the engine.
    pub fn new(said: &HttpConf, cf: Conf) -> Result<Self, Fault> {
        let deadlines = if said.overrides.callback_timeout_is_off() { Deadlines::Off } else { deadlines::choose() };
        let engine = Engine::new(&EngineConfig { deadlines })
            .and_then(|engine| proxy_wasm_host::prepare(&engine).map(|()| engine))
            .map_err(|error| Fault { message: format!("proxy_wasm: {error}"), place: String::new() })?;
        Ok(Self {
            engine,
            compiler: Compiler::Child(said.compile_limits()),
            cache: open_cache(&said.cache, cf),
            options: said.options(),
            loads: Loads::new(),
            turn: TURNS.fetch_add(1, Ordering::Relaxed),
            node: Arc::new(node(said, cf)),
        })
    }

    /// Makes the VM of a plugin, which is the first one of that VM.
    ///
    /// # Errors
    ///
    /// The reason, and the place of the declaration.
    pub fn vm(&self, said: &HttpConf, declared: &Declared, first: &DeclaredPlugin) -> Result<DeclaredVm, Fault> {
        let DeclaredPlugin { plugin, policy, .. } = first;
        let Some(vm) = &declared.plugin.vm else {
            return Ok(DeclaredVm { plugin: Arc::clone(plugin), memory: policy.memory });
        };
        let of_plugin = plugin.identity();
        let identity = Identity {
            name: vm.clone(),
            root_id: RootId::given("", b""),
            dialect: of_plugin.dialect,
            vm_id: vm.clone(),
            vm_configuration: of_plugin.vm_configuration.clone(),
            node: Arc::clone(&of_plugin.node),
        };
        let plugin = Plugin::new(&self.engine, plugin.module(), identity, plugin.options().clone())
            .map_err(|error| declared.fault(&format!("\"{vm}\" at {} {error}", declared.path.display())))?;
        let options = declared.plugin.overrides.over(&self.options);
        Ok(DeclaredVm { plugin, memory: said.policy(vm, &options).memory })
    }

    /// Loads and checks one plugin, and waits until it is compiled. Without a `root_id`, it is found
    /// when the plugin starts.
    ///
    /// # Errors
    ///
    /// The reason, worded to be read after the plugin's path.
    pub fn load(
        &self,
        name: &str,
        path: &Path,
        dialect: Dialect,
        root_id: Option<&str>,
        vm: (&str, &[u8]),
        options: &Options,
    ) -> Result<Arc<Plugin<NginxHost>>, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {}", io_reason(&error)))?;
        Plugin::<NginxHost>::check_imports(&bytes).map_err(|error| error.to_string())?;
        let begun = Instant::now();
        let compiled = Cell::new(false);
        let compiling = || {
            compiled.set(true);
            announce::compiling(name, bytes.len());
        };
        let module = Module::load_or_compile(&self.engine, &self.compiler, self.cache.as_ref(), &bytes, compiling)
            .map_err(|error| error.to_string())?;
        announce::loaded(name, &module, compiled.get(), begun.elapsed());
        self.loads.add(name, module.from_cache());
        let root_id = root_id.map_or_else(|| RootId::to_find(name, &bytes), |id| RootId::given(id, &bytes));
        self.link(name, &module, dialect, root_id, vm, options)
    }

    /// Begins to load a module in a child process.
    ///
    /// # Errors
    ///
    /// When no child can be started.
    pub fn begin(&self, path: &Path) -> Result<Loading, Error> {
        let Compiler::Child(limits) = self.compiler else { unreachable!("nginx compiles in a child") };
        Loading::start(&self.engine, limits, self.cache.as_ref(), Source::File(path), RootId::PROPERTY)
    }

    /// Returns the module that was begun so, and waits for it if need be.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn finish(&self, name: &str, loading: Loading, begun: Instant, compiling: impl Fn()) -> Result<Loaded, Error> {
        let loaded = loading.finish(&self.engine, self.cache.as_ref(), compiling)?;
        announce::loaded(name, &loaded.module, loaded.is_compiled, begun.elapsed());
        self.loads.add(name, !loaded.is_compiled);
        Ok(loaded)
    }

    /// Checks a module, and makes a plugin of it.
    ///
    /// # Errors
    ///
    /// The reason, worded to be read after the plugin's path.
    pub fn link(
        &self,
        name: &str,
        module: &Module,
        dialect: Dialect,
        root_id: RootId,
        (vm_id, vm_configuration): (&str, &[u8]),
        options: &Options,
    ) -> Result<Arc<Plugin<NginxHost>>, String> {
        let identity = Identity {
            name: name.to_owned(),
            root_id,
            dialect,
            vm_id: vm_id.to_owned(),
            vm_configuration: vm_configuration.to_vec(),
            node: Arc::clone(&self.node),
        };
        let options = PluginOptions {
            memory_limit: options.memory_limit,
            callback_timeout: options.callback_timeout,
            start_timeout: options.start_timeout,
            env: options.env.clone(),
            capabilities: options.capabilities.clone(),
            image: options.image,
            isolation: options.isolation,
            directories: options.directories.clone().into(),
        };
        Plugin::new(&self.engine, module, identity, options).map_err(|error| error.to_string())
    }
}

/// The node that the operator set; its id is the machine's name, unless another was set.
fn node(said: &HttpConf, cf: Conf) -> Node {
    let mut node = said.node.clone();
    if node.id.is_empty() {
        node.id = String::from_utf8_lossy(cf.hostname()).into_owned();
    }
    node.user_agent_name = "nginx".to_owned();
    node
}

fn open_cache(setting: &CacheSetting, cf: Conf) -> Option<Cache> {
    let path = match setting {
        CacheSetting::Off => return None,
        CacheSetting::Default => cf.full_path(b"wasm_cache")?,
        CacheSetting::Path(path) => path.clone(),
    };
    let cache = Cache::new(path);
    cache.prepare();
    Some(cache)
}
