//! How far a response has come on its way through the plugins, and what of it waits where.

mod validators;
mod waiting;

use std::cell::{Cell, RefCell};

use ngx_bindings::Request;
use ngx_bindings::chain::{Chain, Marks};
use ngx_bindings::sys::ngx_int_t;

pub use self::validators::Validators;
pub use self::waiting::Waiting;
use super::RequestContext;
use super::body::Body;
use super::kept::HeldByLua;
use super::slots::Slot;
use super::unsent::Unsent;
use crate::lazy_box::LazyBox;

/// A piece of the body, and what came with it.
pub struct Piece {
    pub body: Body,
    pub marks: Marks,
    /// All plugins have seen the body; what holds it is one that has seen the trailers.
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
    /// What `proxy_on_response_body` may see now.
    pub body: RefCell<Option<Body>>,
    /// What upstream sent and no plugin has seen yet.
    pub waiting: Waiting,
    /// More of it is handed out when nginx's loop comes round.
    pub goes_on: Cell<bool>,
    /// The request that brought the latest bytes of the body: a subrequest where `slice` fetches the body in parts.
    pub latest: Cell<Option<Request>>,
    /// The end of the body has come to the plugins.
    pub end_seen: Cell<bool>,
    /// A body that is complete, but for nginx's word.
    pub whole: LazyBox<RefCell<Option<Piece>>>,
    /// What went through the plugins while the header waits for the rest of the body.
    pub passed: Cell<Chain>,
    /// By slot: what it holds of the body.
    pub held: LazyBox<RefCell<Vec<(usize, Piece)>>>,
    /// What Lua keeps of the body for plugins.
    pub kept: HeldByLua,
    /// What plugins made of the body and nginx has not sent yet.
    pub unsent: LazyBox<Unsent>,
    /// An upstream makes the response.
    pub from_upstream: Cell<bool>,
    /// A plugin changed the body.
    pub changed: Cell<bool>,
    /// What the header says of the body.
    pub validators: Validators,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// nginx has no header yet.
    #[default]
    Upstream,
    /// The plugin of this slot holds the header, and with it everything behind.
    HeaderHeld(usize),
    /// The plugins have seen the header; it waits for the body.
    HeaderWaits,
    /// The header is sent, the body goes through the plugins.
    Body,
    /// The end of the body is sent: what comes now, a filter before ours or after adds.
    Ended,
    /// The header is sent, and no plugin sees the body; but trailers may come with its end.
    Trailers,
    /// Nothing concerns the plugins any more.
    Passing,
    /// A plugin answered in Lua's header filter: the answer's body goes in place of the first piece that comes.
    Answering,
    /// It has gone, and no plugin is shown it; what upstream still sends is dropped.
    Answered,
    /// What upstream still sends is dropped: a plugin answered, or the response is only a header.
    Dropping,
    /// nginx's page of this status is to take the place of the response, whose source is over.
    Failed(ngx_int_t),
    /// The client is to be cut off.
    Cut,
}

impl Response {
    /// Whether the plugin of a slot holds the header or part of the body.
    pub fn is_held_by(&self, slot: usize) -> bool {
        let holds_a_piece = |held: &RefCell<Vec<_>>| held.borrow().iter().any(|(holder, _)| *holder == slot);
        self.stage.get() == Stage::HeaderHeld(slot)
            || self.held.get().is_some_and(holds_a_piece)
            || self.kept.is_kept_by(slot)
    }

    /// Whether nginx has come to the response.
    pub fn has_begun(&self) -> bool {
        self.stage.get() != Stage::Upstream
    }

    /// Lua has come to the response. Our filter, before Lua's, has seen nothing of it if no plugin had met the request by then.
    pub fn begin_in_lua(&self) {
        if !self.has_begun() {
            self.stage.set(Stage::Passing);
        }
    }

    /// Whether the client is to be cut off.
    pub fn is_cut(&self) -> bool {
        self.stage.get() == Stage::Cut
    }

    /// Whether a plugin answered, or failed, in Lua's header filter: the body is the answer's, of the length that the header says.
    pub fn is_answered_in_lua(&self) -> bool {
        matches!(self.stage.get(), Stage::Answering | Stage::Answered)
    }

    /// More of what waits is to be handed out from the event.
    pub fn goes_on(&self) {
        self.goes_on.set(true);
    }

    /// The slot whose plugin holds something.
    pub fn holder(&self) -> Option<usize> {
        match self.stage.get() {
            Stage::HeaderHeld(slot) => Some(slot),
            _ => self.piece_holder().or_else(|| self.kept.holder()),
        }
    }

    pub fn piece_holder(&self) -> Option<usize> {
        self.held.get()?.borrow().first().map(|(slot, _)| *slot)
    }

    /// Forgets what of the plugins' making nginx has sent; answers how many bytes it has not.
    pub fn collect_unsent(&self) -> usize {
        self.unsent.get().map_or(0, Unsent::collect)
    }

    /// Whether a plugin that waits for a call holds as much as it may: the call's response will let it go on.
    pub fn lacks_room(&self, ctx: &RequestContext, size: usize) -> bool {
        let is_full = |(slot, piece): &(usize, Piece)| {
            let full = |slot: &Slot| piece.body.size() + size > slot.body_buffer_size() && slot.calls_pending();
            ctx.slots.get(*slot).is_some_and(full)
        };
        self.held.get().is_some_and(|held| held.borrow().iter().any(is_full))
    }

    /// Whether something waits behind what a plugin holds.
    pub fn waits_behind_holder(&self) -> bool {
        !self.waiting.is_empty() && self.piece_holder().is_some()
    }

    /// What the plugin of a slot holds.
    pub fn take_held(&self, slot: usize) -> Option<Piece> {
        let mut held = self.held.get()?.borrow_mut();
        let position = held.iter().position(|(holder, _)| *holder == slot)?;
        Some(held.swap_remove(position).1)
    }

    /// Whether all of the body has come from whoever makes it, as far as is known here.
    pub fn source_is_over(&self) -> bool {
        let ends = |held: &RefCell<Vec<(usize, Piece)>>| held.borrow().iter().any(|(_, piece)| piece.marks.last);
        self.waiting.chain().marks().last || self.held.get().is_some_and(ends)
    }
}
