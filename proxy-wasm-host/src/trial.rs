//! A trial: what a plugin does with a root id.
//!
//! The plugin runs through its start, its configuration and one request, in an instance that is
//! thrown away. Its host functions do nothing: at the first call of one that could have an effect
//! the trial is over. Two do not end it: the properties that tell the plugin who it is, and the
//! log, because the AssemblyScript SDK logs why it ends the instance. Functions of WASI work as
//! ever, since the runtimes of languages need them to start.
//!
//! What a plugin does is what it calls and what it answers. So a plugin that calls nothing and
//! answers each callback with "continue" or "done" has no effect on any request.

use std::fmt;

use wasmtime::{Caller, Extern, ExternType, Linker, Memory, Module, Store, TypedFunc, Val};

use super::abi::{Action, Status};
use super::callbacks::{Callbacks, Places};
use super::property::PropertyPath;
use crate::wasm::limits::Limits;
use crate::wasm::memory::{GuestBytes, LinearMemory, OutOfBounds};
use crate::wasm::wasi::{self, Output, Wasi, WasiHost};
use crate::wasm::{interrupt, start};

/// What a plugin does with a root id, from the worst to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The plugin traps, exits or takes too long.
    Ends,
    /// The plugin calls no host function, and lets everything pass.
    Nothing,
    /// The plugin calls a host function, or answers otherwise than by letting pass.
    Acts,
}

/// The values that a plugin learns about itself, and its limits.
pub(crate) struct Trial<'a> {
    pub module: &'a Module,
    pub name: &'a str,
    pub vm_id: &'a str,
    pub wasi: Wasi,
    pub has_directories: bool,
    pub limits: Limits,
    /// The deadline of the whole trial, in ticks of the engine's clock.
    pub ticks: u64,
}

/// The contexts' ids.
const ROOT: u32 = 1;
const HTTP: u32 = 2;

/// Sizes and numbers that the callbacks are told.
const SOME: u32 = 8;

impl Trial<'_> {
    /// Runs the plugin with a root id.
    pub fn run(self, root_id: &str) -> Verdict {
        let own = [("plugin_root_id", root_id), ("plugin_name", self.name), ("plugin_vm_id", self.vm_id)];
        let mut store = Store::new(
            self.module.engine(),
            State {
                own: own.map(|(path, value)| (path, value.to_owned())),
                limits: self.limits,
                wasi: self.wasi,
                exports: None,
                has_started: false,
                acts: false,
            },
        );
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(self.ticks);
        let result = interrupt::within(self.ticks, || run(self.module, self.has_directories, &mut store));
        interrupt::was_interrupted();
        match result {
            Err(error) if error.downcast_ref::<Acted>().is_none() => Verdict::Ends,
            Ok(Passes(true)) if !store.data().acts => Verdict::Nothing,
            _ => Verdict::Acts,
        }
    }
}

/// Whether the plugin let everything pass.
struct Passes(bool);

/// Runs the start, the configuration and a request.
fn run(module: &Module, has_directories: bool, store: &mut Store<State>) -> wasmtime::Result<Passes> {
    const TRUE: u32 = 1;
    const CONTINUE: i32 = Action::CONTINUE;

    let instance = linker(module, has_directories)?.instantiate(&mut *store, module)?;
    let memory = instance.get_memory(&mut *store, "memory").ok_or_else(|| wasmtime::Error::msg("no memory"))?;
    let mut allocator = |name| instance.get_typed_func::<u32, u32>(&mut *store, name).ok();
    let allocate = allocator("proxy_on_memory_allocate").or_else(|| allocator("malloc"));
    store.data_mut().exports = Some(Exports { memory, allocate });
    start::run(&instance, store).map_err(|(_, error)| error)?;
    store.data_mut().has_started = true;

    let callbacks = Callbacks::of(instance, &Places::of(module));
    callbacks.on_context_create.call(store, (ROOT, 0), ())?;
    let started = callbacks.on_vm_start.call(store, (ROOT, 0), TRUE)?;
    let configured = callbacks.on_configure.call(store, (ROOT, 0), TRUE)?;
    callbacks.on_context_create.call(store, (HTTP, ROOT), ())?;
    let actions = [
        callbacks.on_request_headers.call(store, (HTTP, SOME, 0), CONTINUE)?,
        callbacks.on_request_body.call(store, (HTTP, SOME, 1), CONTINUE)?,
        callbacks.on_request_trailers.call(store, (HTTP, SOME), CONTINUE)?,
        callbacks.on_response_headers.call(store, (HTTP, SOME, 0), CONTINUE)?,
        callbacks.on_response_body.call(store, (HTTP, SOME, 1), CONTINUE)?,
        callbacks.on_response_trailers.call(store, (HTTP, SOME), CONTINUE)?,
    ];
    let done = callbacks.on_done.call(store, HTTP, TRUE)?;
    callbacks.on_log.call(store, HTTP, ())?;
    callbacks.on_delete.call(store, HTTP, ())?;
    let truths = [started, configured, done];
    Ok(Passes(actions.iter().all(|&action| action == CONTINUE) && truths.iter().all(|&truth| truth != 0)))
}

struct State {
    /// The properties that tell the plugin who it is.
    own: [(&'static str, String); 3],
    limits: Limits,
    wasi: Wasi,
    /// Set once the instance exists.
    exports: Option<Exports>,
    /// Whether the start functions have returned. What they call has no effect on a request.
    has_started: bool,
    acts: bool,
}

struct Exports {
    memory: Memory,
    allocate: Option<TypedFunc<u32, u32>>,
}

impl WasiHost for State {
    fn wasi(&mut self) -> &mut Wasi {
        &mut self.wasi
    }

    fn memory(&self) -> Option<Memory> {
        self.exports.as_ref().map(|exports| exports.memory)
    }

    fn log_line(&mut self, _: Output, _: &[u8]) {
        self.acts |= self.has_started;
    }
}

/// The plugin called a function that could have an effect.
#[derive(Debug)]
struct Acted;

impl fmt::Display for Acted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the plugin acts")
    }
}

