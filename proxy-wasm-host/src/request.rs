//! A request's body on its way through the plugins, piece by piece, while the server reads it: what
//! is called when, what plugins hold, and what ends it. It knows no server: a server implements
//! [`Upload`].
//!
//! Each piece passes the plugins in their order, and then goes on to the server. A plugin that
//! pauses holds the piece, and its next call sees all that it holds (Envoy's rule). A plugin that
//! pauses by *watermark* sees in its next call only what is new, and the server reads no more than
//! may be held for it.
//!
//! | module | what it is |
//! |---|---|
//! | `upload` | what the server does for a request's body |
//! | `body` | how far the body has come, and what plugins hold of it |

mod body;
#[cfg(test)]
mod tests;
mod upload;

pub use body::{Body, resume, take};
pub use upload::Upload;
