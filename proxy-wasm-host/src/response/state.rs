//! How far a response has come on its way through the plugins.

use std::cell::{Cell, OnceCell, RefCell};

use super::driver::HeaderHold;
use super::exchange::Piece;
use super::held::{Held, Kept};

/// How far the response of a request has come. Host functions look at it while a callback runs, so
/// it is changed through shared references.
pub struct Response<P> {
    pub(super) stage: Cell<Stage>,
    /// What plugins that a driver calls hold of the header.
    pub(super) driver: RefCell<Option<Box<HeaderHold<P>>>>,
    /// The slot of the plugin that a driver calls with the header now.
    pub(super) entered: Cell<Option<usize>>,
    /// Whether the driver is to call no plugin any more.
    pub(super) over_for_driver: Cell<bool>,
    /// What most responses do without, made when the first of it is needed. One look tells that there
    /// is none of it.
    rare: OnceCell<Box<Rare<P>>>,
    /// The slot whose plugin sees the last piece now.
    pub(super) shows_end_to: Cell<Option<usize>>,
    /// The slot of the plugin that has ended the body by what it injected.
    pub(super) ended_by: Cell<Option<usize>>,
    /// Whether more of the waiting bytes is handed out in the next turn of the server's loop.
    pub(super) continues: Cell<bool>,
    /// Whether the plugins have seen the end of the body.
    pub(super) end_seen: Cell<bool>,
    /// Whether an upstream makes the response.
    pub(super) from_upstream: Cell<bool>,
    /// Whether the header leaves it open how long the body is: a plugin that sees the body may change
    /// it.
    pub(super) may_change: Cell<bool>,
    /// Whether a plugin changed the body.
    pub(super) changed: Cell<bool>,
}

/// What most responses do without.
pub(super) struct Rare<P> {
    /// What plugins hold of the body and the trailers.
    pub held: Held<P>,
    /// A copy of what has come of the body, before any plugin saw it: a whole body that lacks only
    /// its end, or the first bytes behind a header that is held.
    pub aside: Cell<Option<Box<P>>>,
    /// Slots whose plugins resumed. The event handles them.
    resumed: RefCell<Vec<usize>>,
    /// What plugins have injected and was not passed on, by their slots.
    pub injected: RefCell<Vec<(usize, P)>>,
}

/// How far a response has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// The server has no response header yet.
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
    /// The server's page of this status is to replace the response.
    Failed(u32),
    /// The client is to be cut off.
    Cut,
}

impl<P> Default for Response<P> {
    fn default() -> Self {
        Self {
            stage: Cell::default(),
            driver: RefCell::default(),
            entered: Cell::default(),
            over_for_driver: Cell::default(),
            rare: OnceCell::new(),
            shows_end_to: Cell::default(),
            ended_by: Cell::default(),
            continues: Cell::default(),
            end_seen: Cell::default(),
            from_upstream: Cell::default(),
            may_change: Cell::default(),
            changed: Cell::default(),
        }
    }
}

impl<P> Default for Rare<P> {
    fn default() -> Self {
        Self {
            held: Held::default(),
            aside: Cell::default(),
            resumed: RefCell::default(),
            injected: RefCell::default(),
        }
    }
}

impl<P: Piece> Response<P> {
    /// What is rare, if there is any of it.
    #[inline]
    pub(super) fn rare(&self) -> Option<&Rare<P>> {
        self.rare.get().map(Box::as_ref)
    }

    /// What is rare, made if this is the first of it.
    pub(super) fn make_rare(&self) -> &Rare<P> {
        self.rare.get_or_init(Box::default)
    }

    /// What plugins hold, if any has held something.
    #[inline]
    pub(super) fn held(&self) -> Option<&Held<P>> {
        self.rare().map(|rare| &rare.held)
    }

    /// Takes the copy of what has come before any plugin saw it.
    #[inline]
    pub(super) fn take_aside(&self) -> Option<Box<P>> {
        self.rare()?.aside.take()
    }

    /// Takes what the plugin of a slot holds.
    #[inline]
    pub(super) fn take_held(&self, slot: usize) -> Option<Kept<P>> {
        self.held()?.take(slot)
    }

    /// Whether the plugin of a slot holds the header or part of the body.
    pub fn is_held_by(&self, slot: usize) -> bool {
        self.stage.get() == Stage::HeaderHeld(slot)
            || self.held().is_some_and(|held| held.is_held_by(slot))
            || self.is_header_held_in_driver_by(slot)
    }

    /// Whether any plugin holds the header or part of the body.
    #[inline]
    pub fn is_held(&self) -> bool {
        matches!(self.stage.get(), Stage::HeaderHeld(_)) || self.held().is_some_and(|held| !held.is_empty())
    }

    /// Lends the part of the body that the plugin of a slot holds, to a callback that is not one of the
    /// response's.
    pub fn with_held<R>(&self, slot: usize, run: impl FnOnce(&mut P) -> R) -> Option<R> {
        self.held()?.with(slot, run)
    }

    /// Whether the response has begun.
    pub fn has_begun(&self) -> bool {
        self.stage.get() != Stage::Upstream
    }

    /// Whether the client is to be cut off.
    pub fn is_cut(&self) -> bool {
        self.stage.get() == Stage::Cut
    }

    /// Returns the slot whose plugin holds something.
    #[inline]
    pub fn holder(&self) -> Option<usize> {
        match self.stage.get() {
            Stage::HeaderHeld(slot) => Some(slot),
            _ => self.held()?.holder(),
        }
    }

    /// Whether a plugin holds something for which the pause timeout runs. It does not for a piece
    /// while an upstream has not finished: the plugin may wait for the rest, and the server's own
    /// timeout for the upstream applies. It does if nothing of the rest comes to the plugin.
    pub(super) fn must_be_timed(&self) -> bool {
        match self.stage.get() {
            Stage::HeaderHeld(_) => true,
            _ => {
                let waits_for_rest = |held: &Held<P>| self.from_upstream.get() && !held.has_end() && !held.is_full();
                self.held().is_some_and(|held| held.holder().is_some() && !waits_for_rest(held))
            }
        }
    }

    /// Whether a plugin holds a piece of the body in the filters.
    pub fn holds_piece(&self) -> bool {
        self.held().is_some_and(|held| held.in_filters().is_some())
    }

    /// Notes that the plugin of a slot has resumed the response. Answers false if it holds nothing
    /// of it; otherwise [`wake`](super::wake) is to be called from the server's loop.
    pub fn resume(&self, slot: usize) -> bool {
        if !self.is_held_by(slot) {
            return false;
        }
        let mut resumed = self.make_rare().resumed.borrow_mut();
        if !resumed.contains(&slot) {
            resumed.push(slot);
        }
        true
    }

    /// Takes the slots whose plugins have resumed.
    pub(super) fn take_resumed(&self) -> Vec<usize> {
        self.rare().map(|rare| rare.resumed.take()).unwrap_or_default()
    }

    pub(super) fn see_end(&self, is_end: bool) {
        self.end_seen.set(self.end_seen.get() | is_end);
    }
}
