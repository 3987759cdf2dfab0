//! Calls out: HTTP and gRPC on nginx's event loop, and what waits for time to pass there.
//!
//! A call is a task. Who makes it keeps the task among its [`Calls`], and takes them with it when it goes: a request, or an
//! instance of a plugin. What has become of a call is told from a task, so never before the guest has returned.
//!
//! | file | what it is |
//! |---|---|
//! | `executor`, `timer` | futures on nginx's event loop |
//! | `transport` | nginx's connection as hyper reads and writes one |
//! | `outgoing`, `target`, `body` | a call as the plugin described it |
//! | `connect`, `balancer` | from a target to a connection |
//! | `client`, `pool`, `http2` | the client of a worker, and its connections |
//! | `grpc` | gRPC over HTTP/2 |
//! | `caller` | whom the outcome of a call is told |
//! | `error`, `limits` | what can go wrong, and what is too much |

mod balancer;
mod body;
mod caller;
mod client;
mod connect;
mod error;
mod executor;
mod grpc;
mod http2;
mod limits;
mod outgoing;
mod pool;
mod target;
mod timer;
mod transport;

pub use caller::{Caller, Calls, Kind, PendingCalls, under_way};
pub use client::Client;
pub use error::CallError;
pub use executor::{Task, shut_down, spawn};
pub use grpc::{BadGrpcCall, NotSent, Outbox, OutgoingGrpc};
pub use limits::{CALLS as MAX_CALLS, RESPONSE_BODY};
pub use outgoing::{BadCall, Outgoing};
pub use target::Target;
pub use timer::{OnQuit, Sleep, timeout};
