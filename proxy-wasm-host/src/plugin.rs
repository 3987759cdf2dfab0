//! A plugin: a module that uses an ABI version this host knows, linked to the host's functions.
//!
//! Every check that does not need to run the plugin is made here, while nginx reads its
//! configuration.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::error;
use wasmparser::{Export, ExternalKind, Parser, Payload};
use wasmtime::{Caller, ExternType, FuncType, ImportType, InstancePre, Linker, Store, UnknownImportError, Val};

use super::abi::{AbiVersion, Status};
use super::callbacks::{Callback, CallbackSet, Signature};
use super::context::Contexts;
use super::exports::ExportPlaces;
use super::host::Host;
use super::hostcalls::{self, names};
use super::identity::Identity;
use super::state::VmState;
use super::trial::{Trial, Verdict};
use crate::config::Directory;
pub use crate::config::{ImagePolicy, Isolation};
use crate::error::{Error, one_line};
use crate::wasm::head;
use crate::wasm::limits::Limits;
use crate::wasm::prepare::Prepared;
use crate::wasm::wasi::{self, Access, Wasi};
use crate::wasm::{Engine, Module};

/// The exports that mark the ABI versions, newest first. If a module has several, the newest
/// counts.
pub(crate) const ABI_VERSIONS: [(&str, AbiVersion); 4] = [
    ("proxy_abi_version_0_2_100", AbiVersion::V0_2_100),
    ("proxy_abi_version_0_2_1", AbiVersion::V0_2_1),
    ("proxy_abi_version_0_2_0", AbiVersion::V0_2_0),
    ("proxy_abi_version_0_1_0", AbiVersion::V0_1_0),
];

/// The errno that a function of WASI returns to a plugin that may not use it, as in Envoy.
const WASI_ENOTCAPABLE: i32 = 76;

/// The options that an operator sets for one plugin.
#[derive(Clone, Debug)]
pub struct PluginOptions {
    /// The most linear memory that an instance may have, in bytes.
    pub memory_limit: usize,
    /// How long a callback may run; `None` for no limit.
    pub callback_timeout: Option<Duration>,
    /// How long start and configuration may run; `None` for no limit.
    pub start_timeout: Option<Duration>,
    /// All environment variables that the plugin sees.
    pub env: Vec<(String, String)>,
    /// The host functions the plugin may use; `None` for all.
    pub capabilities: Option<Vec<String>>,
    /// Whether instances that have started are kept as images.
    pub image: ImagePolicy,
    /// Who shares an instance.
    pub isolation: Isolation,
    /// The directories that the plugin may use.
    pub directories: Arc<[Directory]>,
}

impl Default for PluginOptions {
    /// No limits except the ABI's own.
    fn default() -> Self {
        Self {
            memory_limit: usize::MAX,
            callback_timeout: None,
            start_timeout: None,
            env: Vec::new(),
            capabilities: None,
            image: ImagePolicy::Auto,
            isolation: Isolation::Worker,
            directories: Arc::default(),
        }
    }
}

/// A plugin that can be started. It is made once, in nginx's master, and every worker inherits it.
pub struct Plugin<H: Host> {
    identity: Arc<Identity>,
    module: Module,
    engine: Engine,
    instance_pre: InstancePre<VmState<H>>,
    prepared: Prepared,
    places: ExportPlaces,
    abi_version: AbiVersion,
    callbacks: CallbackSet,
    /// Found once, because every request asks.
    may_change_bodies: bool,
    options: PluginOptions,
    callback_ticks: u64,
    start_ticks: u64,
}

impl<H: Host> Plugin<H> {
    /// Checks and links a module.
    ///
    /// # Errors
    /// When the module is not a plugin, or not one that this host can run. The text says which
    /// export or import is at fault.
    pub fn new(
        engine: &Engine,
        module: &Module,
        identity: Identity,
        options: PluginOptions,
    ) -> Result<Arc<Self>, Error> {
        Self::link(engine, module, Arc::new(identity), options)
    }

