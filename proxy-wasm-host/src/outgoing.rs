//! Calls to other servers, without the network: reads what a plugin wrote and what the server sent,
//! and picks the next server.
//!
//! The embedder has the connections and the clock. [`target`], [`upstreams`] and [`service`] read
//! where a call goes, [`redis`] reads commands and replies of Redis, [`metadata`] writes the head of a gRPC request and reads a response's fields, [`messages`]
//! frames messages, [`status`] says how a gRPC call ended, and [`balancer`] picks a server of an
//! `upstream` block. Nothing in this room waits.

pub mod balancer;
pub mod messages;
pub mod metadata;
mod protobuf;
pub mod redis;
pub mod service;
pub mod status;
pub mod target;
pub mod upstreams;

pub use service::Service;
pub use status::Status;
pub use target::Target;
pub use upstreams::{Names, NoServer, Server, TlsServer, Upstreams};
