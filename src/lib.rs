//! A Proxy-Wasm host for nginx and Apache APISIX: the dynamic module, built on the library
//! [`proxy_wasm_host`].
//!
//! Each room may use only the rooms below it; `make lint` checks this.
//!
//! | room | what it is |
//! |---|---|
//! | `module` | the two modules and the tables that nginx looks for |
//! | `directives` | `cmd_*`: one function per directive |
//! | `lua` | C functions behind `resty.proxy-wasm`: callbacks that Lua drives |
//! | `pages` | pages for the operator: metrics and status |
//! | `native` | callbacks that nginx drives: phases, filters, responses on their way |
//! | `host` | implements the traits of [`proxy_wasm_host::host`] on a worker and a request |
//! | `worker` | what the configuration became: engine, plugins, VMs, deadlines |
//! | `context` | the state of a request and of an instance, for the rooms above that drive them |
//! | `calls` | HTTP and gRPC calls to other servers, on nginx's event loop |
//! | `shared` | the zones of [`proxy_wasm_host::shared`], and the module's own metrics |
//! | `conf` | the settings that the operator wrote |
//! | `task` | futures on nginx's event loop |
//! | `host_memory` | counts and bounds the bytes kept for plugins beside their linear memory |
//! | `connections` | counts and bounds the connections of calls |
//! | `identity` | the module's own static, and the versions |
//! | `log` | sends `tracing` events to nginx's error log |
//! | `log_limit` | limits how often a line is logged that any request can cause |
//! | `limits` | every limit and default of the module |
//! | `guard` | stops panics before they reach C |
//! | `lazy_box` | a box that is allocated when it is first used |

// A test build exports none of nginx's tables, so the code that only they reach looks unused.
#![cfg_attr(test, allow(dead_code))]

mod calls;
mod conf;
mod connections;
mod context;
mod directives;
mod guard;
mod host;
mod host_memory;
mod identity;
mod lazy_box;
mod limits;
mod log;
mod log_limit;
mod lua;
mod module;
mod native;
mod pages;
mod shared;
mod task;
mod worker;