    /// Links the plugin to the functions of another host, to try it: it changes no files.
    ///
    /// # Errors
    /// Those of [`Plugin::new`].
    pub(crate) fn to_try<K: Host>(&self) -> Result<Arc<Plugin<K>>, Error> {
        let read_only = |directory: &Directory| Directory { writable: false, ..directory.clone() };
        let directories = self.options.directories.iter().map(read_only).collect();
        let options = PluginOptions { directories, ..self.options.clone() };
        Plugin::link(&self.engine, &self.module, Arc::clone(&self.identity), options)
    }

    fn link(
        engine: &Engine,
        module: &Module,
        identity: Arc<Identity>,
        options: PluginOptions,
    ) -> Result<Arc<Self>, Error> {
        let wasm = module.wasmtime();
        let abi_version = abi_version(wasm)?;
        let callbacks = CallbackSet::of(wasm)?;
        check_memory(wasm, options.memory_limit)?;
        crate::wasm::limits::excess(wasm).map_or(Ok(()), |excess| Err(Error::Plugin(excess)))?;

        let mut linker = Linker::new(engine.wasmtime());
        hostcalls::add_to_linker(&mut linker, wasm).map_err(Error::Engine)?;
        wasi::add_to_linker(&mut linker).map_err(Error::Engine)?;
        if !options.directories.is_empty() {
            let unable = |error: wasmtime::Error| Error::Plugin(format!("cannot have directories: {error}"));
            wasi::add_directories_to_linker(&mut linker).map_err(unable)?;
        }
        let mut instance_pre = linker.instantiate_pre(wasm).map_err(|error| unlinkable(wasm, &error))?;
        if let Some(capabilities) = &options.capabilities {
            check_capabilities(capabilities)?;
            restrict(&mut linker, wasm, capabilities, &identity)?;
            instance_pre = linker.instantiate_pre(wasm).map_err(|error| unlinkable(wasm, &error))?;
        }

        Ok(Arc::new(Self {
            identity,
            module: module.clone(),
            engine: engine.clone(),
            instance_pre,
            prepared: Prepared::of(wasm),
            places: ExportPlaces::of(wasm),
            abi_version,
            callbacks,
            may_change_bodies: may_change_bodies(wasm, abi_version, callbacks),
            callback_ticks: engine.ticks(options.callback_timeout),
            start_ticks: engine.ticks(options.start_timeout),
            options,
        }))
    }

    /// Checks the imports of a module's file that has not been compiled, since compiling may take
    /// long. What cannot be read here, the compiler complains about.
    ///
    /// # Errors
    /// When the module imports a function that this host does not have.
    pub fn check_imports(file: &[u8]) -> Result<(), Error> {
        let imports = Parser::new(0).parse_all(file).map_while(Result::ok).find_map(|payload| match payload {
            Payload::ImportSection(section) => Some(section),
            _ => None,
        });
        let unknown = imports.into_iter().flat_map(wasmparser::ImportSectionReader::into_imports).map_while(Result::ok);
        let mut unknown = unknown.filter(|import| !names::is_import(import.module, import.name));
        unknown.next().map_or(Ok(()), |import| Err(unknown_import(import.module, import.name)))
    }

    /// Checks what the beginning of a plugin's file shows, however large the file is: imports, ABI
    /// version and memory. What cannot be found out so, the compiler complains about.
    ///
    /// # Errors
    /// When the file cannot be a plugin that this host can run; or the system's error.
    pub fn check_beginning(file: &mut (impl io::Read + io::Seek)) -> io::Result<Result<(), Error>> {
        let head = match head::read(file)? {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        };
        Ok(Self::check_imports(&head).and_then(|()| check_exports(&head)))
    }

