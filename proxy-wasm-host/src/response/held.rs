//! What plugins hold of a response's body and trailers.
//!
//! A plugin of the filters holds a piece until it resumes; the piece then goes on to the plugins
//! after it. Lua's body filter cannot be continued from elsewhere. It keeps a plugin's piece back,
//! even the end of the body, and passes it on with the next piece, after the plugin has seen both.
//! If the plugin resumes before there is a next piece, an empty piece is pushed through the
//! filters. Lua then calls every plugin again; the only new bytes are those that were kept.

use std::cell::RefCell;

use super::exchange::Piece;

/// What each plugin holds, by its slot.
#[derive(Debug)]
pub struct Held<P>(RefCell<Vec<(usize, Kept<P>)>>);

/// A piece that a plugin holds.
#[derive(Debug)]
pub struct Kept<P> {
    /// The piece, with the end of the body if that has come.
    pub piece: P,
    /// Where it goes on.
    pub goes_on: GoesOn,
}

/// Where a piece goes on when its plugin has resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoesOn {
    /// To the next plugin's `proxy_on_response_body`. The plugin's own next call sees all that it holds.
    Body,
    /// To the next plugin's `proxy_on_response_body`. The plugin's own next call sees only what is new.
    BodyByWatermark {
        /// Whether the plugin holds as much as it may: no more comes until it resumes.
        is_full: bool,
    },
    /// To the next plugin's `proxy_on_response_trailers`: all plugins have seen the body.
    Trailers,
    /// With the next piece, when Lua calls the plugin again.
    NextPiece {
        /// Whether the plugin has resumed. What it held is still here, as is the end of the body
        /// when it has been passed on.
        resumed: bool,
    },
}

/// What is to be done for a plugin that has resumed.
#[derive(Debug)]
pub(super) enum Resumed<P> {
    /// Pass the piece on.
    Piece(Kept<P>),
    /// Push a piece through the filters, so that the driver comes; one that ends the body, if the
    /// plugin held the end.
    Push { at_end: bool },
}

impl<P> Default for Held<P> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<P> Kept<P> {
    /// Whether the plugin has not resumed.
    fn is_held(&self) -> bool {
        self.goes_on != GoesOn::NextPiece { resumed: true }
    }

    fn is_in_filters(&self) -> bool {
        !matches!(self.goes_on, GoesOn::NextPiece { .. })
    }
}

impl<P: Piece> Held<P> {
    /// Keeps a piece for the plugin of a slot, which must hold none.
    pub fn put(&self, slot: usize, piece: P, goes_on: GoesOn) {
        self.0.borrow_mut().push((slot, Kept { piece, goes_on }));
    }

    /// Takes what the plugin of a slot holds.
    #[inline]
    pub fn take(&self, slot: usize) -> Option<Kept<P>> {
        if self.is_empty() {
            return None;
        }
        let mut held = self.0.borrow_mut();
        let position = held.iter().position(|(holder, _)| *holder == slot)?;
        Some(held.swap_remove(position).1)
    }

    /// Resumes the plugin of a slot; `None` if it holds nothing.
    pub(super) fn resume(&self, slot: usize) -> Option<Resumed<P>> {
        let mut held = self.0.borrow_mut();
        let position = held.iter().position(|(holder, kept)| *holder == slot && kept.is_held())?;
        let kept = &mut held[position].1;
        if kept.is_in_filters() {
            return Some(Resumed::Piece(held.swap_remove(position).1));
        }
        kept.goes_on = GoesOn::NextPiece { resumed: true };
        Some(Resumed::Push { at_end: kept.piece.is_last() })
    }

    /// Whether the plugin of a slot holds something.
    pub(super) fn is_held_by(&self, slot: usize) -> bool {
        self.0.borrow().iter().any(|(holder, kept)| *holder == slot && kept.is_held())
    }

    /// Lends the piece that the plugin of a slot holds.
    pub(super) fn with<R>(&self, slot: usize, run: impl FnOnce(&mut P) -> R) -> Option<R> {
        let mut held = self.0.borrow_mut();
        let (_, kept) = held.iter_mut().find(|(holder, kept)| *holder == slot && kept.is_held())?;
        Some(run(&mut kept.piece))
    }

    /// Whether the plugin of a slot holds the end of the body.
    pub(super) fn is_end_held_by(&self, slot: usize) -> bool {
        self.end_holder() == Some(slot)
    }

    /// The slot whose plugin holds the end of the body.
    pub(super) fn end_holder(&self) -> Option<usize> {
        self.find(|kept| kept.is_held() && kept.piece.is_last())
    }

    /// Whether Lua's plugin of a slot has let the end of the body pass.
    pub(super) fn has_passed_end(&self, slot: usize) -> bool {
        let has_passed = |kept: &Kept<P>| !kept.is_held() && kept.piece.is_last();
        self.0.borrow().iter().any(|(holder, kept)| *holder == slot && has_passed(kept))
    }

    /// Returns the slot whose plugin keeps the response from its end: one that holds a piece in the
    /// filters, or else the end of the body in Lua. A piece without the end that Lua keeps goes on
    /// with the next one.
    #[inline]
    pub(super) fn holder(&self) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        self.in_filters().or_else(|| self.find(|kept| kept.is_held() && kept.piece.is_last()))
    }

    /// Whether nothing is held. Asked for each piece, of which most are not held.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Returns the slot whose plugin holds a piece in the filters.
    #[inline]
    pub(super) fn in_filters(&self) -> Option<usize> {
        self.find(Kept::is_in_filters)
    }

    #[inline]
    fn find(&self, is_meant: impl Fn(&Kept<P>) -> bool) -> Option<usize> {
        self.0.borrow().iter().find(|(_, kept)| is_meant(kept)).map(|(slot, _)| *slot)
    }

    /// Whether a plugin holds the end of the body.
    pub(super) fn has_end(&self) -> bool {
        self.end_holder().is_some()
    }

    /// Whether a plugin holds as much as it may, and its next call waits until it resumes.
    pub(super) fn is_full(&self) -> bool {
        self.find(|kept| kept.goes_on == GoesOn::BodyByWatermark { is_full: true }).is_some()
    }

    /// Whether more bytes have no room with a plugin that holds a piece in the filters.
    #[inline]
    pub(super) fn lacks_room(&self, lacks: impl Fn(usize, &P) -> bool) -> bool {
        !self.is_empty() && self.0.borrow().iter().any(|(slot, kept)| kept.is_in_filters() && lacks(*slot, &kept.piece))
    }

    /// Drops the pieces in the filters. What Lua keeps stays: Lua alone knows what its plugins have
    /// passed on, and asks with the next piece.
    pub(super) fn clear(&self) {
        self.0.borrow_mut().retain(|(_, kept)| !kept.is_in_filters());
    }
}
