//! The little of WASI that a plugin sees: its environment, the clocks, randomness, and two streams that end in the log.
//!
//! Our own, because it is short, for there is no file, directory or socket behind it; because a library for all of WASI brings an
//! executor with threads, which must not exist in a master that forks, nor beside nginx's event loop; and because wasmtime calls a
//! guest more cheaply when it need not be able to suspend the call. No call takes long, however large the guest's memory: only
//! between calls can a guest be interrupted.
//!
//! The same functions are offered as `wasi_unstable`, preview 0, which the AssemblyScript SDK imports.

use wasmtime::{Caller, Linker, Memory};

use self::environment::Environment;
use self::stdio::LineBuffer;
use super::memory::{LinearMemory, OutOfBounds};

mod clocks;
mod environment;
mod files;
mod poll;
mod process;
mod random;
mod sockets;
mod stdio;
#[cfg(test)]
mod tests;

pub use self::process::ProcExit;
pub use self::stdio::{Output, flush};

/// What a store's data must have for WASI.
pub trait WasiHost: 'static {
    /// What [`Wasi::new`] made.
    fn wasi(&mut self) -> &mut Wasi;
    /// The instance's memory; `None` while its start section runs.
    fn memory(&self) -> Option<Memory>;
    /// Writes one line that the guest wrote, without its newline.
    fn log_line(&mut self, output: Output, line: &[u8]);
}

/// One instance's WASI.
pub struct Wasi {
    environment: Environment,
    stdout: LineBuffer,
    stderr: LineBuffer,
}

impl Wasi {
    /// A guest sees these variables, and no others; it has no arguments.
    pub fn new(env: &[(String, String)]) -> Self {
        Self { environment: Environment::new(env), stdout: LineBuffer::default(), stderr: LineBuffer::default() }
    }
}

/// The two versions of WASI that plugins import; to us they differ in the layout of two records.
#[derive(Clone, Copy)]
struct Version {
    /// The module that the functions are imported from.
    module: &'static str,
    /// Bytes of a `filestat`: its `nlink` has 32 bits in preview 0.
    filestat_size: u32,
    /// Bytes of a `subscription`: that to a clock has an identifier in preview 0.
    subscription_size: u32,
}

const PREVIEW_0: Version = Version { module: "wasi_unstable", filestat_size: 56, subscription_size: 56 };
const PREVIEW_1: Version = Version { module: "wasi_snapshot_preview1", filestat_size: 64, subscription_size: 48 };

/// `errno`, with the numbers of both versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
enum Errno {
    Success = 0,
    Badf = 8,
    Fault = 21,
    Inval = 28,
    Io = 29,
    Notsock = 57,
    Notsup = 58,
    Spipe = 70,
}

impl From<OutOfBounds> for Errno {
    fn from(_: OutOfBounds) -> Self {
        Self::Fault
    }
}

/// What a function of WASI comes to.
type Result<T = ()> = std::result::Result<T, Errno>;

/// Defines both versions.
///
/// # Errors
/// When the linker has one of these names already.
pub fn add_to_linker<T: WasiHost>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    for version in [PREVIEW_0, PREVIEW_1] {
        clocks::add_to_linker(linker, version)?;
        environment::add_to_linker(linker, version)?;
        files::add_to_linker(linker, version)?;
        poll::add_to_linker(linker, version)?;
        process::add_to_linker(linker, version)?;
        random::add_to_linker(linker, version)?;
        sockets::add_to_linker(linker, version)?;
        stdio::add_to_linker(linker, version)?;
    }
    Ok(())
}

/// Runs one function on memory and state, and answers the guest.
fn answer<T: WasiHost>(mut caller: Caller<'_, T>, call: impl FnOnce(LinearMemory<'_>, &mut T) -> Result) -> i32 {
    let memory = caller.data().memory().or_else(|| caller.get_export("memory")?.into_memory());
    let done = match memory {
        Some(memory) => {
            let (bytes, state) = memory.data_and_store_mut(&mut caller);
            call(LinearMemory::new(bytes), state)
        }
        None => Err(Errno::Fault),
    };
    done.err().unwrap_or(Errno::Success) as i32
}
