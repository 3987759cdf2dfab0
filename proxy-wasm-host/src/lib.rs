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
//! | [`local`] | a host of plain structs, for tests, tools and examples |
//! | [`wasm`] | wasmtime: engine, cache of compiled modules, limits, deadlines, WASI |
//! | [`request`] | the body of a request on its way through the plugins |
//! | [`response`] | a response on its way through the plugins of its request |
//! | [`outgoing`] | calls to other servers: targets, gRPC, the balancer |
//! | [`shared`] | shared data, queues and metrics in memory that several processes map |
//! | [`config`] | options of plugins and APISIX's `config.yaml` as plain structs |
//! | [`status`] | the state of a worker as JSON, and as a page for browsers |
//! | [`limits`] | every limit and default |
//! | [`pairs`], [`property`] | serialized header maps, property paths |
//! | [`target`], [`authority`] | `:path`, and `host` with `:authority`, as plugins write them |
//! | [`error`] | why a plugin cannot be loaded |
//! | [`versions`] | which version of this host a plugin needs |
//!
//! Inside:
//!
//! | module | what it is |
//! |---|---|
//! | `plugin` | a module, checked and linked |
//! | `vm` | the three kinds of context, with their callbacks |
//! | `instance`, `state`, `memory` | a running instance, the data of its store, its memory |
//! | `image`, `journal` | an instance that has started, kept to restore others from |
//! | `context` | ids of contexts, and which context is effective |
//! | `callbacks`, `joined`, `exports` | `proxy_on_*`: names and types; those that are called together; where a module has them |
//! | `hostcalls` | `proxy_*`: one file per chapter of the spec |
//! | `root_id`, `trial` | the id by which two SDKs find a plugin's contexts, and how it is found |
//! | `failure`, `backoff` | why a callback returned nothing; when the plugin is started again |

#![warn(clippy::missing_errors_doc)]

pub mod abi;
pub mod authority;
mod backoff;
mod callbacks;
pub mod config;
mod context;
pub mod error;
mod exports;
mod failure;
pub mod host;
mod hostcalls;
mod identity;
mod image;
mod instance;
mod joined;
mod journal;
pub mod limits;
pub mod local;
mod memory;
pub mod node;
pub mod outgoing;
pub mod pairs;
mod plugin;
pub mod property;
pub mod rehearsal;
pub mod request;
pub mod response;
mod root_id;
pub mod shared;
mod state;
pub mod status;
pub mod target;
mod trial;
pub mod versions;
mod vm;
pub mod wasm;

pub use abi::Action;
pub use backoff::GrowingDelay;
pub use callbacks::{Callback, CallbackSet};
pub use failure::{Culprit, Failure};
pub use identity::{Configuration, Dialect, Identity};
pub use joined::prepare;
pub use plugin::{ImagePolicy, Isolation, Plugin, PluginOptions};
pub use root_id::RootId;
pub use state::HttpCallResponse;
pub use trial::Verdict;
pub use vm::{Announced, HttpContext, ImageStatus, PluginContext, VmContext};
