//! A header that plugins hold which a driver calls: Lua.
//!
//! The driver's header filter cannot wait. It calls one plugin after the other, whether or not one
//! before it has paused, and passes the header on. A filter behind the driver's then holds the
//! header for all that have paused ([`hold_header`]), and the body waits before the driver, as behind
//! a header that a plugin of the filters holds. When the last of them has resumed, the header goes on
//! from where it was held: the driver does not see it again.

use super::body::{pass_set_aside, take};
use super::end::{Stop, cut, unreadable};
use super::exchange::{Chunk, Exchange, Piece, Slot};
use super::header::send_header;
use super::pieces::{join, send_behind_header};
use super::state::{Response, Stage};

/// What a driver's plugins hold of a header.
pub(super) struct HeaderHold<P> {
    /// The plugins that hold it.
    holders: Vec<Holder>,
    /// How far the response had come when the filter behind the driver's held the header.
    before: Option<Stage>,
    /// What has passed the plugins of the filters already: the piece of the body that their header
    /// waited for, and others that they release at that moment.
    piece: Option<P>,
}

/// A plugin that holds the header.
#[derive(Clone, Copy)]
struct Holder {
    slot: usize,
    /// Whether it made calls, and resumes when all are answered.
    for_calls: bool,
}

impl<P> Default for HeaderHold<P> {
    fn default() -> Self {
        Self { holders: Vec::new(), before: None, piece: None }
    }
}

impl<P: Piece> Response<P> {
    /// Notes that the driver calls a plugin with the header, which can already resume what it is about
    /// to hold.
    pub fn enter_driver(&self, slot: usize) {
        self.entered.set(Some(slot));
    }

    /// Notes that the driver's plugin has returned.
    pub fn leave_driver(&self) {
        self.entered.set(None);
    }

    /// Whether a plugin of the driver holds the header.
    pub fn is_header_held_by_driver(&self) -> bool {
        self.driver.borrow().as_ref().is_some_and(|hold| !hold.holders.is_empty())
    }

    /// Whether the driver is to call no plugin: it has seen the response, which a page of the server
    /// replaces now.
    pub fn is_over_for_driver(&self) -> bool {
        self.over_for_driver.get()
    }

    /// Whether the plugin of a slot holds the header, or may be about to.
    pub(super) fn is_header_held_in_driver_by(&self, slot: usize) -> bool {
        let is_holder = |hold: &HeaderHold<P>| hold.holders.iter().any(|holder| holder.slot == slot);
        self.entered.get() == Some(slot) || self.driver.borrow().as_deref().is_some_and(is_holder)
    }

    /// Whether the driver has seen the header, which is not sent.
    pub(super) fn is_header_behind_driver(&self) -> bool {
        self.driver.borrow().as_ref().is_some_and(|hold| hold.before.is_some())
    }

    /// The plugins hold the header no longer, because something replaces it.
    pub(super) fn release_driver(&self) {
        if let Some(hold) = self.driver.borrow_mut().as_mut() {
            hold.holders.clear();
            if let Some(piece) = hold.piece.take() {
                piece.discard();
            }
        }
    }

    /// Forgets the header: it is sent, or a page replaces it, which the driver's filters see as a
    /// response of its own.
    pub(super) fn forget_driver(&self) {
        self.release_driver();
        self.driver.take();
    }

    /// A page of the server replaces the header.
    pub(super) fn replace_behind_driver(&self) {
        if self.is_header_behind_driver() {
            self.over_for_driver.set(true);
        }
        self.forget_driver();
    }

    /// The plugins that made calls, of which none is unanswered.
    pub(super) fn answered_holders(&self, is_answered: impl Fn(usize) -> bool) -> Vec<usize> {
        let hold = self.driver.borrow();
        let holders = hold.iter().flat_map(|hold| &hold.holders);
        holders.filter(|holder| holder.for_calls && is_answered(holder.slot)).map(|holder| holder.slot).collect()
    }

    fn first_holder(&self) -> Option<usize> {
        self.driver.borrow().as_ref()?.holders.first().map(|holder| holder.slot)
    }
}

