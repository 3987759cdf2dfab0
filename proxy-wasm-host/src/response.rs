//! A response on its way through the plugins of its request: what is called when, what waits for
//! what, and what ends it. It knows no server: a server implements [`Exchange`].
//!
//! If a plugin may change the body, the header waits until the plugins have passed on the first
//! piece. If the whole body is there already, the header waits for all pieces, so that it can state
//! the length, and a plugin can still answer instead. A server sends a header no earlier by itself,
//! unless it must flush; then the header passes here, too.
//!
//! Bytes that must wait stay with the server, which reads no more until they are consumed. Copied
//! are only a piece that a plugin has seen and holds, and, where the server does not buffer, the
//! first bytes behind a header that a plugin holds.
//!
//! Two drivers lead through the plugins. The server's filters call [`header`] and [`body`], which
//! call one plugin after the other; its event calls [`wake`]. Lua calls the plugins itself, with the
//! header and then each piece with [`offer`], because APISIX decides about their order. What plugins
//! hold is in one place for both.
//!
//! | module | what it is |
//! |---|---|
//! | `exchange` | what the server does for a response |
//! | `state`, `held` | how far a response has come; what plugins hold of it |
//! | `verdict` | what a callback means for the message, and what ends a response |
//! | `header`, `body`, `pieces`, `trailers` | the response's way through the filters |
//! | `inject` | what plugins put into the body themselves |
//! | `driver`, `offer` | the same for a driver that calls the plugins itself: the header, the body |
//! | `end` | how a response ends early |
//! | `wake` | how a response continues that plugins held |

mod body;
mod driver;
mod end;
mod exchange;
mod header;
mod held;
mod inject;
mod offer;
mod pieces;
mod state;
#[cfg(test)]
mod tests;
mod trailers;
mod verdict;
mod wake;

pub use body::body;
pub use driver::{hold_header, pause_by_driver};
pub use end::{Stop, leave, unreadable};
pub use exchange::{Chunk, Client, Description, Events, Exchange, Piece, Plugins, Slot, Source, Types};
pub use header::header;
pub use held::{GoesOn, Held, Kept};
pub use offer::{end_by_driver, offer};
pub use state::Response;
pub use verdict::{Answer, Ending, Verdict};
pub use wake::wake;
