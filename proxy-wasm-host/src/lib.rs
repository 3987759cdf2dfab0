//! A Proxy-Wasm host, without a proxy: the ABI on wasmtime, for whatever serves requests.
//!
//! An embedder makes an [`Engine`](wasm::Engine), a [`Module`](wasm::Module) for each plugin's file
//! and a [`Plugin`] for each module. It then makes a [`VmContext`] for each plugin, a
//! [`PluginContext`] for each configuration and an [`HttpContext`] for each request, and calls the
//! callbacks on these. Host functions that a plugin calls reach the embedder through the traits of
//! [`host`]. [`local`] implements these traits on plain structs; nginx's module implements them on
//! workers and requests.
//!
//! | module | what it is |
//! |---|---|
//! | [`abi`] | the numbers of the spec |
//! | [`host`] | the traits that an embedder implements, one per chapter of the spec |
//! | [`plugin`] | a module, checked and linked |
//! | [`vm`] | the three kinds of context, with their callbacks |
//! | [`context`] | ids of contexts, and which context is effective |
//! | [`callbacks`] | `proxy_on_*`: names and types |
//! | [`failure`] | why a callback returned nothing, and when the plugin is tried again |
//! | [`hostcalls`] | `proxy_*`: one file per chapter of the spec |
//! | [`limits`] | every limit and default |
//! | [`target`], [`authority`] | `:path`, and `host` with `:authority`, as plugins write them |
//! | [`memory`], [`pairs`], [`property`] | guest memory, serialized header maps, property paths |
//! | `instance`, `joined`, [`state`] | a running instance, joined callbacks, the data of a store |
//! | [`wasm`] | wasmtime: engine, cache of compiled modules, limits, deadlines, WASI |
//! | [`outgoing`] | calls to other servers: targets, gRPC, the balancer |
//! | [`shared`] | shared data, queues and metrics in memory that several processes map |
//! | [`config`] | options of plugins and APISIX's `config.yaml` as plain structs |
//! | [`status`] | the state of a worker as JSON, and as a page for browsers |
//! | [`local`] | a host of plain structs, for tests, tools and examples |
//! | [`error`] | why a plugin cannot be loaded |

#![warn(clippy::missing_errors_doc)]

pub mod abi;
pub mod authority;
pub mod callbacks;
pub mod config;
pub mod context;
pub mod error;
pub mod failure;
pub mod host;
pub mod hostcalls;
mod instance;
mod joined;
pub mod limits;
pub mod local;
pub mod memory;
pub mod outgoing;
pub mod pairs;
pub mod plugin;
pub mod property;
pub mod shared;
pub mod state;
pub mod status;
pub mod target;
pub mod vm;
pub mod wasm;

pub use abi::Action;
pub use callbacks::{Callback, CallbackSet};
pub use failure::Failure;
pub use joined::prepare;
pub use plugin::{Plugin, PluginOptions};
pub use state::Identity;
pub use vm::{HttpContext, PluginContext, VmContext};
