//! The way of a response's body where Lua calls the plugins: each piece is offered to one plugin
//! after the other, and Lua passes on what comes back.

use super::end::{Stop, cut, unreadable};
use super::exchange::{Exchange, Piece, Slot};
use super::held::{GoesOn, Kept};
use super::pieces::{join, may_hold};
use super::state::Stage;
use super::verdict::{Ending, Verdict};
use crate::Callback;

/// The plugin has seen the end, or these bytes, and has resumed.
const RESUMED: GoesOn = GoesOn::NextPiece { resumed: true };

/// The plugin keeps these bytes.
const HELD: GoesOn = GoesOn::NextPiece { resumed: false };

/// Runs `proxy_on_response_body` of one plugin on a piece of the body, which is made if the plugin
/// is to see it. On [`Verdict::Pause`] nothing of the piece is passed on, not even the end of the
/// body, but the piece that is returned, if the plugin has injected one. Otherwise the piece that is
/// returned is passed on, or the one that was offered if none is. If a plugin answered in the header
/// filter, no plugin sees the answer's body.
pub fn offer<E: Exchange>(
    exchange: &E,
    slot: &E::Slot,
    piece: impl FnOnce() -> E::Piece,
) -> (Verdict<E::Answer>, Option<E::Piece>) {
    let response = exchange.response();
    match response.stage.get() {
        Stage::Answering | Stage::Answered => return (Verdict::Continue, None),
        // The header filter ignores a response that no plugin had met when it ran.
        Stage::Upstream => response.stage.set(Stage::Passing),
        _ => {}
    }
    let mut injected = response.take_injected(slot.index());
    let is_ended = response.is_ended_by(slot.index());
    let (verdict, passed) = if injected.is_empty() && !is_ended {
        offer_piece(exchange, slot, piece)
    } else {
        let piece = piece();
        if is_ended || piece.size() == 0 && !piece.is_last() {
            piece.discard();
            return (Verdict::Continue, behind(exchange, injected, Some(E::Piece::default())));
        }
        offer_piece(exchange, slot, || piece)
    };
    injected.extend(response.take_injected(slot.index()));
    let goes_on = matches!(verdict, Verdict::Continue | Verdict::Pause);
    if injected.is_empty() || !goes_on {
        return (verdict, passed);
    }
    let passed = passed.filter(|_| !response.is_ended_by(slot.index()));
    (verdict, behind(exchange, injected, passed))
}

/// Joins what a plugin has injected with what comes behind it. Lua knows where the body ends.
fn behind<E: Exchange>(exchange: &E, injected: Vec<E::Piece>, passed: Option<E::Piece>) -> Option<E::Piece> {
    let mut pieces = injected.into_iter().chain(passed);
    pieces.try_fold(E::Piece::default(), |before, piece| joined(exchange, before, Some(piece)))
}

fn offer_piece<E: Exchange>(
    exchange: &E,
    slot: &E::Slot,
    piece: impl FnOnce() -> E::Piece,
) -> (Verdict<E::Answer>, Option<E::Piece>) {
    let response = exchange.response();
    let held = response.take_held(slot.index());
    let sees_body = slot.has(Callback::OnResponseBody);
    if held.is_none() && !sees_body {
        return (Verdict::Continue, None);
    }
    let piece = piece();
    let is_last = piece.is_last();
    let Some(Kept { piece: kept, goes_on }) = held else {
        return see(exchange, slot, piece);
    };
    let has_resumed = goes_on == RESUMED;
    match (kept.is_last(), has_resumed) {
        // Another plugin resumed; this one still keeps its bytes.
        (true, false) => {
            if let Some(piece) = joined(exchange, kept, Some(piece)) {
                response.make_rare().held.put(slot.index(), piece, HELD);
            }
            (Verdict::Pause, None)
        }
        (true, true) => {
            response.make_rare().held.put(slot.index(), E::Piece::end(), RESUMED);
            (Verdict::Continue, joined(exchange, kept, Some(piece)))
        }
        // A plugin that failed keeps nothing any more.
        (false, _) if !sees_body => (Verdict::Continue, joined(exchange, kept, Some(piece))),
        // The plugin has seen the kept bytes, and sees only the new ones.
        (false, true) => match see(exchange, slot, piece) {
            // The end of the body, and the bytes before it, are kept as one piece.
            (Verdict::Pause, _) if is_last => {
                let end = response.take_held(slot.index()).map(|kept| kept.piece);
                if let Some(piece) = joined(exchange, kept, end) {
                    response.make_rare().held.put(slot.index(), piece, HELD);
                }
                (Verdict::Pause, None)
            }
            (Verdict::Pause, seen) => (Verdict::Continue, joined(exchange, kept, seen)),
            (verdict, seen) => (verdict, joined(exchange, kept, seen)),
        },
        (false, false) => match joined(exchange, kept, Some(piece)) {
            Some(piece) => see(exchange, slot, piece),
            None => (Verdict::Pause, None),
        },
    }
}

