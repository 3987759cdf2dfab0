//! Runs one module. Everything of wasmtime is here; nothing here knows Proxy-Wasm or nginx.
//!
//! [`Engine`] decides how code is compiled, [`Compiler`] compiles it, [`Cache`] keeps compiled
//! modules on disk, [`Module`] is a compiled plugin file, [`limits`] bounds an instance, [`memory`]
//! is an instance's linear memory, [`ticker`] and
//! [`interrupt`] end what runs too long, and [`wasi`] is the small part of WASI that a plugin sees. One
//! engine serves a whole nginx: the master makes it, and the workers inherit the engine and every
//! module over fork.

pub mod cache;
pub mod compiler;
pub mod engine;
pub mod head;
pub mod images;
pub mod interrupt;
pub mod limits;
pub mod memory;
pub mod mentions;
pub mod module;
pub mod prepare;
pub mod start;
pub mod ticker;
pub mod wasi;

pub use cache::Cache;
pub use compiler::loading::{Loaded, Loading};
pub use compiler::{CompileLimits, Compiler, Source};
pub use engine::{Deadlines, Engine, EngineConfig};
pub use module::{Begun, Hash, Module};

pub use crate::error::Error;
