//! A Proxy-Wasm host for nginx and Apache APISIX.
//!
//! The house, one line per room; each room may use what stands below it, never above:
//!
//! | room | what it is |
//! |---|---|
//! | [`nginx`] | what nginx and Lua call: modules, directives, phases, filters, and the host traits on a request |
//! | [`config`] | directives and APISIX's `config.yaml` as plain structs |
//! | [`proxy_wasm`] | the ABI: contexts, callbacks, host functions, the traits a host implements |
//! | [`wasm`] | run one module: engine, cache, instance, limits, WASI |
//! | [`shared`] | what all workers share: data, queues and metrics in shared memory |
//! | [`status`] | what the module says of itself: JSON, and a page for browsers |
//! | [`error`] | one error, and the one mapping from it to a Proxy-Wasm status |
//!
//! All but `nginx` know nothing of nginx: the package `core` has the same sources as a library without it, which is what
//! is tested, fuzzed and benchmarked with plain cargo.

pub mod config;
pub mod error;
// Under test nothing exports the tables that nginx looks for, so nothing reaches what stands behind them.
#[cfg(feature = "nginx")]
#[cfg_attr(test, allow(dead_code))]
#[allow(unsafe_code)]
pub mod nginx;
pub mod proxy_wasm;
pub mod shared;
pub mod status;
pub mod wasm;
