//! Why a plugin cannot be loaded, in words for the operator who wrote the directive that names it.
//!
//! Later failures have their own types: a host function returns a [`Status`], and a callback that
//! does not return is a [`Failure`](crate::Failure).

use std::fmt;
use std::time::Duration;

use crate::abi::Status;

/// A fault of a plugin's file, or of the machine that should run it. The text is read after "plugin
/// NAME ".
#[derive(Debug)]
pub enum Error {
    /// Wasmtime does not run on this machine.
    Engine(wasmtime::Error),
    /// The file is neither a binary module nor the text of one.
    NotWasm,
    /// The file looks like a module, but is not valid.
    Compile(wasmtime::Error),
    /// Compiling the module took this long, which is the limit.
    CompileTimeout(Duration),
    /// Compiling the module took this many bytes of memory, which is the limit.
    CompileMemory(usize),
    /// The module was not compiled, for a reason that is not in the module.
    Compiler(String),
    /// The file is a module, but not a plugin that this host can run.
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

/// An error of wasmtime with its causes, as one line of a log. Wasmtime shows the lines at fault of
/// a text module below each other.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    single_spaced(&format!("{error:#}"))
}

/// Replaces line breaks and indentation by single spaces.
pub(crate) fn single_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
