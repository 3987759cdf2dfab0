//! Calls out: HTTP and gRPC on nginx's event loop, and what waits for time to pass there.
//!
//! A call is a task. Who makes it keeps the task among its [`Calls`], and takes them with it when it goes: a request, or an
//! instance of a plugin. What has become of a call is told from a task, so never before the guest has returned.
//!
//! | file | what it is |
//! |---|---|
//! | `executor`, `timer` | futures on nginx's event loop |
//! | `transport` | nginx's connection as hyper reads and writes one |
//! | `outgoing`, `body` | a call as the plugin described it |
//! | `connect` | from a target to a connection |
//! | `connections` | how many connections calls may have |
//! | `client`, `pool`, `http2` | the client of a worker, and its connections |
//! | `grpc` | gRPC over HTTP/2 |
//! | `quit` | what a worker that is told to quit waits for |
//! | `caller` | whom the outcome of a call is told |
//! | `error` | what can go wrong |
//!
//! What needs no nginx is in [`proxy_wasm_host::outgoing`]: targets, gRPC's messages and metadata, the balancer, the limits.

mod body;
mod caller;
mod client;
mod connect;
mod connections;
mod error;
mod executor;
mod grpc;
mod http2;
mod outgoing;
mod pool;
mod quit;
mod timer;
mod transport;

pub use caller::{Caller, Calls, Kind, PendingCalls, under_way};
pub use client::Client;
pub use connections::{Connections, Place, open as connections};
pub use error::CallError;
pub use executor::{Task, spawn};
pub use grpc::{BadGrpcCall, NotSent, Outbox, OutgoingGrpc};
pub use outgoing::{BadCall, Outgoing};
pub use proxy_wasm_host::outgoing::Target;
pub use proxy_wasm_host::outgoing::limits::{CALLS as MAX_CALLS, RESPONSE_BODY};
pub use timer::{OnQuit, Sleep, timeout};

/// Ends what is under way; called when the worker exits.
pub fn shut_down() {
    executor::shut_down();
    quit::stop();
}
