//! What nginx has of a response on its way through the plugins. How far it has come, and what
//! plugins hold of it, is in [`proxy_wasm_host::response`].

mod piece;
mod validators;
mod waiting;

use std::cell::{Cell, RefCell};

use ngx_bindings::chain::Chain;
use ngx_bindings::{Request, StoredRequest};
use proxy_wasm_host::response::Response as State;

pub use self::piece::{Chunk, Piece};
pub use self::validators::Validators;
pub use self::waiting::Waiting;
use super::body::Body;
use super::unsent::Unsent;
use crate::lazy_box::LazyBox;

/// The response of a request.
#[derive(Default)]
pub struct Response {
    /// How far it has come, and what plugins hold of it.
    pub state: State<Piece>,
    /// The piece that `proxy_on_response_body` may see now.
    pub body: RefCell<Option<Body>>,
    /// The bytes from upstream that no plugin has seen yet.
    pub waiting: Waiting,
    /// The request that brought the latest bytes of the body. It is a subrequest if `slice` fetches
    /// the body in parts.
    latest: Cell<Option<StoredRequest>>,
    /// What has passed the plugins while the header waits for the rest of the body.
    pub put_by: Cell<Chain>,
    /// The bytes that plugins made and nginx has not sent yet.
    pub unsent: LazyBox<Unsent>,
    /// The header fields that describe the body.
    pub validators: Validators,
}

impl Response {
    /// Notes the request that brought bytes of the body.
    pub fn note_latest(&self, request: Request) {
        self.latest.set(Some(request.store()));
    }

    /// The request that brought the latest bytes; `main`, to whose context this belongs, if none did
    /// so far.
    pub fn latest<'r>(&self, main: Request<'r>) -> Request<'r> {
        // SAFETY: nginx frees subrequests with their main request.
        self.latest.get().map_or(main, |latest| unsafe { latest.lend_with(main) })
    }

    /// Forgets the plugins' bytes that nginx has sent. Returns how many bytes it has not.
    pub fn collect_unsent(&self) -> usize {
        self.unsent.get().map_or(0, Unsent::collect)
    }

    /// Whether bytes wait behind a piece that a plugin holds, a plugin has injected some, or one that Lua
    /// calls holds the header and may have waited for a call.
    pub fn must_be_woken(&self) -> bool {
        !self.waiting.is_empty() && self.state.holds_piece()
            || self.state.is_injecting()
            || self.state.is_header_held_by_driver()
    }
}
