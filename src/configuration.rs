//! What the directives leave behind: the plugins of `http`, and for each location the PluginContexts that its requests meet.

use std::cell::{Cell, OnceCell, RefCell};
use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ngx_bindings::Conf;
use ngx_bindings::modules::Location;
use ngx_bindings::ssl::{Tls, Verify};
use proxy_wasm_host::config::{FailurePolicy, Options, Overrides, Phase, PluginDeclaration};
use proxy_wasm_host::wasm::{Cache, CompileLimits, Compiler, Engine, EngineConfig, Module};
use proxy_wasm_host::{self, Identity, Plugin, PluginOptions};

use super::announce;
use super::calls::{Client, RESPONSE_BODY};
use super::host::NginxHost;
use super::host_memory::HostMemory;
use super::lua::Installation;
use super::shared::loads::Loads;
use super::shared::{Settings, Shared};
use super::worker::Worker;

/// The configuration of `http`.
#[derive(Default)]
pub struct MainConf {
    /// `wasm_vm`, or any directive that implies it.
    pub enabled: bool,
    /// `wasm_vm` itself, as APISIX writes it.
    pub wasm_vm: bool,
    /// `wasm_cache`.
    pub cache: CacheSetting,
    /// `wasm_compile_timeout`.
    pub compile_timeout: Option<Duration>,
    /// `wasm_compile_memory`.
    pub compile_memory: Option<usize>,
    /// Limits and policy set in `http`.
    pub overrides: Overrides,
    /// Every `wasm_plugin` line and every plugin of a `wasm_config` file.
    pub declared: Vec<Declared>,
    /// Every `proxy_wasm` line: each is one PluginContext.
    pub attachments: Vec<Attachment>,
    /// What the declarations became, in their order; filled when all of `http` has been read.
    pub plugins: Vec<DeclaredPlugin>,
    /// What certificates of servers that plugins call are checked by.
    pub tls: TlsSettings,
    /// `wasm_call_response_limit`.
    pub response_limit: Option<usize>,
    /// `wasm_call_connections`.
    pub call_connections: Option<usize>,
    /// `wasm_worker_memory`.
    pub worker_memory: Option<usize>,
    /// Sizes of the zones.
    pub shared_settings: Settings,
    /// What all workers share.
    pub shared: Rc<Shared>,
    /// Whether Lua has this module's file.
    pub installation: Installation,
    /// Those that have plugins.
    pub locations: RefCell<Vec<Location>>,
    runtime: Option<Runtime>,
    client: OnceCell<Rc<Client>>,
    worker: OnceCell<Worker>,
}

/// `wasm_ssl_trusted_certificate`, `wasm_ssl_verify`, `wasm_ssl_verify_depth`; what was not said is `None`.
#[derive(Default)]
pub struct TlsSettings {
    pub trusted_certificate: Option<Vec<u8>>,
    pub verify: Option<bool>,
    pub verify_depth: Option<u32>,
    /// What the settings became, when all of `http` had been read.
    context: Option<Rc<Tls>>,
}

/// `wasm_cache PATH|off`.
#[derive(Default)]
pub enum CacheSetting {
    /// Not said: `wasm_cache` under nginx's prefix.
    #[default]
    Default,
    /// No cache.
    Off,
    /// That folder.
    Path(PathBuf),
}

/// A declaration, and where it stands.
pub struct Declared {
    pub plugin: PluginDeclaration,
    pub path: PathBuf,
    /// The directive's name, for errors.
    pub directive: &'static str,
    pub place: String,
}

/// One `proxy_wasm` line.
pub struct Attachment {
    pub name: String,
    pub configuration: Arc<[u8]>,
    pub in_location: bool,
    pub place: String,
    /// Index into `declared` and `plugins`; set when all of `http` has been read.
    pub plugin: usize,
}

/// A plugin that was read, checked and compiled.
pub struct DeclaredPlugin {
    pub plugin: Arc<Plugin<NginxHost>>,
    pub priority: i64,
    pub phase: Phase,
    pub policy: Policy,
}

/// What the operator decided about a plugin that concerns its requests, not its VM.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// What happens to a request whose plugin failed.
    pub failure: FailurePolicy,
    /// Bytes of a body that may wait for the plugin.
    pub body_buffer_size: usize,
    /// What a worker may keep for it.
    pub memory: HostMemory,
}

/// What plugins run on; also those that Lua loads.
pub struct Runtime {
    pub engine: Engine,
    pub compiler: Compiler,
    pub cache: Option<Cache>,
    /// The options of plugins that say nothing else.
    pub options: Options,
    /// Plugins that were loaded and not yet counted.
    pub loads: Loads,
}

/// `wasm_worker_memory` where nothing is said.
const WORKER_MEMORY: usize = 1 << 30;

/// What stops nginx's start: the message, and where the cause stands.
pub struct Fault {
    pub message: String,
    pub place: String,
}