    /// Returns whether the plugin exports this callback.
    #[inline]
    pub fn has(&self, callback: Callback) -> bool {
        self.callbacks.contains(callback)
    }

    /// The callbacks that the plugin exports.
    #[inline]
    pub fn callbacks(&self) -> CallbackSet {
        self.callbacks
    }

    /// Returns whether the plugin can change a body.
    #[inline]
    pub fn may_change_bodies(&self) -> bool {
        self.may_change_bodies
    }

    /// The plugin's identity.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The name that the plugin was declared with.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// The plugin's module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// The engine that the plugin runs on.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The ABI version that the plugin advertises.
    pub fn abi_version(&self) -> AbiVersion {
        self.abi_version
    }

    /// The options that the operator set for the plugin.
    pub fn options(&self) -> &PluginOptions {
        &self.options
    }

    /// Runs the plugin with a root id, in an instance that is thrown away.
    pub fn try_root_id(&self, root_id: &str) -> Verdict {
        let trial = Trial {
            module: self.module.wasmtime(),
            name: self.name(),
            vm_id: &self.identity.vm_id,
            wasi: self.wasi(true),
            has_directories: !self.options.directories.is_empty(),
            limits: Limits::new(self.name(), self.options.memory_limit),
            ticks: self.start_ticks,
        };
        trial.run(root_id)
    }

    /// Chooses the plugin's root id, once in each process, if the plugin may ask for it. Logs an
    /// error if the plugin does nothing with it.
    pub fn choose_root_id(&self) {
        let root_id = &self.identity.root_id;
        if !root_id.is_chosen() && root_id.choose(|id| self.try_root_id(id)) != Verdict::Acts {
            error!(
                "plugin \"{}\" does nothing with the root id {root_id}: it has contexts of other ids only. proxy-wasm-check \
                 finds them, and root_id= of wasm_plugin chooses one; under Lua the plugin's name does",
                self.name()
            );
        }
    }

    /// Makes an instance's store, with its limits and the deadline of its start.
    pub(crate) fn store(&self, host: H, contexts: Contexts<H::Stream>) -> Store<VmState<H>> {
        let (limits, wasi) = self.limits_and_wasi();
        let state = VmState::new(Arc::clone(&self.identity), self.abi_version, limits, wasi, host, contexts);
        let mut store = Store::new(self.engine.wasmtime(), state);
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(self.start_ticks);
        store
    }

    /// Makes the state of an instance's store anew, as [`Plugin::store`] makes it.
    pub(crate) fn renew(&self, store: &mut Store<VmState<H>>, host: H, contexts: Contexts<H::Stream>) {
        let (limits, wasi) = self.limits_and_wasi();
        store.data_mut().renew(limits, wasi, host, contexts);
        store.set_epoch_deadline(self.start_ticks);
    }

    fn limits_and_wasi(&self) -> (Limits, Wasi) {
        (Limits::new(self.name(), self.options.memory_limit), self.wasi(false))
    }

    /// The WASI state of an instance. What a trial changes must not stay.
    fn wasi(&self, is_trial: bool) -> Wasi {
        let access = if is_trial { Access::ReadOnly } else { Access::Given };
        Wasi::new(&self.options.env).with_directories(&self.options.directories, access)
    }

    /// What the module has for images of its instances.
    pub(crate) fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// Where the module has what this host uses of its instances.
    pub(crate) fn places(&self) -> &ExportPlaces {
        &self.places
    }

    pub(crate) fn instance_pre(&self) -> &InstancePre<VmState<H>> {
        &self.instance_pre
    }

    /// The deadline of a start, in ticks of the engine's clock.
    pub(crate) fn start_ticks(&self) -> u64 {
        self.start_ticks
    }

    /// The deadline of a callback, in ticks of the engine's clock.
    #[inline]
    pub(crate) fn ticks(&self, callback: Callback) -> u64 {
        match callback {
            Callback::OnVmStart | Callback::OnConfigure => self.start_ticks,
            _ => self.callback_ticks,
        }
    }
}

