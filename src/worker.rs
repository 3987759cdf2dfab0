//! What the configuration became, in the master and in a worker.
//!
//! | file | what it is |
//! |---|---|
//! | `main_conf` | what nginx keeps for `http` |
//! | `runtime` | engine, compiler, cache: how a plugin is loaded |
//! | `vm` | one plugin in this process |
//! | `contexts` | the PluginContexts of the native path |
//! | `deadlines`, `pulse` | time for the deadlines of plugins, by a timer and its signal |
//! | `installation` | whether the module's Lua file is there, and of its version |
//! | `announce` | what the error log is told at start |

pub mod announce;
mod contexts;
pub mod deadlines;
mod installation;
mod main_conf;
mod pulse;
mod runtime;
pub mod vm;

pub use main_conf::MainConf;
pub use runtime::{DeclaredPlugin, Runtime};
pub use vm::Vm;
