//! Calls to other servers, as far as they are bytes and numbers: what a plugin wrote, what the server sent, which server is next.
//!
//! An embedder has the connections and the clock. [`target`] and [`service`] read where a call goes, [`metadata`] writes a gRPC
//! request's head and reads a response's fields, [`messages`] frames messages, [`status`] says how a gRPC call ended,
//! [`balancer`] picks a server of a block. Nothing here waits.

pub mod balancer;
pub mod limits;
pub mod messages;
pub mod metadata;
mod protobuf;
pub mod service;
pub mod status;
pub mod target;

pub use service::Service;
pub use status::Status;
pub use target::Target;
