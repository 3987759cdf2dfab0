//! The ABI: plugins, their contexts, what is called in them, and what they call.
//!
//! A host makes a [`Plugin`] of a module, a [`VmContext`] of the plugin, a [`PluginContext`] of each of its configurations, and
//! an [`HttpContext`] of each request, and calls the callbacks on these. What plugins call, it gives them through the traits
//! of [`host`]. Neither nginx nor wasmtime is named in these interfaces.
//!
//! | file | what it is |
//! |---|---|
//! | [`abi`] | the numbers of the spec |
//! | [`host`] | the traits that a host implements |
//! | [`plugin`] | a module, checked and linked |
//! | [`vm`] | the three kinds of context, with their callbacks |
//! | [`context`] | ids, and which context is effective |
//! | [`callbacks`] | `proxy_on_*`: names and types |
//! | [`failure`] | why a callback gave no answer, and when the plugin is tried again |
//! | `instance` | one running instance |
//! | `joined` | callbacks that come together, in one crossing |
//! | [`state`] | what its store holds |
//! | [`hostcalls`] | `proxy_*`: one file per chapter of the spec |
//! | [`memory`], [`pairs`], [`property`] | guest memory, serialized header maps, property paths |
//! | `fake` | a host of plain structs, for tests, benches and fuzz targets |

pub mod abi;
pub mod callbacks;
pub mod context;
pub mod failure;
#[cfg(any(test, feature = "fake-host"))]
pub mod fake;
pub mod host;
pub mod hostcalls;
mod instance;
mod joined;
pub mod memory;
pub mod pairs;
pub mod plugin;
pub mod property;
pub mod state;
pub mod vm;

pub use abi::Action;
pub use callbacks::{Callback, CallbackSet};
pub use failure::Failure;
pub use joined::prepare;
pub use plugin::{Plugin, PluginOptions};
pub use state::Identity;
pub use vm::{HttpContext, PluginContext, VmContext};
