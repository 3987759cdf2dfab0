//! A Proxy-Wasm host for nginx and Apache APISIX: the dynamic module, on the library [`proxy_wasm_host`].
//!
//! | file | what it is |
//! |---|---|
//! | `module` | the two modules and the tables that nginx looks for |
//! | `identity` | the module's own static, and the versions |
//! | `announce` | what the error log is told at start |
//! | `directives` | `cmd_*`: one function per directive |
//! | `configuration` | what the directives leave behind, and how levels merge |
//! | `shared` | the zones of [`proxy_wasm_host::shared`], and what wakes workers for their queues |
//! | `status` | pages for the operator: metrics, status |
//! | `vm` | one plugin in this process |
//! | `calls` | HTTP and gRPC to other servers, on nginx's event loop |
//! | `deadlines`, `pulse` | time for the deadlines of plugins, by a timer and its signal |
//! | `worker` | the VMs and PluginContexts of one process |
//! | `request` | the HttpContexts of one request, and what their callbacks leave to be done |
//! | `live` | the requests that are not over, for a worker that is told to exit |
//! | `rarely` | what few requests need |
//! | `phases` | rewrite, access and log phase handlers: the request's way through its plugins |
//! | `filters`, `response` | header and body filter: the response's way |
//! | `turn` | how long events of this module may take before nginx's loop serves others |
//! | `unseen` | what nginx adds to responses that plugins do not see |
//! | `unsent` | what plugins made of the response, until the client has it |
//! | `body` | a body as a callback sees it |
//! | `pause` | requests and responses that a plugin holds |
//! | `host` | the traits of [`proxy_wasm_host::host`] on a worker and a request |
//! | `host_memory` | what is kept for plugins beside their linear memory, and how much of it |
//! | `lua` | C functions behind `resty.proxy-wasm` |
//! | `log` | `tracing` to nginx's error log |
//! | `told` | how often something may be said that each request can bring about |
//! | `guard` | no panic crosses into C |

// Under test nothing exports the tables that nginx looks for, so nothing reaches what stands behind them.
#![cfg_attr(test, allow(dead_code))]

mod announce;
mod body;
mod calls;
mod configuration;
mod deadlines;
mod directives;
mod filters;
mod guard;
mod host;
mod host_memory;
mod identity;
mod live;
mod log;
mod lua;
mod module;
mod pause;
mod phases;
mod pulse;
mod rarely;
mod request;
mod response;
mod shared;
mod status;
mod told;
mod turn;
mod unseen;
mod unsent;
mod vm;
mod worker;
