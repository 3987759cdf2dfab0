//! Takes pieces of the body through the plugins, and sends them.

use std::io;

use super::driver::keep_behind_header;
use super::end::{Stop, cannot_hold, end_by, fail, send_kept_answer, unreadable};
use super::exchange::{Chunk, Description, Exchange, Piece, Slot};
use super::header::send_header;
use super::held::GoesOn;
use super::inject::pass_injected;
use super::state::Stage;
use super::trailers;
use super::verdict::Verdict;

/// The status of the page for a piece that cannot be held.
pub(super) const INTERNAL_ERROR: u32 = 500;

/// Runs `proxy_on_response_body` from a slot on, then sends the piece.
pub(super) fn pass<E: Exchange>(exchange: &E, first: usize, mut piece: E::Piece) -> Result<E::Code, Stop<E::Code>> {
    let response = exchange.response();
    // An end that a plugin has injected is not that of the source.
    response.see_end(piece.is_last() && (first == 0 || response.ended_by.get().is_none()));
    if let Some(aside) = response.take_aside() {
        piece = aside.join(piece).map_err(|error| unreadable(exchange, &error))?;
    }
    pass_on(exchange, first, piece)
}

/// Does so for a piece that may not be the source's.
pub(super) fn pass_on<E: Exchange>(exchange: &E, first: usize, mut piece: E::Piece) -> Result<E::Code, Stop<E::Code>> {
    let response = exchange.response();
    for slot in exchange.slots(first).filter(|slot| !slot.is_driven_by_lua()) {
        if response.is_ended_by(slot.index()) {
            piece.discard();
            return Ok(E::OK);
        }
        let held = response.take_held(slot.index());
        let (goes_on, shows_nothing) = (held.as_ref().map(|kept| kept.goes_on), piece.size() == 0 && !piece.is_last());
        let shows_new =
            matches!(goes_on, Some(GoesOn::BodyByWatermark { .. })) && exchange.sees_body(slot) && !shows_nothing;
        let (before, held) = held.map(|kept| kept.piece).map_or((None, None), |held| match shows_new {
            true => (Some(held), None),
            false => (None, Some(held)),
        });
        if let Some(held) = held {
            piece = held.join(piece).map_err(|error| unreadable(exchange, &error))?;
        }
        // A plugin that failed meanwhile sees nothing any more; what it held goes before this piece.
        if !exchange.sees_body(slot) {
            continue;
        }
        // It has asked for the body when the header had said how long that is.
        if !response.may_change.get() && slot.may_change_body() {
            continue;
        }
        if shows_nothing && let Some(goes_on) = goes_on {
            return keep(exchange, slot, piece, goes_on);
        }
        if shows_nothing {
            continue;
        }
        response.shows_end_to.set(piece.is_last().then(|| slot.index()));
        let verdict = exchange.on_body(slot, &mut piece);
        response.shows_end_to.set(None);
        let verdict = verdict?;
        if let Some(before) = before {
            piece = before.join(piece).map_err(|error| unreadable(exchange, &error))?;
        }
        let goes_on = matches!(verdict, Verdict::Continue | Verdict::Pause | Verdict::PauseByWatermark);
        if goes_on && response.is_injecting() && pass_injected(exchange, slot.index())? {
            piece.discard();
            return Ok(E::OK);
        }
        match verdict {
            Verdict::Continue => {}
            Verdict::Pause => return hold(exchange, slot, piece, GoesOn::Body),
            Verdict::PauseByWatermark => {
                let is_full = piece.size() >= slot.body_buffer_size();
                return hold(exchange, slot, piece, GoesOn::BodyByWatermark { is_full });
            }
            verdict => {
                piece.discard();
                return end_by(exchange, verdict).map(|()| E::OK);
            }
        }
    }
    if piece.is_last() { trailers::pass(exchange, 0, piece) } else { send(exchange, piece) }
}

/// Keeps a piece for the plugin that paused on it.
pub(super) fn hold<E: Exchange>(
    exchange: &E,
    slot: &E::Slot,
    mut piece: E::Piece,
    goes_on: GoesOn,
) -> Result<E::Code, Stop<E::Code>> {
    let is_last = piece.is_last();
    let fits = match goes_on {
        // Nothing more is read, but what has been may be more than may wait.
        GoesOn::BodyByWatermark { .. } => {
            let size = piece.size();
            exchange.count(slot, &mut piece, size)
        }
        _ => may_hold(exchange, slot, &mut piece),
    };
    let refusal = if !fits {
        Some(fail(exchange, INTERNAL_ERROR))
    } else if is_last {
        exchange.cannot_wait().map(|what| cannot_hold(exchange, slot, what))
    } else {
        None
    };
    if let Some(stop) = refusal {
        piece.discard();
        return Err(stop);
    }
    let kept = keep(exchange, slot, piece, goes_on)?;
    if exchange.response().must_be_timed() {
        exchange.start_clock();
    } else {
        exchange.stop_clock();
        exchange.wake_soon();
    }
    Ok(kept)
}

