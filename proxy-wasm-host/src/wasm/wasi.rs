//! The small part of WASI that a plugin sees: its environment, the clocks, random numbers, and two
//! output streams that end in the log.
//!
//! This WASI is the host's own, for two reasons. It is short, because there are no files,
//! directories or sockets behind it. And a library for all of WASI brings an executor with threads,
//! which must not exist in a master that forks, nor beside nginx's event loop. No function here takes
//! long, however large the guest's memory is: a guest can only be interrupted between calls.
//!
//! A plugin that the operator gives directories has other functions for files: those of
//! `directories`, on what wasmtime-wasi has below its executor.
//!
//! `wasi_unstable`, preview 0, offers the same functions, because the AssemblyScript SDK imports
//! it.

use std::sync::Arc;

use wasmtime::{Caller, Linker, Memory};

use self::environment::Environment;
use self::errno::{Errno, Result};
use self::stdio::LineBuffer;
use super::memory::LinearMemory;
use crate::config::Directory;

mod clocks;
#[cfg_attr(not(feature = "files"), path = "wasi/no_directories.rs")]
mod directories;
mod environment;
mod errno;
mod files;
mod poll;
mod process;
mod random;
mod sockets;
mod stdio;
#[cfg(test)]
mod tests;

use self::directories::Directories;
pub use self::directories::add_directories_to_linker;
pub use self::process::ProcExit;
pub use self::stdio::{Output, flush};

/// What a store's data must provide for WASI.
pub trait WasiHost: 'static {
    /// The [`Wasi`] of the instance.
    fn wasi(&mut self) -> &mut Wasi;
    /// The instance's memory; `None` while its start section runs.
    fn memory(&self) -> Option<Memory>;
    /// Logs one line that the guest wrote, without its newline.
    fn log_line(&mut self, output: Output, line: &[u8]);
}

/// What an instance may do with its directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// What the operator says.
    Given,
    /// Read only.
    ReadOnly,
}

/// The WASI state of one instance.
pub struct Wasi {
    environment: Environment,
    stdout: LineBuffer,
    stderr: LineBuffer,
    drew_random: bool,
    directories: Option<Box<Directories>>,
}

impl Wasi {
    /// Makes the state of a guest that sees these variables and no others, and has no arguments.
    pub fn new(env: &[(String, String)]) -> Self {
        Self {
            environment: Environment::new(env),
            stdout: LineBuffer::default(),
            stderr: LineBuffer::default(),
            drew_random: false,
            directories: None,
        }
    }

    /// Gives the guest directories. Its functions must be those of [`add_directories_to_linker`], if
    /// there are any.
    pub fn with_directories(self, given: &Arc<[Directory]>, access: Access) -> Self {
        Self { directories: Directories::new(given, access).map(Box::new), ..self }
    }

    /// Why no image can be made of the guest, because of what it does with files.
    pub fn files_obstacle(&self) -> Option<&'static str> {
        self.directories.as_ref().and_then(|directories| directories.obstacle())
    }

    /// Closes what the guest has left open.
    pub fn close_files(&mut self) {
        if let Some(directories) = &mut self.directories {
            directories.close();
        }
    }

    /// Whether the guest has asked for random numbers.
    pub fn drew_random(&self) -> bool {
        self.drew_random
    }
}

/// The two versions of WASI that plugins import. For this host they differ only in the layout of
/// two records.
#[derive(Clone, Copy)]
struct Version {
    /// The name of the module that the functions are imported from.
    module: &'static str,
    /// Bytes of a `filestat`: its `nlink` has 32 bits in preview 0.
    filestat_size: u32,
    /// Bytes of a `subscription`: a clock's has an identifier in preview 0.
    subscription_size: u32,
}

const PREVIEW_0: Version = Version { module: "wasi_unstable", filestat_size: 56, subscription_size: 56 };
const PREVIEW_1: Version = Version { module: "wasi_snapshot_preview1", filestat_size: 64, subscription_size: 48 };

/// Defines the functions of both versions.
///
/// # Errors
/// When the linker has a function of one of these names already.
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

/// Runs one function on memory and state, and returns its errno to the guest.
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
