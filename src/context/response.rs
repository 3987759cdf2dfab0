//! How far a response has come on its way through the plugins, and which parts of it wait where.

mod validators;
mod waiting;

use std::cell::{Cell, RefCell};

use ngx_bindings::chain::{Chain, Marks};
use ngx_bindings::sys::ngx_int_t;
use ngx_bindings::{Request, StoredRequest};

pub use self::validators::Validators;
pub use self::waiting::Waiting;
use super::RequestContext;
use super::body::Body;
use super::held_by_lua::HeldByLua;
use super::slots::Slot;
use super::unsent::Unsent;
use crate::lazy_box::LazyBox;

/// A piece of the body, with nginx's marks: the end, or a flush.
pub struct Piece {
    pub body: Body,
    pub marks: Marks,
    /// Whether all plugins have seen the body, and the plugin that holds the piece has seen the
    /// trailers.
    pub with_trailers: bool,
}

impl From<Chain> for Piece {
    fn from(chain: Chain) -> Self {
        Self { body: Body::of(chain), marks: chain.marks(), with_trailers: false }
    }
}

/// How far the response of a request has come.
#[derive(Default)]
pub struct Response {
    pub stage: Cell<Stage>,
    /// The piece that `proxy_on_response_body` may see now.
    pub body: RefCell<Option<Body>>,
    /// The bytes from upstream that no plugin has seen yet.
    pub waiting: Waiting,
    /// Whether more of the waiting bytes is handed out in the next turn of nginx's loop.
    pub goes_on: Cell<bool>,
    /// The request that brought the latest bytes of the body. It is a subrequest if `slice` fetches
    /// the body in parts.
    latest: Cell<Option<StoredRequest>>,
    /// Whether the plugins have seen the end of the body.
    pub end_seen: Cell<bool>,
    /// A body that has come completely, except for the buffer that marks its end.
    pub whole: LazyBox<RefCell<Option<Piece>>>,
    /// The pieces that have passed the plugins while the header waits for the rest of the body.
    pub passed: Cell<Chain>,
    /// The piece that each slot's plugin holds.
    pub held: LazyBox<RefCell<Vec<(usize, Piece)>>>,
    /// What Lua keeps of the body for plugins.
    pub kept: HeldByLua,
    /// The bytes that plugins made and nginx has not sent yet.
    pub unsent: LazyBox<Unsent>,
    /// Whether an upstream makes the response.
    pub from_upstream: Cell<bool>,
    /// Whether a plugin changed the body.
    pub changed: Cell<bool>,
    /// The header fields that describe the body.
    pub validators: Validators,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// nginx has no response header yet.
    #[default]
    Upstream,
    /// The plugin of this slot holds the header, and with it the whole response.
    HeaderHeld(usize),
    /// The plugins have seen the header; it waits for the body.
    HeaderWaits,
    /// The header is sent; the body passes the plugins.
    Body,
    /// The end of the body is sent. Anything that comes now was added by another filter.
    Ended,
    /// The header is sent, and no plugin sees the body; but trailers may come with its end.
    Trailers,
    /// The plugins have nothing to do with the rest of the response.
    Passing,
    /// A plugin answered in Lua's header filter: the answer's body replaces the first piece that
    /// comes.
    Answering,
    /// The answer's body is sent. No plugin sees it, and the rest that upstream sends is dropped.
    Answered,
    /// The rest that upstream sends is dropped, because a plugin answered or the response is only a
    /// header.
    Dropping,
    /// nginx's page of this status is to replace the response.
    Failed(ngx_int_t),
    /// The client is to be cut off.
    Cut,
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

    /// Whether the plugin of a slot holds the header or part of the body.
    pub fn is_held_by(&self, slot: usize) -> bool {
        let holds_a_piece = |held: &RefCell<Vec<_>>| held.borrow().iter().any(|(holder, _)| *holder == slot);
        self.stage.get() == Stage::HeaderHeld(slot)
            || self.held.get().is_some_and(holds_a_piece)
            || self.kept.is_kept_by(slot)
    }

    /// Whether the response has begun.
    pub fn has_begun(&self) -> bool {
        self.stage.get() != Stage::Upstream
    }

    /// Marks the response as begun when Lua's filter sees it. This module's filter runs before
    /// Lua's, and ignores the response if no plugin had met the request by then.
    pub fn begin_in_lua(&self) {
        if !self.has_begun() {
            self.stage.set(Stage::Passing);
        }
    }

    /// Whether the client is to be cut off.
    pub fn is_cut(&self) -> bool {
        self.stage.get() == Stage::Cut
    }

    /// Whether a plugin answered, or failed, in Lua's header filter. The body is then the answer's,
    /// with the length that the header says.
    pub fn is_answered_in_lua(&self) -> bool {
        matches!(self.stage.get(), Stage::Answering | Stage::Answered)
    }

    /// Marks that the event is to hand out more of the waiting bytes.
    pub fn goes_on(&self) {
        self.goes_on.set(true);
    }

    /// Returns the slot whose plugin holds something.
    pub fn holder(&self) -> Option<usize> {
        match self.stage.get() {
            Stage::HeaderHeld(slot) => Some(slot),
            _ => self.piece_holder().or_else(|| self.kept.holder()),
        }
    }

    pub fn piece_holder(&self) -> Option<usize> {
        self.held.get()?.borrow().first().map(|(slot, _)| *slot)
    }

    /// Forgets the plugins' bytes that nginx has sent. Returns how many bytes it has not.
    pub fn collect_unsent(&self) -> usize {
        self.unsent.get().map_or(0, Unsent::collect)
    }

    /// Whether a plugin that waits for a call holds as many bytes as it may. It continues when the
    /// call's response comes.
    pub fn lacks_room(&self, ctx: &RequestContext, size: usize) -> bool {
        let is_full = |(slot, piece): &(usize, Piece)| {
            let full = |slot: &Slot| piece.body.size() + size > slot.body_buffer_size() && slot.calls_pending();
            ctx.slots.get(*slot).is_some_and(full)
        };
        self.held.get().is_some_and(|held| held.borrow().iter().any(is_full))
    }

    /// Whether bytes wait behind a piece that a plugin holds.
    pub fn waits_behind_holder(&self) -> bool {
        !self.waiting.is_empty() && self.piece_holder().is_some()
    }

    /// Takes the piece that the plugin of a slot holds.
    pub fn take_held(&self, slot: usize) -> Option<Piece> {
        let mut held = self.held.get()?.borrow_mut();
        let position = held.iter().position(|(holder, _)| *holder == slot)?;
        Some(held.swap_remove(position).1)
    }

    /// Whether the source has sent the whole body, as far as is known here.
    pub fn source_is_over(&self) -> bool {
        let ends = |held: &RefCell<Vec<(usize, Piece)>>| held.borrow().iter().any(|(_, piece)| piece.marks.last);
        self.end_seen.get() || self.waiting.chain().marks().last || self.held.get().is_some_and(ends)
    }
}
