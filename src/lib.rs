//! A Proxy-Wasm host for nginx and Apache APISIX: the dynamic module, on the library [`proxy_wasm_host`].
//!
//! Each room may use those below it; `make lint` checks it.
//!
//! | room | what it is |
//! |---|---|
//! | `module` | the two modules and the tables that nginx looks for |
//! | `directives` | `cmd_*`: one function per directive |
//! | `lua` | C functions behind `resty.proxy-wasm`: callbacks that Lua drives |
//! | `pages` | pages for the operator: metrics, status |
//! | `native` | callbacks that nginx drives: phases, filters, and the response's way |
//! | `host` | the traits of [`proxy_wasm_host::host`] on a worker and a request |
//! | `worker` | what the configuration became: engine, plugins, VMs, deadlines |
//! | `context` | the state of a request, and of an instance: what drives them stands above |
//! | `calls` | HTTP and gRPC to other servers, on nginx's event loop |
//! | `shared` | the zones of [`proxy_wasm_host::shared`], and the module's own metrics |
//! | `conf` | what the operator said |
//! | `task` | futures on nginx's event loop |
//! | `host_memory` | what is kept for plugins beside their linear memory, and how much of it |
//! | `connections` | how many connections calls may have |
//! | `identity` | the module's own static, and the versions |
//! | `log` | `tracing` to nginx's error log |
//! | `log_limit` | how often a line may be logged that each request can bring about |
//! | `limits` | every limit and default of the module |
//! | `guard` | no panic crosses into C |
//! | `lazy_box` | a box that is made when it is first used |

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