/// Whether a module can change bodies: by a function that it imports, or by what its callback returns.
fn may_change_bodies(module: &wasmtime::Module, version: AbiVersion, callbacks: CallbackSet) -> bool {
    const CHANGING: [&str; 2] = ["proxy_set_buffer_bytes", "proxy_inject_encoded_data_to_filter_chain"];
    let sees = [Callback::OnRequestBody, Callback::OnResponseBody].iter().any(|callback| callbacks.contains(*callback));
    let drops = version == AbiVersion::V0_2_100 && sees;
    drops || module.imports().any(|import| CHANGING.contains(&import.name()))
}

fn abi_version(module: &wasmtime::Module) -> Result<AbiVersion, Error> {
    abi_version_of(module.exports().map(|export| export.name()))
}

/// Finds the ABI version by the names of exports.
fn abi_version_of<'a>(names: impl Iterator<Item = &'a str>) -> Result<AbiVersion, Error> {
    let markers: Vec<_> = names.filter(|name| name.starts_with("proxy_abi_version_")).collect();
    let known = ABI_VERSIONS.iter().find(|(marker, _)| markers.contains(marker));
    known.map(|(_, version)| *version).ok_or_else(|| {
        Error::Plugin(match markers.first() {
            Some(marker) => format!("exports {marker}, which this host does not know"),
            None => "exports no proxy_abi_version_*".into(),
        })
    })
}

/// Checks the exports of a module that has not been compiled.
fn check_exports(module: &[u8]) -> Result<(), Error> {
    let exports = Parser::new(0).parse_all(module).map_while(Result::ok).find_map(|payload| match payload {
        Payload::ExportSection(section) => Some(section),
        _ => None,
    });
    let exports: Vec<_> = exports.into_iter().flatten().map_while(Result::ok).collect();
    abi_version_of(exports.iter().map(|export| export.name))?;
    let is_memory = |export: &Export<'_>| export.name == "memory" && export.kind == ExternalKind::Memory;
    if exports.iter().any(is_memory) { Ok(()) } else { Err(no_memory()) }
}

fn no_memory() -> Error {
    Error::Plugin("exports no memory".into())
}

fn check_memory(module: &wasmtime::Module, limit: usize) -> Result<(), Error> {
    let Some(ExternType::Memory(memory)) = module.get_export("memory") else {
        return Err(no_memory());
    };
    let minimum = memory.minimum().saturating_mul(memory.page_size());
    if minimum > limit as u64 {
        return Err(Error::Plugin(format!(
            "starts with {minimum} bytes of memory, but its limit is {limit}; raise wasm_memory_limit"
        )));
    }
    Ok(())
}

fn unknown_import(module: &str, name: &str) -> Error {
    Error::Plugin(format!("imports {module}.{name}, which this host does not have"))
}

/// Says in the operator's words which import is at fault.
fn unlinkable(module: &wasmtime::Module, error: &wasmtime::Error) -> Error {
    if let Some(unknown) = error.downcast_ref::<UnknownImportError>() {
        return unknown_import(unknown.module(), unknown.name());
    }
    // Wasmtime names the import in the error and the types in its cause, both only as text.
    let text = error.to_string();
    let names_it = |import: &ImportType<'_>| text.contains(&format!("`{}::{}`", import.module(), import.name()));
    let import = module.imports().find(names_it);
    let found = error.root_cause().to_string();
    let found = found.rsplit_once("found type `").and_then(|(_, found)| found.split_once('`'));
    let fault = match (import.as_ref().map(|import| (import, import.ty())), found) {
        (Some((import, ExternType::Func(ty))), Some((host, _))) => {
            format!(
                "imports {}.{} with type {}, this host has {}",
                import.module(),
                import.name(),
                Signature(&ty),
                arrow(host)
            )
        }
        _ => format!("cannot be linked: {}", one_line(error)),
    };
    Error::Plugin(fault)
}