impl MainConf {
    /// Whether nothing here is of any use but for plugins that Lua loads: what APISIX writes.
    pub fn is_for_lua(&self) -> bool {
        self.wasm_vm && self.declared.is_empty() && self.attachments.is_empty()
    }

    /// Reads, checks and compiles what was declared; nginx calls this when it has read all of `http`.
    pub fn load(&mut self, cf: Conf) -> Result<(), Fault> {
        if !self.enabled {
            return Ok(());
        }
        // First what takes no time: a plugin may take long to compile.
        self.find_plugins()?;
        let options = self.overrides.over(&Options::default());
        let engine = Engine::new(&EngineConfig { epoch_interruption: !self.overrides.callback_timeout_is_off() })
            .and_then(|engine| proxy_wasm_host::prepare(&engine).map(|()| engine))
            .map_err(|error| Fault { message: format!("proxy_wasm: {error}"), place: String::new() })?;
        let compiler = Compiler::Child(self.compile_limits());
        let runtime = Runtime { engine, compiler, cache: self.open_cache(cf), options, loads: Loads::new() };
        self.shared.declare(cf, &self.shared_settings).map_err(|message| Fault { message, place: String::new() })?;

        for declared in &self.declared {
            let name = &declared.plugin.name;
            let options = declared.plugin.overrides.over(&runtime.options);
            let plugin = runtime
                .load(name, &declared.path, &options)
                .map_err(|error| declared.fault(format!("\"{name}\" at {} {error}", declared.path.display())))?;
            self.plugins.push(DeclaredPlugin {
                plugin,
                priority: declared.plugin.priority,
                phase: declared.plugin.phase,
                policy: self.policy(name, &options),
            });
        }
        self.tls.load(cf)?;
        self.runtime = Some(runtime);
        Ok(())
    }

    /// Sees to it that no name is declared twice, and finds the declaration of each attachment.
    fn find_plugins(&mut self) -> Result<(), Fault> {
        for (index, declared) in self.declared.iter().enumerate() {
            let name = &declared.plugin.name;
            if let Some(first) = self.declared[..index].iter().find(|other| other.plugin.name == *name) {
                return Err(declared.fault(format!("\"{name}\" is declared already{}", first.place)));
            }
        }
        for attachment in &mut self.attachments {
            let name = &attachment.name;
            attachment.plugin =
                self.declared.iter().position(|declared| declared.plugin.name == *name).ok_or_else(|| Fault {
                    message: format!(
                        "\"proxy_wasm\": there is no plugin \"{name}\"; declare it with wasm_plugin or wasm_config"
                    ),
                    place: attachment.place.clone(),
                })?;
        }
        Ok(())
    }

    /// What these options mean for the requests of a plugin.
    pub fn policy(&self, plugin: &str, options: &Options) -> Policy {
        let worker_limit = self.worker_memory.unwrap_or(WORKER_MEMORY);
        Policy {
            failure: options.failure,
            body_buffer_size: options.body_buffer_size,
            memory: HostMemory::of(plugin, options.host_memory, worker_limit),
        }
    }

    /// What plugins call other servers with.
    pub fn client(&self) -> &Rc<Client> {
        let limit = self.response_limit.unwrap_or(RESPONSE_BODY);
        self.client.get_or_init(|| Rc::new(Client::new(self.tls.context.clone(), limit, self.call_connections)))
    }

    /// What plugins run on; none without `wasm_vm`.
    pub fn runtime(&self) -> Option<&Runtime> {
        self.runtime.as_ref()
    }

    /// The VMs and PluginContexts of this process.
    pub fn worker(&self) -> &Worker {
        self.worker.get_or_init(|| Worker::new(self))
    }

    /// As [`Self::worker`], if this process has come to need them.
    pub fn started_worker(&mut self) -> Option<Worker> {
        self.worker.take()
    }

    /// The plugin of an attachment.
    pub fn plugin_of(&self, attachment: usize) -> &DeclaredPlugin {
        &self.plugins[self.attachments[attachment].plugin]
    }

    /// Whether a plugin of that phase is attached anywhere.
    pub fn has_attachments_in(&self, phase: Phase) -> bool {
        (0..self.attachments.len()).any(|attachment| self.plugin_of(attachment).phase == phase)
    }

    fn compile_limits(&self) -> CompileLimits {
        let usual = CompileLimits::default();
        CompileLimits {
            time: self.compile_timeout.unwrap_or(usual.time),
            memory: self.compile_memory.unwrap_or(usual.memory),
        }
    }

    fn open_cache(&self, cf: Conf) -> Option<Cache> {
        let path = match &self.cache {
            CacheSetting::Off => return None,
            CacheSetting::Default => cf.full_path(b"wasm_cache")?,
            CacheSetting::Path(path) => path.clone(),
        };
        let cache = Cache::new(path);
        cache.prepare();
        Some(cache)
    }

