//! Bytes that plugins put into the body themselves, for the plugins behind them and the client:
//! `proxy_inject_encoded_data_to_filter_chain`. They go before what the plugin sees or holds. If they
//! end the body, they take the place of all the rest.

use std::mem;

use super::end::Stop;
use super::exchange::{Exchange, Piece, Plugins, Slot};
use super::pieces::pass_on;
use super::state::{Response, Stage};

/// How many pieces of one plugin wait to be passed on. What it injects then joins the last: each piece
/// is taken through all plugins behind it, when the deadline of the callback is over.
const PIECES: usize = 16;

impl<P: Piece> Response<P> {
    /// Takes a piece that the plugin of a slot injects. Answers false if there is no body for it: the
    /// header has not come or is held, or says how long the body is; the body has ended, or this plugin
    /// or one behind it has ended it. Where [`Self::is_injecting`] afterwards, [`wake`](super::wake) is to be called from the
    /// server's loop, unless a callback of the response's has injected it.
    pub fn inject(&self, slot: usize, piece: P, by_lua: bool) -> bool {
        let has_body = match self.stage.get() {
            // Until the end of the body has passed the plugin.
            Stage::HeaderWaits | Stage::Body if self.may_change.get() => {
                let end_at = self.shows_end_to.get().or_else(|| self.held()?.end_holder());
                !self.end_seen.get() || end_at.is_some_and(|at| at <= slot)
            }
            Stage::Passing => by_lua && !self.held().is_some_and(|held| held.has_passed_end(slot)),
            _ => false,
        };
        let is_ended = self.ended_by.get().is_some_and(|by| by >= slot);
        if !has_body || is_ended || self.injects_end(slot) {
            return false;
        }
        let mut injected = self.make_rare().injected.borrow_mut();
        let pieces = injected.iter().filter(|(by, _)| *by == slot).count();
        match injected.iter_mut().rfind(|(by, _)| *by == slot) {
            Some((_, before)) if pieces >= PIECES => match mem::take(before).join(piece) {
                Ok(joined) => *before = joined,
                Err(_) => return false,
            },
            _ => injected.push((slot, piece)),
        }
        true
    }

    /// Whether something was injected that has not been passed on.
    pub fn is_injecting(&self) -> bool {
        self.rare().is_some_and(|rare| !rare.injected.borrow().is_empty())
    }

    /// Whether the plugin of a slot has injected the end of the body, and it has not been passed on.
    fn injects_end(&self, slot: usize) -> bool {
        let is_end = |(by, piece): &(usize, P)| *by == slot && piece.is_last();
        self.rare().is_some_and(|rare| rare.injected.borrow().iter().any(is_end))
    }

    /// Takes what the plugin of a slot has injected.
    pub(super) fn take_injected(&self, slot: usize) -> Vec<P> {
        let Some(rare) = self.rare().filter(|_| self.is_injecting()) else { return Vec::new() };
        let (taken, left) = rare.injected.take().into_iter().partition(|(by, _)| *by == slot);
        rare.injected.replace(left);
        let taken: Vec<(usize, P)> = taken;
        if taken.iter().any(|(_, piece)| piece.is_last()) {
            self.ended_by.set(Some(slot));
            if let Some(kept) = rare.held.take(slot) {
                kept.piece.discard();
            }
        }
        taken.into_iter().map(|(_, piece)| piece).collect()
    }

    /// Whether the plugin of a slot has ended the body itself: what comes to it is dropped.
    pub(super) fn is_ended_by(&self, slot: usize) -> bool {
        self.ended_by.get() == Some(slot)
    }
}

/// Passes on what the plugin of a slot has injected. Returns whether that ends the body.
pub(super) fn pass_injected<E: Exchange>(exchange: &E, slot: usize) -> Result<bool, Stop<E::Code>> {
    for piece in exchange.response().take_injected(slot) {
        let is_last = piece.is_last();
        pass_on(exchange, slot + 1, piece)?;
        if is_last {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Passes on all that was injected, from an event. What the last plugin has injected goes first: what
/// one before it injects is new to it.
pub(super) fn pass_all_injected<E: Exchange>(exchange: &E) -> Result<(), Stop<E::Code>> {
    let response = exchange.response();
    let Some(rare) = response.rare() else { return Ok(()) };
    let mut slots: Vec<usize> = rare.injected.borrow().iter().map(|(slot, _)| *slot).collect();
    slots.sort_unstable();
    slots.dedup();
    for slot in slots.into_iter().rev() {
        if by_lua(exchange, slot) {
            // Lua passes it on, when it comes with the next piece; with the end, if the plugin held it and
            // now drops it.
            exchange.push(response.injects_end(slot) && rare.held.is_end_held_by(slot))?;
        } else {
            pass_injected(exchange, slot)?;
        }
    }
    Ok(())
}

fn by_lua<E: Plugins>(exchange: &E, slot: usize) -> bool {
    exchange.slot(slot).is_some_and(Slot::is_driven_by_lua)
}