/// Notes that a plugin of the driver has paused on the header. If the header cannot wait, the header
/// of a subrequest goes on, and another response ends.
pub fn pause_by_driver<E: Exchange>(exchange: &E, slot: &E::Slot) {
    let response = exchange.response();
    if !may_hold_header(response) || exchange.header_sent() || exchange.is_post_action() {
        return;
    }
    let name = slot.name();
    if exchange.is_subrequest() {
        return exchange.log(format_args!("plugin \"{name}\" cannot hold the header of a subrequest's response"));
    }
    if let Some(what) = exchange.header_cannot_wait() {
        exchange.log(format_args!("plugin \"{name}\" cannot hold {what}"));
        cut(exchange).in_filter(exchange);
        return;
    }
    let mut hold = response.driver.borrow_mut();
    let holders = &mut hold.get_or_insert_default().holders;
    holders.retain(|holder| holder.slot != slot.index());
    holders.push(Holder { slot: slot.index(), for_calls: slot.calls_pending() });
}

fn may_hold_header<P>(response: &Response<P>) -> bool {
    matches!(
        response.stage.get(),
        Stage::Upstream | Stage::HeaderWaits | Stage::Body | Stage::Ended | Stage::Trailers | Stage::Passing
    )
}

/// Holds the header in the filter behind the driver's, if a plugin of the driver has paused on it.
/// Answers whether it did; the header is not to be passed on then.
pub fn hold_header<E: Exchange>(exchange: &E) -> bool {
    let response = exchange.response();
    let Some(holder) = response.first_holder().filter(|_| may_hold_header(response)) else { return false };
    if exchange.cannot_wait().is_some() {
        // A page of the server's own filters replaces the response, of which this was the header.
        response.forget_driver();
        return false;
    }
    let before = match response.stage.get() {
        // No plugin had met the response in the filters.
        Stage::Upstream => {
            exchange.begin();
            response.from_upstream.set(exchange.has_active_upstream());
            Stage::Passing
        }
        stage => stage,
    };
    response.driver.borrow_mut().get_or_insert_default().before = Some(before);
    response.stage.set(Stage::HeaderHeld(holder));
    exchange.forbid_ranges();
    exchange.start_clock();
    exchange.set_held(true);
    true
}

/// Keeps a piece that has passed the plugins of the filters. Returns it if the header is not held.
pub(super) fn keep_behind_header<E: Exchange>(
    exchange: &E,
    mut piece: E::Piece,
) -> Result<Option<E::Piece>, Stop<E::Code>> {
    let response = exchange.response();
    if !matches!(response.stage.get(), Stage::HeaderHeld(_)) {
        return Ok(Some(piece));
    }
    let before = response.driver.borrow_mut().as_mut().and_then(|hold| hold.piece.take());
    let joined = piece.keep().and_then(|()| join(before, piece)).map_err(|error| unreadable(exchange, &error))?;
    response.driver.borrow_mut().get_or_insert_default().piece = Some(joined);
    Ok(None)
}

/// Releases what a plugin of the driver holds of the header; `None` if that is nothing. The header
/// goes on when no other one holds it.
pub(super) fn resume<E: Exchange>(exchange: &E, slot: usize) -> Option<Result<E::Code, Stop<E::Code>>> {
    let response = exchange.response();
    let is_holder = |hold: &mut Option<Box<HeaderHold<E::Piece>>>| {
        let holders = &mut hold.as_mut()?.holders;
        let position = holders.iter().position(|holder| holder.slot == slot)?;
        holders.remove(position);
        Some(())
    };
    is_holder(&mut response.driver.borrow_mut())?;
    if !matches!(response.stage.get(), Stage::HeaderHeld(_)) {
        return Some(Ok(E::OK));
    }
    Some(match response.first_holder() {
        Some(next) => {
            response.stage.set(Stage::HeaderHeld(next));
            Ok(E::OK)
        }
        None => go_on(exchange),
    })
}

/// Sends the header, and what has come behind it.
fn go_on<E: Exchange>(exchange: &E) -> Result<E::Code, Stop<E::Code>> {
    let response = exchange.response();
    let (before, piece) = match response.driver.borrow_mut().as_mut() {
        Some(hold) => (hold.before.unwrap_or(Stage::Passing), hold.piece.take()),
        None => (Stage::Passing, None),
    };
    response.stage.set(before);
    send_header(exchange)?;
    if let Some(piece) = piece {
        send_behind_header(exchange, piece)?;
    }
    pass_set_aside(exchange)?;
    take(exchange, E::Chunk::EMPTY)
}