    /// Makes the folder of the cache that workers write, now that nginx knows who they are.
    pub fn prepare_for_workers(&self, user: u32) {
        if let Some(cache) = self.runtime().and_then(|runtime| runtime.cache.as_ref()) {
            cache.prepare_for(user);
        }
    }
}

impl TlsSettings {
    /// Certificates are read with the rights of the master.
    fn load(&mut self, cf: Conf) -> Result<(), Fault> {
        let verify = Verify {
            enabled: self.verify.unwrap_or(true),
            depth: self.verify_depth.unwrap_or(1),
            trusted: self.trusted_certificate.as_deref(),
        };
        let fault = || Fault {
            message: "proxy_wasm: TLS for outgoing calls could not be set up".to_owned(),
            place: String::new(),
        };
        self.context = Some(Rc::new(Tls::new(cf, &verify).ok_or_else(fault)?));
        Ok(())
    }
}

impl Declared {
    fn fault(&self, reason: String) -> Fault {
        Fault { message: format!("\"{}\": {reason}", self.directive), place: self.place.clone() }
    }
}

impl Runtime {
    /// Reads and checks one plugin.
    pub fn load(&self, name: &str, path: &Path, options: &Options) -> Result<Arc<Plugin<NginxHost>>, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {}", io_reason(&error)))?;
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
        let identity = Identity { name: name.to_owned(), vm_id: name.to_owned(), vm_configuration: Vec::new() };
        let options = PluginOptions {
            memory_limit: options.memory_limit,
            callback_timeout: options.callback_timeout,
            start_timeout: options.start_timeout,
            env: options.env.clone(),
            capabilities: options.capabilities.clone(),
        };
        Plugin::new(&self.engine, &module, identity, options).map_err(|error| error.to_string())
    }
}

/// The system's words alone, without Rust's `(os error 2)`.
pub fn io_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// The configuration of a location (and of `server` and `http` above it).
#[derive(Default)]
pub struct LocConf {
    /// `proxy_wasm off` at this level.
    pub off: bool,
    /// Attachments written at this level.
    pub own: Vec<usize>,
    /// The lines that requests here meet, in the order they run.
    pub attachments: Vec<Attached>,
    /// `wasm_request_body`, if it stands here or above.
    pub request_body: Option<BodyMode>,
    /// `wasm_response_body`, if it stands here or above.
    pub response_body: Option<BodyMode>,
    /// `wasm_pause_timeout` in milliseconds, if it stands here or above.
    pub pause_timeout: Option<u32>,
    /// `slice` fetches responses in parts, and plugins may change them.
    pub is_changed_in_parts: Cell<bool>,
}

/// When a plugin's body callback runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMode {
    /// Whenever there is a body: the spec.
    Always,
    /// When the plugin asked by `wasm_process_req_body` or `wasm_process_resp_body`: APISIX's rule.
    Property,
    /// Never.
    Never,
}

/// `wasm_pause_timeout` where nothing is said: 60 seconds, as nginx's own timeouts.
const PAUSE_TIMEOUT: u32 = 60_000;

/// A `proxy_wasm` line, with what a request needs to know of its plugin.
#[derive(Clone, Copy)]
pub struct Attached {
    /// Index into [`MainConf::attachments`].
    pub index: usize,
    pub phase: Phase,
    pub policy: Policy,
}

impl LocConf {
    /// Adds what stands at this level to what the level above has.
    pub fn merge(&mut self, above: &Self, main: &MainConf) {
        let attached = |&index: &usize| {
            let plugin = main.plugin_of(index);
            Attached { index, phase: plugin.phase, policy: plugin.policy }
        };
        self.request_body = self.request_body.or(above.request_body);
        self.response_body = self.response_body.or(above.response_body);
        self.pause_timeout = self.pause_timeout.or(above.pause_timeout);
        if !self.off {
            self.attachments.extend_from_slice(&above.attachments);
            // `http` has nothing above it and is never merged itself.
            if above.attachments.is_empty() {
                self.attachments.extend(above.own.iter().map(attached));
            }
        }
        self.attachments.extend(self.own.iter().map(attached));
        self.attachments.sort_by_key(|&Attached { index, .. }| {
            (main.attachments[index].in_location, Reverse(main.plugin_of(index).priority))
        });
    }

    /// When `proxy_on_request_body` runs.
    pub fn request_body(&self) -> BodyMode {
        self.request_body.unwrap_or(BodyMode::Always)
    }

    /// When `proxy_on_response_body` runs.
    pub fn response_body(&self) -> BodyMode {
        self.response_body.unwrap_or(BodyMode::Always)
    }

    /// How long a plugin may hold a request or a response, in milliseconds.
    pub fn pause_timeout(&self) -> u32 {
        self.pause_timeout.unwrap_or(PAUSE_TIMEOUT)
    }
}
