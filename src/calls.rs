//! Calls out: HTTP and gRPC on nginx's event loop.
//!
//! A call is a task. Who makes it keeps the task among its [`Calls`], and takes them with it when it goes: a request, or an
//! instance of a plugin. What has become of a call is told from a task, so never before the guest has returned.
//!
//! | file | what it is |
//! |---|---|
//! | `transport` | nginx's connection as hyper reads and writes one |
//! | `outgoing`, `body` | a call as the plugin described it |
//! | `connect` | from a target to a connection |
//! | `client`, `pool`, `http2` | the client of a worker, and its connections |
//! | `grpc` | gRPC over HTTP/2 |
//! | `under_way` | the calls of a request, or of an instance |
//! | `error` | what can go wrong |
//!
//! What needs no nginx is in [`proxy_wasm_host::outgoing`]: targets, gRPC's messages and metadata, the balancer, the limits.

mod body;
mod client;
mod connect;
mod error;
mod grpc;
mod http2;
mod outgoing;
mod pool;
mod transport;
mod under_way;

pub use client::Client;
pub use error::CallError;
pub use grpc::{BadGrpcCall, GrpcListener, NotSent, Outbox, OutgoingGrpc};
pub use outgoing::{BadCall, Outgoing};
pub use proxy_wasm_host::limits::calls::{CALLS as MAX_CALLS, RESPONSE_BODY};
pub use proxy_wasm_host::outgoing::Target;
pub use under_way::{Calls, Kind, PendingCalls, under_way};