/// Whether a piece is small enough to be held for a plugin. If so, its bytes are counted.
pub(super) fn may_hold<E: Exchange>(exchange: &E, slot: &E::Slot, piece: &mut E::Piece) -> bool {
    let (size, limit) = (piece.size(), slot.body_buffer_size());
    if size > limit {
        let name = slot.name();
        exchange.log(format_args!(
            "plugin \"{name}\" holds {size} bytes of a response, more than wasm_body_buffer_size ({limit})"
        ));
        return false;
    }
    exchange.count(slot, piece, size)
}

/// Stores a piece for the plugin that holds it.
fn keep<E: Exchange>(
    exchange: &E,
    slot: &E::Slot,
    mut piece: E::Piece,
    goes_on: GoesOn,
) -> Result<E::Code, Stop<E::Code>> {
    piece.keep().map_err(|error| unreadable(exchange, &error))?;
    exchange.response().make_rare().held.put(slot.index(), piece, goes_on);
    Ok(E::OK)
}

/// Sends a piece, and before it the header, if the header still waits.
pub(super) fn send<E: Exchange>(exchange: &E, piece: E::Piece) -> Result<E::Code, Stop<E::Code>> {
    let response = exchange.response();
    response.changed.set(response.changed.get() || piece.is_changed());
    if response.stage.get() == Stage::HeaderWaits {
        if rest_is_there(exchange, &piece) {
            return exchange.put_by(piece).map(|()| E::OK);
        }
        response.stage.set(Stage::Body);
        describe(exchange, &piece)?;
        send_header(exchange)?;
    }
    match keep_behind_header(exchange, piece)? {
        Some(piece) => send_behind_header(exchange, piece),
        None => Ok(E::OK),
    }
}

/// Sends a piece whose header is sent.
pub(super) fn send_behind_header<E: Exchange>(exchange: &E, piece: E::Piece) -> Result<E::Code, Stop<E::Code>> {
    let response = exchange.response();
    match response.stage.get() {
        // A plugin set a status that allows no body.
        Stage::Dropping => {
            piece.discard();
            return Ok(E::OK);
        }
        Stage::Answering => {
            piece.discard();
            return send_kept_answer(exchange);
        }
        _ => {}
    }
    if piece.is_last() && response.ended_by.get().is_some() && !response.end_seen.get() {
        // The rest that the source sends is dropped, as behind an answer.
        response.stage.set(Stage::Dropping);
        exchange.drop_waiting();
        exchange.wake_soon();
    } else if piece.is_last() {
        response.stage.set(Stage::Ended);
    }
    exchange.send(piece)
}

/// Whether the header can wait for the rest of the body, because the rest is here already and small
/// enough for one turn. The header can then state the length of the body that the plugins made.
fn rest_is_there<E: Exchange>(exchange: &E, piece: &E::Piece) -> bool {
    let rest = exchange.waiting();
    !piece.is_last()
        && rest.is_last()
        && exchange.put_by_size() + piece.size() + rest.size() <= E::TURN
        && exchange.unsent() + piece.size() <= E::UNSENT
}

/// Updates the header fields that describe the body, with what is known of it now.
fn describe<E: Exchange>(exchange: &E, piece: &E::Piece) -> Result<(), Stop<E::Code>> {
    let changed = exchange.response().changed.get();
    let length = piece.is_last().then(|| (exchange.put_by_size() + piece.size()) as u64);
    let same_length = length.is_some() && length == exchange.content_length();
    let description = match (changed, length) {
        (false, Some(_)) if same_length => return Ok(()),
        (false, Some(_)) => Description::Same,
        (false, None) => Description::MayChange,
        (true, _) => Description::Changed { same_length },
    };
    exchange.describe(length, description)
}

/// Joins two pieces.
pub(super) fn join<P: Piece>(before: Option<P>, piece: P) -> io::Result<P> {
    match before {
        Some(before) => before.join(piece),
        None => Ok(piece),
    }
}
