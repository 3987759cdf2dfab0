//! A plugin: a module that was found to speak an ABI version this host knows, linked to the host's functions.
//!
//! Everything that can be said about a plugin without running it is said here, while nginx reads its configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::error;
use wasmtime::{Caller, ExternType, FuncType, ImportType, InstancePre, Linker, UnknownImportError, Val};

use super::abi::{AbiVersion, Status};
use super::callbacks::{Callback, CallbackSet, Signature};
use super::host::Host;
use super::hostcalls;
use super::state::{Identity, VmState};
use crate::error::{Error, OneLine};
use crate::wasm::{Engine, Module};

/// The markers of the ABI versions, newest first: of several the newest counts.
const ABI_VERSIONS: [(&str, AbiVersion); 4] = [
    ("proxy_abi_version_0_2_100", AbiVersion::V0_2_1),
    ("proxy_abi_version_0_2_1", AbiVersion::V0_2_1),
    ("proxy_abi_version_0_2_0", AbiVersion::V0_2_0),
    ("proxy_abi_version_0_1_0", AbiVersion::V0_1_0),
];

/// What a function of WASI answers that the plugin may not use; Envoy's choice, too.
const WASI_ENOTCAPABLE: i32 = 76;

/// What an operator decides about one plugin.
#[derive(Clone, Debug)]
pub struct PluginOptions {
    /// Bytes of memory an instance may have.
    pub memory_limit: usize,
    /// How long a callback may run; `None` for as long as it likes.
    pub callback_timeout: Option<Duration>,
    /// How long start and configuration may run; `None` for as long as they like.
    pub start_timeout: Option<Duration>,
    /// The whole environment the plugin sees.
    pub env: Vec<(String, String)>,
    /// The host functions the plugin may use; `None` for all.
    pub capabilities: Option<Vec<String>>,
}

impl Default for PluginOptions {
    /// No limit but the ABI's own.
    fn default() -> Self {
        Self { memory_limit: usize::MAX, callback_timeout: None, start_timeout: None, env: Vec::new(), capabilities: None }
    }
}

/// A plugin that can be started. Made once, in nginx's master, and inherited by every worker.
pub struct Plugin<H: Host> {
    identity: Arc<Identity>,
    module: Module,
    engine: Engine,
    instance_pre: InstancePre<VmState<H>>,
    abi_version: AbiVersion,
    callbacks: CallbackSet,
    options: PluginOptions,
    callback_ticks: u64,
    start_ticks: u64,
}

impl<H: Host> Plugin<H> {
    /// Checks and links a module.
    ///
    /// # Errors
    /// When it is no plugin, or one that this host cannot run. The text says which export or import is at fault.
    pub fn new(engine: &Engine, module: &Module, identity: Identity, options: PluginOptions) -> Result<Arc<Self>, Error> {
        let wasm = module.wasmtime();
        let abi_version = abi_version(wasm)?;
        let callbacks = CallbackSet::of(wasm)?;
        check_memory(wasm, options.memory_limit)?;

        let identity = Arc::new(identity);
        let mut linker = Linker::new(engine.wasmtime());
        hostcalls::add_to_linker(&mut linker).map_err(Error::Engine)?;
        let mut instance_pre = linker.instantiate_pre(wasm).map_err(|error| unlinkable(wasm, &error))?;
        if let Some(capabilities) = &options.capabilities {
            restrict(&mut linker, wasm, capabilities, &identity)?;
            instance_pre = linker.instantiate_pre(wasm).map_err(|error| unlinkable(wasm, &error))?;
        }

        Ok(Arc::new(Self {
            identity,
            module: module.clone(),
            engine: engine.clone(),
            instance_pre,
            abi_version,
            callbacks,
            callback_ticks: engine.ticks(options.callback_timeout),
            start_ticks: engine.ticks(options.start_timeout),
            options,
        }))
    }

    /// Whether the plugin exports this callback.
    #[inline]
    pub fn has(&self, callback: Callback) -> bool {
        self.callbacks.contains(callback)
    }

    /// Who it is.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The name it was declared with.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// The module it is made of.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// The engine it runs on.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The ABI version it advertises.
    pub fn abi_version(&self) -> AbiVersion {
        self.abi_version
    }

    /// What the operator decided about it.
    pub fn options(&self) -> &PluginOptions {
        &self.options
    }

    pub(crate) fn instance_pre(&self) -> &InstancePre<VmState<H>> {
        &self.instance_pre
    }

