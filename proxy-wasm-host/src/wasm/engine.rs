//! The one engine: how code is compiled, and the clock that deadlines are measured by.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::time::Duration;

use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use wasmtime::{Config, WasmBacktraceDetails};

use super::module::{Compiled, Hash};
use super::ticker::{StartPulse, Ticker};
use crate::error::Error;

/// Frames in the backtrace of a trap: it goes into one line of nginx's error log, which holds 2048 bytes.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// What is decided once for all plugins.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// Compile the checks that deadlines need. Without them a plugin can hang its worker, and no timeout applies.
    pub epoch_interruption: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { epoch_interruption: true }
    }
}

impl EngineConfig {
    /// These settings in wasmtime's words.
    pub(super) fn wasmtime(self) -> Config {
        let mut config = Config::new();
        config.epoch_interruption(self.epoch_interruption);
        // Its threads would not survive the fork between nginx's master and its workers.
        config.parallel_compilation(false);
        // Function names only: line numbers would mean reading DWARF while a worker should serve, and whether they are there
        // must not hang on a variable in nginx's environment.
        config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
        config.wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES));
        // The ABI's addresses are 32 bits wide. With 4 GiB reserved per memory (wasmtime's default; address space, not memory)
        // a plugin's loads and stores need no bounds check and its memory never moves. The guard stays behind it alone: the one
        // in front is for faults of the code generator itself, and costs as much address space again.
        config.wasm_memory64(false);
        config.memory_may_move(false);
        config.guard_before_linear_memory(false);
        // Nothing unwinds through a guest's frames but wasmtime, which does it by frame pointers.
        config.native_unwind_info(false);
        config
    }
}

/// A wasmtime engine with the modules it compiled. Cheap to clone; every clone is the same engine.
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
    /// Makes the engine. No thread is started.
    ///
    /// # Errors
    /// When wasmtime does not support this machine.
    pub fn new(config: &EngineConfig) -> Result<Self, Error> {
        let wasmtime = wasmtime::Engine::new(&config.wasmtime()).map_err(Error::Engine)?;
        let ticker = Ticker::new(wasmtime.weak());
        Ok(Self(Arc::new(Shared {
            wasmtime,
            config: *config,
            ticker,
            modules: Mutex::default(),
            own_module: OnceCell::new(),
        })))
    }

    /// Lets time pass for deadlines, from a thread that no signal reaches. For a process whose first instance is about to
    /// start; it does nothing when time passes already or nobody looks at it, and never outlives a fork.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start_ticker(&self) -> std::io::Result<()> {
        if self.has_deadlines() { self.0.ticker.start_thread() } else { Ok(()) }
    }

    /// As [`Engine::start_ticker`], by another pulse than a thread's.
    ///
    /// # Errors
    /// When the pulse cannot be started.
    pub fn start_ticker_by(&self, pulse: StartPulse) -> std::io::Result<()> {
        if self.has_deadlines() { self.0.ticker.start(pulse) } else { Ok(()) }
    }

    /// Ends the pulse of [`Engine::start_ticker`].
    pub fn stop_ticker(&self) {
        self.0.ticker.stop();
    }

    /// Whether time passed at any time, here or in the process that this one was forked from: guests may be there that need it.
    pub fn had_ticker(&self) -> bool {
        self.0.ticker.was_started()
    }

    /// How many ticks of the epoch a guest may run that has this much time; for `Store::set_epoch_deadline`.
    pub fn ticks(&self, timeout: Option<Duration>) -> u64 {
        self.0.ticker.ticks(timeout)
    }

    /// Without the checks in compiled code nobody would look at the clock.
    fn has_deadlines(&self) -> bool {
        self.0.config.epoch_interruption
    }

    /// What was decided for all plugins.
    pub fn config(&self) -> EngineConfig {
        self.0.config
    }

    /// Wasmtime's own engine.
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    /// The one module that is the host's own, made of its text when it is first asked for.
    ///
    /// # Errors
    /// When it cannot be compiled.
    pub fn own_module(&self, text: &'static str) -> Result<&wasmtime::Module, Error> {
        self.0.own_module.get_or_try_init(|| wasmtime::Module::new(&self.0.wasmtime, text).map_err(Error::Compile))
    }

    /// A module of that content that is still in use.
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

    /// Calls a function whose deadline has passed before it begins.
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
        assert!(!runs_past_its_deadline(EngineConfig { epoch_interruption: true }));
        assert!(runs_past_its_deadline(EngineConfig { epoch_interruption: false }));
    }
}
