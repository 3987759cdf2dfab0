//! The one engine: how code is compiled, and the clock that deadlines use.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::time::Duration;

use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use wasmtime::{Config, WasmBacktraceDetails};

use super::interrupt;
use super::module::{Compiled, Hash};
use super::ticker::{StartTickSource, Ticker};
use crate::error::Error;

/// Frames in the backtrace of a trap, which must fit into one line of nginx's error log: 2048
/// bytes.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// Settings that are the same for all plugins.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// How deadlines are kept.
    pub deadlines: Deadlines,
}

/// How deadlines of guests are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deadlines {
    /// They are not: a plugin can hang its thread.
    Off,
    /// By checks in the compiled code: loops and functions compare the engine's epoch with the
    /// deadline. Guests may run on any thread.
    #[default]
    Checks,
    /// By a signal, without anything in the compiled code: see [`interrupt`].
    /// Guests run on the thread that the tick source's signal goes to.
    Signal,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { deadlines: Deadlines::Checks }
    }
}

impl EngineConfig {
    /// Converts the settings to wasmtime's.
    pub(in crate::wasm) fn wasmtime(self) -> Config {
        let mut config = Config::new();
        config.epoch_interruption(self.deadlines == Deadlines::Checks);
        // wasmtime's threads would not survive the fork between nginx's master and its workers.
        config.parallel_compilation(false);
        // Only function names. Line numbers would mean reading DWARF while a worker should serve
        // requests, and they would depend on a variable in nginx's environment.
        config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
        config.wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES));
        // The ABI's addresses have 32 bits. With 4 GiB of address space reserved per memory
        // (wasmtime's default; no memory is used for it) a plugin's loads and stores need no bounds
        // check, and its memory never moves. Only the guard behind the memory is kept: the guard in
        // front protects from faults of the code generator itself, and costs as much address space
        // again.
        config.wasm_memory64(false);
        config.memory_may_move(false);
        config.guard_before_linear_memory(false);
        // Only wasmtime unwinds through a guest's frames, and it uses frame pointers.
        config.native_unwind_info(false);
        config
    }
}

/// A wasmtime engine with the modules that it compiled. Cheap to clone; every clone is the same
/// engine.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    wasmtime: wasmtime::Engine,
    config: EngineConfig,
    ticker: Ticker,
    modules: Mutex<HashMap<Hash, Weak<Compiled>>>,
    own_module: OnceCell<wasmtime::Module>,
}

impl Engine {
    /// Makes the engine. No thread is started yet.
    ///
    /// # Errors
    /// When wasmtime does not support this machine.
    pub fn new(config: &EngineConfig) -> Result<Self, Error> {
        let wasmtime = wasmtime::Engine::new(&config.wasmtime()).map_err(Error::Engine)?;
        let ticker = Ticker::new(wasmtime.weak(), config.deadlines);
        if config.deadlines == Deadlines::Signal {
            interrupt::prepare()?;
        }
        Ok(Self(Arc::new(Shared {
            wasmtime,
            config: *config,
            ticker,
            modules: Mutex::default(),
            own_module: OnceCell::new(),
        })))
    }

    /// Starts the clock that enforces deadlines, on a thread that receives no signals. A process
    /// calls this before its first instance starts. It does nothing if the clock runs already, or
    /// if there are no deadlines. The clock never survives a fork.
    ///
    /// # Errors
    /// When the thread cannot be started, or signals are to interrupt guests: a thread sends none.
    pub fn start_ticker(&self) -> std::io::Result<()> {
        match self.0.config.deadlines {
            Deadlines::Off => Ok(()),
            Deadlines::Checks => self.0.ticker.start_thread(),
            Deadlines::Signal => Err(std::io::Error::from(std::io::ErrorKind::Unsupported)),
        }
    }

    /// Does the same as [`Engine::start_ticker`], with another tick source than a thread.
    ///
    /// # Errors
    /// When the tick source cannot be started.
    pub fn start_ticker_by(&self, start: StartTickSource) -> std::io::Result<()> {
        if self.has_deadlines() { self.0.ticker.start(start) } else { Ok(()) }
    }

    /// Stops the tick source that [`Engine::start_ticker`] started.
    pub fn stop_ticker(&self) {
        self.0.ticker.stop();
    }

    /// Returns whether the clock ever ran, here or in the process that this one was forked from:
    /// there may then be guests that need it.
    pub fn had_ticker(&self) -> bool {
        self.0.ticker.was_started()
    }

    /// Converts a guest's timeout to ticks, for `Store::set_epoch_deadline` and
    /// [`interrupt::Deadline`].
    pub fn ticks(&self, timeout: Option<Duration>) -> u64 {
        self.0.ticker.ticks(timeout)
    }

    /// Without deadline checks in the compiled code, the clock would have no effect.
    fn has_deadlines(&self) -> bool {
        self.0.config.deadlines != Deadlines::Off
    }

    /// The settings of the engine.
    pub fn config(&self) -> EngineConfig {
        self.0.config
    }

    /// Wasmtime's own engine.
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    /// The host's own module, compiled from its text at the first call.
    ///
    /// # Errors
    /// When the module cannot be compiled.
    pub fn own_module(&self, text: &'static str) -> Result<&wasmtime::Module, Error> {
        self.0.own_module.get_or_try_init(|| wasmtime::Module::new(&self.0.wasmtime, text).map_err(Error::Compile))
    }

    /// Finds a module of that content that is still in use.
    pub(super) fn loaded(&self, hash: &Hash) -> Option<Arc<Compiled>> {
        self.0.modules.lock().get(hash)?.upgrade()
    }

    /// Remembers a module for as long as it is in use.
    pub(super) fn remember(&self, module: &Arc<Compiled>) {
        let mut modules = self.0.modules.lock();
        modules.retain(|_, known| known.strong_count() > 0);
        modules.insert(module.hash, Arc::downgrade(module));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls a function whose deadline has passed before the call begins.
    fn runs_past_its_deadline(config: EngineConfig) -> bool {
        let engine = Engine::new(&config).unwrap();
        let module = wasmtime::Module::new(engine.wasmtime(), "(module (func (export \"f\")))").unwrap();
        let mut store = wasmtime::Store::new(engine.wasmtime(), ());
        let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
        let function = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
        store.set_epoch_deadline(0);
        function.call(&mut store, ()).is_ok()
    }

    #[test]
    fn only_code_with_the_checks_looks_at_the_clock() {
        assert!(!runs_past_its_deadline(EngineConfig { deadlines: Deadlines::Checks }));
        assert!(runs_past_its_deadline(EngineConfig { deadlines: Deadlines::Off }));
    }
}
