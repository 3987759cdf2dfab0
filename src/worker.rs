//! What the configuration became, in the master and in each worker: the engine, the plugins, their
//! VMs and contexts.
//!
//! | file | what it is |
//! |---|---|
//! | `main_conf` | the main configuration that nginx keeps for `http` |
//! | `runtime` | engine, compiler, cache: loads plugins |
//! | `declared` | loads the declared plugins, several at once |
//! | `vm` | one plugin in this process |
//! | `contexts` | the PluginContexts of the native path |
//! | `images` | the images of started instances, which workers share |
//! | `rehearsal` | tries plugins whose failure stops nginx's start |
//! | `deadlines`, `cpu_timer` | the clock for plugin deadlines: a timer and its signal |
//! | `installation` | checks that the Lua file exists and has the module's version |
//! | `user` | whether the workers' user can read the directories of plugins |
//! | `announce` | log lines at start |

pub mod announce;
mod contexts;
mod cpu_timer;
pub mod deadlines;
mod declared;
pub mod images;
mod installation;
mod main_conf;
mod rehearsal;
mod runtime;
pub mod user;
pub mod vm;

pub use declared::DeclaredPlugin;
pub use main_conf::MainConf;
pub use runtime::Runtime;
pub use vm::Vm;