/// Runs the callback on a piece, and keeps the piece if the plugin pauses.
fn see<E: Exchange>(exchange: &E, slot: &E::Slot, mut piece: E::Piece) -> (Verdict<E::Answer>, Option<E::Piece>) {
    let (held, is_last) = (|| &exchange.response().make_rare().held, piece.is_last());
    let verdict = match exchange.on_body(slot, &mut piece) {
        Ok(verdict) => verdict,
        Err(stop) => return stopped(exchange, stop),
    };
    // The server reports the end of a subrequest to whoever waits for it, whatever is held back: the
    // request would wait for a subrequest that nobody takes on.
    let cannot_hold = is_last && exchange.is_subrequest();
    if !matches!(verdict, Verdict::Pause) || cannot_hold {
        if is_last {
            held().put(slot.index(), E::Piece::end(), RESUMED);
        }
        if !matches!(verdict, Verdict::Pause) {
            return (verdict, Some(piece));
        }
        exchange.log(format_args!("plugin \"{}\" cannot hold the end of a subrequest's response", slot.name()));
        return (Verdict::Continue, Some(piece));
    }
    if !may_hold(exchange, slot, &mut piece) {
        // The client must get no further byte, which would look like the rest of the body.
        let stop = cut(exchange);
        return stopped(exchange, stop);
    }
    held().put(slot.index(), piece, HELD);
    if is_last {
        exchange.set_held(true);
        exchange.start_clock();
    }
    (Verdict::Pause, None)
}

/// Joins what a plugin kept with what comes after it. The result is not what the driver has.
fn joined<E: Exchange>(exchange: &E, kept: E::Piece, next: Option<E::Piece>) -> Option<E::Piece> {
    match join(Some(kept), next.unwrap_or_default()) {
        Ok(mut piece) => {
            piece.set_changed();
            Some(piece)
        }
        Err(error) => {
            stopped(exchange, unreadable(exchange, &error));
            None
        }
    }
}

/// Ends the response. Bytes that the driver still passes on do not reach the client.
fn stopped<E: Exchange>(exchange: &E, stop: Stop<E::Code>) -> (Verdict<E::Answer>, Option<E::Piece>) {
    stop.in_filter(exchange);
    (Verdict::Pause, None)
}

/// Ends the response if that is what a verdict means, in a callback that a driver runs. The driver's
/// header filter sends the header whatever the callback's result is, so a page is written into the
/// response itself. The body of an answer comes through [`body`](super::body) later.
#[inline]
pub fn end_by_driver<E: Exchange>(exchange: &E, verdict: Verdict<E::Answer>) {
    match verdict {
        Verdict::Continue | Verdict::Pause => {}
        verdict => end_now_by_driver(exchange, verdict),
    }
}

#[cold]
fn end_now_by_driver<E: Exchange>(exchange: &E, verdict: Verdict<E::Answer>) {
    let response = exchange.response();
    if response.is_cut() {
        return;
    }
    let answer = match verdict.ending(exchange.header_sent()) {
        None => return,
        Some(Ending::Answer(answer)) => Some(answer),
        Some(Ending::Page(status)) => Some(exchange.page_as_answer(status)),
        Some(Ending::Cut) => None,
    };
    match answer.filter(|answer| exchange.replace_header(answer).is_ok()) {
        Some(answer) => {
            response.release_driver();
            exchange.keep_answer(answer);
            response.stage.set(Stage::Answering);
        }
        None => {
            cut(exchange).in_filter(exchange);
        }
    }
}
