//! Run one module: everything wasmtime, nothing of Proxy-Wasm and nothing of nginx.
//!
//! [`Engine`] decides how, [`Compiler`] compiles, [`Cache`] keeps what was compiled on disk, [`Module`] is a compiled plugin file, [`limits`] bounds an
//! instance, [`memory`] is its linear memory, [`wasi`] the little of WASI that a plugin sees. One engine serves a whole nginx: it
//! is made in the master, and the workers inherit it and every module over fork.

pub mod cache;
pub mod compiler;
pub mod engine;
pub mod limits;
pub mod memory;
pub mod module;
pub mod ticker;
pub mod wasi;

pub use cache::Cache;
pub use compiler::{CompileLimits, Compiler};
pub use engine::{Engine, EngineConfig};
pub use module::Module;

pub use crate::error::Error;
