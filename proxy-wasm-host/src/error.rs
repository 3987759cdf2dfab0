//! Why a plugin cannot be loaded, in words for the operator who wrote the line that names it.
//!
//! What goes wrong later has its own types, where it happens: a host function answers a [`Status`], a callback that does not
//! return is a [`Failure`](crate::Failure).

use std::fmt;
use std::time::Duration;

use crate::abi::Status;

/// A fault of a plugin's file, or of the machine that should run it. Reads after "plugin NAME ".
#[derive(Debug)]
pub enum Error {
    /// Wasmtime does not run here.
    Engine(wasmtime::Error),
    /// Neither a binary module nor the text of one.
    NotWasm,
    /// It looks like a module, but is none.
    Compile(wasmtime::Error),
    /// Compiling it took this time, which is all that it may take.
    CompileTimeout(Duration),
    /// Compiling it took these bytes, which are all that it may take.
    CompileMemory(usize),
    /// It was not compiled, and not for its own fault.
    Compiler(String),
    /// A module, but not a plugin that this host can run.
    Plugin(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => write!(f, "cannot run: wasmtime does not work on this machine: {}", one_line(error)),
            Self::NotWasm => f.write_str("is not a WebAssembly module"),
            Self::Compile(error) => write!(f, "is not a valid WebAssembly module: {}", one_line(error)),
            Self::CompileTimeout(limit) => write!(
                f,
                "takes longer to compile than wasm_compile_timeout allows ({} s): raise it if the plugin is to be trusted",
                limit.as_secs_f64()
            ),
            Self::CompileMemory(limit) => write!(
                f,
                "takes more memory to compile than wasm_compile_memory allows ({} MB): raise it if the plugin is to be trusted",
                limit >> 20
            ),
            Self::Compiler(reason) => write!(f, "cannot be compiled: {reason}"),
            Self::Plugin(fault) => f.write_str(fault),
        }
    }
}

impl std::error::Error for Error {}

/// The one mapping from a failure of the host to what a host function answers.
impl From<Error> for Status {
    fn from(_: Error) -> Self {
        Self::InternalFailure
    }
}

/// An error of wasmtime with its causes, as one line of a log: that of a text module comes with the lines it is about.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    single_spaced(&format!("{error:#}"))
}

/// A text without line breaks and indentation.
pub(crate) fn single_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
