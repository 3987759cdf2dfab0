//! The function that an interrupted guest seems to have called: it traps.

use once_cell::sync::OnceCell;
use wasmtime::{Engine, Instance, Module, Store};

use crate::error::Error;
use crate::wasm::interrupt::registers::TRAP_INSTRUCTION;
use crate::wasm::{Deadlines, EngineConfig};

static TRAP: OnceCell<Trap> = OnceCell::new();

/// The function is there for as long as the process: guests of several engines use it.
struct Trap {
    /// wasmtime knows a module's traps as long as a store has an instance of the module.
    _store: Store<()>,
    addresses: Addresses,
}

/// Where the function is.
#[derive(Clone, Copy)]
pub struct Addresses {
    pub function: usize,
    /// Its instruction that traps, behind those that make its frame.
    pub instruction: usize,
}

/// Compiles the function. A process that forks calls this first, so that its children find the
/// function compiled.
///
/// # Errors
/// When the function cannot be compiled.
pub fn prepare() -> Result<(), Error> {
    TRAP.get_or_try_init(|| make().map_err(Error::Engine)).map(drop)
}

fn make() -> wasmtime::Result<Trap> {
    let engine = Engine::new(&EngineConfig { deadlines: Deadlines::Off }.wasmtime())?;
    let module = Module::new(&engine, "(module (func unreachable))")?;
    let mut store = Store::new(&engine, ());
    Instance::new(&mut store, &module, &[])?;
    let function = module.functions().next().ok_or_else(|| wasmtime::Error::msg("the module has no function"))?;
    let code = module.text().get(function.offset..).unwrap_or_default();
    let instruction = code.windows(TRAP_INSTRUCTION.len()).position(|bytes| bytes == TRAP_INSTRUCTION);
    let instruction = instruction.ok_or_else(|| wasmtime::Error::msg("its traps are unknown instructions"))?;
    let function = code.as_ptr().addr();
    Ok(Trap { _store: store, addresses: Addresses { function, instruction: function + instruction } })
}

/// Where the function is, if there is one. A signal handler may call this.
pub fn addresses() -> Option<Addresses> {
    TRAP.get().map(|trap| trap.addresses)
}