impl std::error::Error for Acted {}

/// Defines what the module imports. The types are those of its imports, which were compared with
/// those of the host's functions when the plugin was linked.
fn linker(module: &Module, has_directories: bool) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(module.engine());
    wasi::add_to_linker(&mut linker)?;
    if has_directories {
        wasi::add_directories_to_linker(&mut linker)?;
    }
    // Go's linker imports a function twice if it is used twice.
    linker.allow_shadowing(true);
    for import in module.imports() {
        let (ExternType::Func(ty), "env") = (import.ty(), import.module()) else { continue };
        match import.name() {
            "proxy_get_property" => linker.func_wrap("env", "proxy_get_property", get_property)?,
            "abort" => linker.func_new("env", "abort", ty, |_, _, _| Err(wasmtime::Error::msg("abort")))?,
            name => {
                let goes_on = name == "proxy_log";
                linker.func_new("env", name, ty.clone(), move |mut caller, _, results| {
                    act(&mut caller, goes_on)?;
                    ty.results()
                        .zip(results)
                        .for_each(|(ty, result)| *result = Val::default_for_ty(&ty).unwrap_or(Val::I32(0)));
                    Ok(())
                })?
            }
        };
    }
    Ok(linker)
}

/// A host function was called: from here on the plugin acts.
fn act(caller: &mut Caller<'_, State>, goes_on: bool) -> wasmtime::Result<()> {
    let state = caller.data_mut();
    state.acts |= state.has_started;
    if state.acts && !goes_on { Err(Acted.into()) } else { Ok(()) }
}

/// `proxy_get_property`, of those that tell the plugin who it is.
fn get_property(mut caller: Caller<'_, State>, path: u32, size: u32, data: u32, length: u32) -> wasmtime::Result<i32> {
    let Some(memory) = caller.get_export("memory").and_then(Extern::into_memory) else {
        return Ok(Status::InvalidMemoryAccess as i32);
    };
    let (bytes, state) = memory.data_and_store_mut(&mut caller);
    let bytes = LinearMemory::new(bytes);
    let Ok(path) = bytes.bytes(GuestBytes { address: path, size }).map(PropertyPath::new) else {
        return Ok(Status::InvalidMemoryAccess as i32);
    };
    let own = state.own.iter().find(|(known, _)| known.as_bytes() == path.as_bytes());
    let Some(value) = own.map(|(_, value)| value.clone()) else {
        act(&mut caller, false)?;
        return Ok(Status::NotFound as i32);
    };
    let allocate = caller.data().exports.as_ref().and_then(|exports| exports.allocate.clone());
    let size = u32::try_from(value.len()).unwrap_or_default();
    let address = match allocate {
        Some(allocate) if size > 0 => allocate.call(&mut caller, size)?,
        _ => 0,
    };
    let mut memory = LinearMemory::new(memory.data_mut(&mut caller));
    let mut give = || {
        memory.write(address, value.as_bytes())?;
        memory.write_u32(data, address)?;
        memory.write_u32(length, size)
    };
    Ok(give().map_or_else(|OutOfBounds| Status::InvalidMemoryAccess, |()| Status::Ok) as i32)
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Acts, Ends, Nothing};
    use super::*;
    use crate::local;
    use crate::plugin::PluginOptions;

    /// Tries a plugin with the empty root id.
    fn tried(functions: &str) -> Verdict {
        let wat = format!(
            r#"(module
                (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
                (import "env" "proxy_get_property" (func $get (param i32 i32 i32 i32) (result i32)))
                (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory (export "memory") 1)
                (data (i32.const 0) "plugin_root_id")
                (func $log_it (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1))))
                (func $ask (param $size i32) (result i32)
                    (call $get (i32.const 0) (local.get $size) (i32.const 32) (i32.const 36)))
                (func (export "proxy_abi_version_0_2_1"))
                {functions})"#
        );
        local::plugin(wat.as_bytes(), PluginOptions::default()).unwrap().try_root_id("")
    }

    #[test]
    fn a_plugin_acts_when_it_calls_or_does_not_let_pass() {
        for (functions, verdict) in [
            ("", Nothing),
            (r#"(func (export "_initialize") (call $log_it))"#, Nothing),
            (r#"(func (export "proxy_on_context_create") (param i32 i32) (drop (call $ask (i32.const 14))))"#, Nothing),
            (r#"(func (export "proxy_on_context_create") (param i32 i32) (drop (call $ask (i32.const 6))))"#, Acts),
            (r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (call $tick (i32.const 1)))"#, Acts),
            (r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 0))"#, Acts),
            (r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#, Nothing),
            (r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 1))"#, Acts),
            (r#"(func (export "proxy_on_log") (param i32) (call $log_it))"#, Acts),
            (r#"(func (export "proxy_on_log") (param i32) unreachable)"#, Ends),
            (r#"(func (export "_initialize") unreachable)"#, Ends),
            (
                r#"(func (export "proxy_on_context_create") (param i32 i32) (call $log_it) (call $exit (i32.const 1)))"#,
                Ends,
            ),
        ] {
            assert_eq!(tried(functions), verdict, "{functions}");
        }
    }
}
