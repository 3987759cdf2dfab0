//! Calls out: HTTP, gRPC and Redis calls of plugins, on nginx's event loop.
//!
//! Each call is a task. The request or the plugin instance that makes a call keeps its task in
//! [`Calls`]. A request that is over leaves its calls to the instance; they are cancelled when that
//! goes away. The plugin learns the outcome from inside the task, so never before the guest has
//! returned.
//!
//! | file | what it is |
//! |---|---|
//! | `transport` | nginx's connection, as hyper reads and writes it |
//! | `outgoing`, `body` | a call as the plugin described it |
//! | `connect` | connects to a target: addresses, connection, TLS |
//! | `client`, `pool`, `http2` | a worker's client and its connections |
//! | `grpc` | gRPC over HTTP/2 |
//! | `redis` | calls of Redis servers |
//! | `under_way` | the calls of one request or instance |
//! | `error` | why a call failed |
//!
//! The parts that need no nginx are in [`proxy_wasm_host::outgoing`]: targets, gRPC's messages and
//! metadata, the balancer, the limits.

mod body;
mod client;
mod connect;
mod error;
mod grpc;
mod http2;
mod outgoing;
mod pool;
mod redis;
mod transport;
mod under_way;

pub use client::Client;
pub use error::CallError;
pub use grpc::{BadGrpcCall, GrpcListener, NotSent, Outbox, OutgoingGrpc};
pub use outgoing::{BadCall, Outgoing};
pub use proxy_wasm_host::limits::calls::{CALLS as MAX_CALLS, RESPONSE_BODY};
pub use proxy_wasm_host::outgoing::Target;
pub use redis::{BadRedisCall, Login, RedisCall, RedisServer};
pub use under_way::{Calls, Kind, PendingCalls, stop, under_way};