    /// The deadline of a callback, in ticks of the engine's epoch.
    #[inline]
    pub(crate) fn ticks(&self, callback: Callback) -> u64 {
        match callback {
            Callback::OnVmStart | Callback::OnConfigure => self.start_ticks,
            _ => self.callback_ticks,
        }
    }

    /// The deadline of the start functions.
    pub(crate) fn start_ticks(&self) -> u64 {
        self.start_ticks
    }
}

fn abi_version(module: &wasmtime::Module) -> Result<AbiVersion, Error> {
    let known = ABI_VERSIONS.iter().find(|(marker, _)| module.get_export(marker).is_some());
    known.map(|(_, version)| *version).ok_or_else(|| {
        let unknown = module.exports().find(|export| export.name().starts_with("proxy_abi_version_"));
        Error::Plugin(match unknown {
            Some(marker) => format!("exports {}, which this host does not know", marker.name()),
            None => "exports no proxy_abi_version_*".into(),
        })
    })
}

fn check_memory(module: &wasmtime::Module, limit: usize) -> Result<(), Error> {
    let Some(ExternType::Memory(memory)) = module.get_export("memory") else {
        return Err(Error::Plugin("exports no memory".into()));
    };
    let minimum = memory.minimum().saturating_mul(memory.page_size());
    if minimum > limit as u64 {
        return Err(Error::Plugin(format!("starts with {minimum} bytes of memory, but its limit is {limit}")));
    }
    Ok(())
}

/// In the operator's words, which import is at fault.
fn unlinkable(module: &wasmtime::Module, error: &wasmtime::Error) -> Error {
    if let Some(unknown) = error.downcast_ref::<UnknownImportError>() {
        return Error::Plugin(format!("imports {}.{}, which this host does not have", unknown.module(), unknown.name()));
    }
    // Wasmtime names the import in the error and the types in its cause, both in text only.
    let text = error.to_string();
    let names_it = |import: &ImportType<'_>| text.contains(&format!("`{}::{}`", import.module(), import.name()));
    let import = module.imports().find(names_it);
    let found = error.root_cause().to_string();
    let found = found.rsplit_once("found type `").and_then(|(_, found)| found.split_once('`'));
    let fault = match (import.as_ref().map(|import| (import, import.ty())), found) {
        (Some((import, ExternType::Func(ty))), Some((host, _))) => {
            format!("imports {}.{} with type {}, this host has {}", import.module(), import.name(), Signature(&ty), arrow(host))
        }
        _ => format!("cannot be linked: {}", OneLine(error)),
    };
    Error::Plugin(fault)
}

/// A function's type from wasmtime's notation, `(func (param i32 i32) (result i32))`, as [`Signature`] writes it.
fn arrow(text: &str) -> String {
    let list = |kind: &str| {
        let (_, rest) = text.split_once(kind)?;
        let (types, _) = rest.split_once(')')?;
        Some(types.split_whitespace().collect::<Vec<_>>().join(", "))
    };
    format!("({}) -> {}", list("(param").unwrap_or_default(), list("(result").unwrap_or_else(|| "()".into()))
}

/// Replaces the host functions that are not among `capabilities`: the plugin can import and call them, but they do nothing.
fn restrict<H: Host>(
    linker: &mut Linker<VmState<H>>,
    module: &wasmtime::Module,
    capabilities: &[String],
    plugin: &Arc<Identity>,
) -> Result<(), Error> {
    linker.allow_shadowing(true);
    for import in module.imports() {
        let ExternType::Func(ty) = import.ty() else { continue };
        if capabilities.iter().any(|name| name == import.name()) {
            continue;
        }
        let answer = if import.module() == "env" { Status::InternalFailure as i32 } else { WASI_ENOTCAPABLE };
        let stub = stub(&ty, answer, import.name().to_owned(), Arc::clone(plugin));
        linker.func_new(import.module(), import.name(), ty, stub).map_err(Error::Engine)?;
    }
    Ok(())
}

/// A function that answers what it always answers, and says so the first time.
fn stub<T>(
    ty: &FuncType,
    answer: i32,
    name: String,
    plugin: Arc<Identity>,
) -> impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> wasmtime::Result<()> + Send + Sync + 'static {
    let answers = ty.results().len() > 0;
    let said = AtomicBool::new(false);
    move |_, _, results| {
        if !said.swap(true, Ordering::Relaxed) {
            error!("plugin \"{}\" called {name}, which is not among its capabilities", plugin.name);
        }
        if answers {
            results[0] = Val::I32(answer);
        }
        Ok(())
    }
}