/// Rewrites a function's type from wasmtime's notation, `(func (param i32 i32) (result i32))`, as
/// [`Signature`] writes it.
fn arrow(text: &str) -> String {
    let list = |kind: &str| {
        let (_, rest) = text.split_once(kind)?;
        let (types, _) = rest.split_once(')')?;
        Some(types.split_whitespace().collect::<Vec<_>>().join(", "))
    };
    format!("({}) -> {}", list("(param").unwrap_or_default(), list("(result").unwrap_or_else(|| "()".into()))
}

/// Checks the names. A misspelt name allows nothing, which the operator would otherwise notice only
/// when the plugin does not work.
fn check_capabilities(capabilities: &[String]) -> Result<(), Error> {
    let Some(unknown) = capabilities.iter().find(|name| !names::is_known(name)) else { return Ok(()) };
    let similar = match names::similar(unknown).as_slice() {
        [] => String::new(),
        similar => format!(": is it {}?", similar.join(" or ")),
    };
    Err(Error::Plugin(format!("has the capability \"{unknown}\", which is not a function of this host{similar}")))
}

/// Replaces the host functions that are not among `capabilities`. The plugin can still import and
/// call them, but they do nothing.
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

/// A function that always returns the same answer, and logs its first call.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::{self, LocalHost};

    fn load(wat: &str) -> Result<Arc<Plugin<LocalHost>>, Error> {
        local::plugin(wat.as_bytes(), PluginOptions::default())
    }

    fn fault(wat: &str) -> String {
        load(wat).err().expect("a fault").to_string()
    }

    /// Returns the text of a plugin with an addition.
    fn with(addition: &str) -> String {
        format!(r#"(module {addition} (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))"#)
    }

    #[test]
    fn every_abi_version_is_known_by_its_marker() {
        for (marker, version) in ABI_VERSIONS {
            let wat = with("").replace("proxy_abi_version_0_2_1", marker);
            assert_eq!(load(&wat).unwrap().abi_version(), version, "{marker}");
        }
        let both = with(r#"(func (export "proxy_abi_version_0_1_0"))"#);
        assert_eq!(load(&both).unwrap().abi_version(), AbiVersion::V0_2_1);
    }

    #[test]
    fn what_is_no_plugin_is_told_why() {
        assert_eq!(fault("<html>"), "is not a WebAssembly module");
        assert!(fault("(module (fnord))").starts_with("is not a valid WebAssembly module: "));
        assert_eq!(fault("(module)"), "exports no proxy_abi_version_*");
        assert_eq!(
            fault(&with("").replace("0_2_1", "9_9_9")),
            "exports proxy_abi_version_9_9_9, which this host does not know"
        );
        assert_eq!(fault(&with("").replace("\"memory\"", "\"mem\"")), "exports no memory");
    }

    #[test]
    fn an_import_at_fault_is_named() {
        assert_eq!(fault(&with(r#"(import "env" "foo" (func))"#)), "imports env.foo, which this host does not have");
        assert_eq!(
            fault(&with(r#"(import "env" "proxy_log" (func (param i32) (result i32)))"#)),
            "imports env.proxy_log with type (i32) -> i32, this host has (i32, i32, i32) -> i32"
        );
        assert_eq!(
            fault(&with(r#"(import "env" "proxy_done" (func (param i64 i64)))"#)),
            "imports env.proxy_done with type (i64, i64) -> (), this host has () -> i32"
        );
        assert!(fault(&with(r#"(import "env" "proxy_log" (global i32))"#)).starts_with("cannot be linked: "));
        // Go's linker imports a function twice if it is used twice.
        load(&with(
            r#"(import "env" "proxy_done" (func (result i32))) (import "env" "proxy_done" (func (result i32)))"#,
        ))
        .unwrap();
    }

    #[test]
    fn a_missing_import_is_found_before_compiling() {
        // The text of a module is left to the compiler.
        Plugin::<LocalHost>::check_imports(br#"(module (import "env" "foo" (func)))"#).unwrap();
        // (module (import "env" "foo" (func)))
        let module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x0b\x01\x03env\x03foo\0\0";
        let fault = Plugin::<LocalHost>::check_imports(module).unwrap_err().to_string();
        assert_eq!(fault, "imports env.foo, which this host does not have");
        for cut in 0..module.len() {
            let _ = Plugin::<LocalHost>::check_imports(&module[..cut]);
        }
        let known = b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x02\x12\x01\x03env\x0aproxy_done\0\0";
        Plugin::<LocalHost>::check_imports(known).unwrap();
    }

    #[test]
    fn the_beginning_of_a_file_shows_what_a_compiled_module_does() {
        let check = |text: &str| {
            let wasm = wat::parse_str(text).unwrap();
            Plugin::<LocalHost>::check_beginning(&mut io::Cursor::new(wasm)).unwrap()
        };
        check(&with("(func nop)")).unwrap();
        let fly = r#"(import "env" "fly" (func))"#;
        for text in
            ["(module)", &with(fly), &with("").replace("0_2_1", "9_9"), &with("").replace("\"memory\"", "\"m\"")]
        {
            assert_eq!(check(text).unwrap_err().to_string(), fault(text));
        }
    }

    #[test]
    fn a_callback_at_fault_is_named() {
        assert_eq!(
            fault(&with(r#"(func (export "proxy_on_tick") (param i64))"#)),
            "exports proxy_on_tick with type (i64) -> (), not (i32) -> ()"
        );
        assert_eq!(
            fault(&with(r#"(func (export "proxy_on_request_headers") (param i32))"#)),
            "exports proxy_on_request_headers with type (i32) -> (), not (i32, i32, i32) -> i32 or (i32, i32) -> i32"
        );
        assert_eq!(
            fault(&with(r#"(global (export "proxy_on_log") i32 (i32.const 0))"#)),
            "exports proxy_on_log, but not as a function"
        );
    }

    #[test]
    fn its_callbacks_are_known_without_running_it() {
        let plugin = load(&with(r#"(func (export "proxy_on_tick") (param i32))"#)).unwrap();
        assert!(plugin.has(Callback::OnTick));
        assert!(!plugin.has(Callback::OnLog));
    }

    #[test]
    fn memory_that_is_over_the_limit_from_the_start_is_told() {
        let options = PluginOptions { memory_limit: 1 << 16, ..PluginOptions::default() };
        local::plugin(with("").as_bytes(), options.clone()).unwrap();
        let wat = with("").replace(") 1)", ") 2)");
        let fault = local::plugin(wat.as_bytes(), options).err().unwrap().to_string();
        assert_eq!(fault, "starts with 131072 bytes of memory, but its limit is 65536; raise wasm_memory_limit");
    }

    #[test]
    fn what_is_not_among_its_capabilities_does_nothing() {
        let wat = with(
            r#"(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
            (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
            (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
            (data (i32.const 0) "hello")
            (func (export "proxy_on_configure") (param i32 i32) (result i32)
                (drop (call $log (i32.const 2) (i32.const 0) (i32.const 5)))
                (i32.and
                    (i32.eq (call $tick (i32.const 1)) (i32.const 10))
                    (i32.eq (call $yield) (i32.const 76))))"#,
        );
        let options = PluginOptions { capabilities: Some(vec!["proxy_log".into()]), ..PluginOptions::default() };
        let (host, vm) = local::vm(local::plugin(wat.as_bytes(), options).unwrap());
        vm.plugin_context([].into()).start().unwrap();
        assert_eq!(host.take_log(), ["hello"]);
        assert!(host.worker().tick_periods.is_empty());
    }
}
