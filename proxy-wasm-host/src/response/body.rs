//! Takes the body of a response from its source, in pieces that the plugins may see now.

use super::end::{self, Stop, unreadable};
use super::exchange::{Chunk, Exchange, Piece, Slot};
use super::pieces::{join, pass};
use super::state::Stage;
use super::trailers;

/// The body filter. Returns its result.
pub fn body<E: Exchange>(exchange: &E, chunk: E::Chunk) -> E::Code {
    by_stage(exchange, chunk).unwrap_or_else(|stop| stop.in_filter(exchange))
}

fn by_stage<E: Exchange>(exchange: &E, chunk: E::Chunk) -> Result<E::Code, Stop<E::Code>> {
    let response = exchange.response();
    match response.stage.get() {
        Stage::Upstream => exchange.pass(chunk),
        Stage::Passing | Stage::HeaderHeld(_) | Stage::HeaderWaits | Stage::Body | Stage::Trailers
            if end::is_asked_for(exchange) =>
        {
            let ended = end::as_asked(exchange, chunk);
            settle(exchange);
            ended.map(|()| E::OK)
        }
        Stage::Passing if exchange.waiting().is_empty() => exchange.pass(chunk),
        Stage::Trailers if exchange.waiting().is_empty() && !trailers::come_with(exchange, chunk) => {
            exchange.pass(chunk)
        }
        Stage::Answering => {
            chunk.consume();
            end::send_kept_answer(exchange)
        }
        Stage::Answered | Stage::Dropping => {
            chunk.consume();
            let passed = exchange.pass(E::Chunk::EMPTY);
            exchange.unsent();
            passed
        }
        Stage::Passing | Stage::HeaderHeld(_) | Stage::HeaderWaits | Stage::Body | Stage::Trailers
            if end::is_over_early(exchange, chunk) =>
        {
            end::without_its_end(exchange, chunk)
        }
        // Also what came while the header was held, and that the client has not taken yet.
        Stage::Passing | Stage::HeaderHeld(_) | Stage::HeaderWaits | Stage::Body | Stage::Ended | Stage::Trailers => {
            let taken = take(exchange, chunk);
            settle(exchange);
            taken
        }
        // The rest stays with the server until the page is sent, so its source waits.
        Stage::Failed(_) => {
            response.see_end(chunk.is_last() || end::is_over_early(exchange, chunk));
            Ok(E::OK)
        }
        Stage::Cut => {
            chunk.consume();
            Err(Stop::Filter(E::ERROR))
        }
    }
}

/// Tells the server whether part of the response is held, and stops the pause timeout if no plugin
/// holds anything. A body that is fetched in parts is not reported for a plugin that waits for the
/// rest of it, because the next part would not be fetched.
pub(super) fn settle<E: Exchange>(exchange: &E) {
    let response = exchange.response();
    let held = response.holder().is_some();
    let waits_for_parts = || exchange.is_fetched_in_parts() && response.holds_piece();
    exchange.set_body_held(!exchange.waiting().is_empty() || held && !waits_for_parts());
    if !held {
        exchange.stop_clock();
    }
}

/// Takes the bytes that the source sent. With an empty chunk, continues with the bytes that wait.
pub(super) fn take<E: Exchange>(exchange: &E, chunk: E::Chunk) -> Result<E::Code, Stop<E::Code>> {
    let nothing_waits = exchange.waiting().is_empty();
    if nothing_waits && exchange.response().stage.get() == Stage::Ended {
        let passed = exchange.pass(chunk);
        exchange.unsent();
        return passed;
    }
    if !chunk.is_empty() && nothing_waits && goes_at_once(exchange, chunk) {
        return pass(exchange, 0, chunk.into());
    }
    exchange.push_waiting(chunk)?;
    if must_wait(exchange, exchange.waiting()) {
        return set_aside(exchange).map(|()| E::OK);
    }
    let passed = exchange.pass(E::Chunk::EMPTY)?;
    hand_out(exchange, passed)
}

/// Copies what waits, if the server does not buffer the response: it then reads on, and so notices
/// the end, only when its buffers are free. So with a body that lacks only its end, and with the
/// first bytes behind a header that a plugin holds.
fn set_aside<E: Exchange>(exchange: &E) -> Result<(), Stop<E::Code>> {
    let chunk = exchange.waiting();
    let is_unbuffered = chunk.size() > 0 && chunk.flushes() && !chunk.is_last();
    if !is_unbuffered || !lacks_only_its_end(exchange, chunk) && !is_counted_behind_header(exchange, chunk) {
        return Ok(());
    }
    let taken = exchange.take_waiting()?;
    let mut piece = E::Piece::from(taken);
    let kept = piece.keep();
    exchange.give_back(taken);
    let aside = &exchange.response().make_rare().aside;
    let before = aside.take().map(|piece| *piece);
    let joined = kept.and_then(|()| join(before, piece)).map_err(|error| unreadable(exchange, &error))?;
    aside.set(Some(Box::new(joined)));
    Ok(())
}

/// Counts bytes behind a header for the plugin that holds it. Returns false where they are more than
/// a piece in all, or more than may be kept for the plugin: they then stay with the server.
fn is_counted_behind_header<E: Exchange>(exchange: &E, chunk: E::Chunk) -> bool {
    let Stage::HeaderHeld(slot) = exchange.response().stage.get() else { return false };
    let Some(slot) = exchange.slot(slot) else { return false };
    let aside = &exchange.response().make_rare().aside;
    let mut piece = aside.take().unwrap_or_default();
    let size = piece.size() + chunk.size();
    let counted = size <= E::PIECE.min(slot.body_buffer_size()) && exchange.count(slot, &mut piece, size);
    if counted || piece.size() > 0 {
        aside.set(Some(piece));
    }
    counted
}

/// Passes what was copied behind a header that is held no longer.
pub(super) fn pass_set_aside<E: Exchange>(exchange: &E) -> Result<(), Stop<E::Code>> {
    let response = exchange.response();
    let aside = response.take_aside();
    let size = aside.as_ref().map_or(0, |piece| piece.size() as u64);
    if aside.is_some() {
        response.make_rare().aside.set(aside);
    }
    let rest = exchange.waiting();
    let end_follows = || {
        rest.size() == 0 && rest.is_last()
            || response.stage.get() == Stage::HeaderWaits && exchange.content_length() == Some(size)
    };
    // It goes with the end, or with what the next plugin resumes.
    if size == 0 || matches!(response.stage.get(), Stage::HeaderHeld(_)) || end_follows() {
        return Ok(());
    }
    pass(exchange, 0, E::Piece::default()).map(drop)
}

/// Passes the waiting bytes to the plugins, piece by piece, while the filters accept them. `passed`
/// is the last result of those filters.
pub(super) fn hand_out<E: Exchange>(exchange: &E, mut passed: E::Code) -> Result<E::Code, Stop<E::Code>> {
    let mut left = E::TURN;
    exchange.give_back(E::Chunk::EMPTY);
    while may_go_on(exchange) {
        if left == 0 {
            // Other requests have their turn before.
            exchange.response().continues.set(true);
            exchange.wake_soon();
            break;
        }
        let taken = exchange.take_waiting()?;
        left = left.saturating_sub(taken.size());
        let result = match exchange.response().stage.get() {
            Stage::Ended => exchange.pass(taken),
            _ => pass(exchange, 0, taken.into()),
        };
        exchange.give_back(taken);
        passed = result?;
    }
    Ok(passed)
}

/// Whether a chunk can pass as one piece, with nothing waiting before it.
fn goes_at_once<E: Exchange>(exchange: &E, chunk: E::Chunk) -> bool {
    let size = chunk.size();
    size <= E::PIECE && !must_wait(exchange, chunk) && exchange.unsent() <= E::UNSENT && !lacks_room(exchange, size)
}

fn may_go_on<E: Exchange>(exchange: &E) -> bool {
    let waiting = exchange.waiting();
    if waiting.is_empty() || must_wait(exchange, waiting) || exchange.unsent() > E::UNSENT {
        return false;
    }
    let is_blocked = exchange.next_is_part() && exchange.is_blocked();
    !is_blocked && !lacks_room(exchange, exchange.next_size())
}

/// Whether plugins must not see a chunk yet.
fn must_wait<E: Exchange>(exchange: &E, chunk: E::Chunk) -> bool {
    let response = exchange.response();
    match response.stage.get() {
        Stage::HeaderHeld(_) => true,
        // Buffers after the end are not part of the body, and pass when the body has passed.
        Stage::HeaderWaits | Stage::Body if response.end_seen.get() => true,
        _ => lacks_only_its_end(exchange, chunk),
    }
}

/// Whether a chunk is the whole body, except for the buffer that marks its end, while the header
/// still waits. That buffer comes next, alone. With it, the plugins see the whole body at once, and
/// the length and the ETag can be kept. The same holds before the first byte of a body of a known
/// length, if the server flushes its header.
fn lacks_only_its_end<E: Exchange>(exchange: &E, chunk: E::Chunk) -> bool {
    let response = exchange.response();
    if chunk.is_empty() || response.stage.get() != Stage::HeaderWaits || response.holder().is_some() {
        return false;
    }
    let whole = |length| match chunk.size() {
        0 => chunk.flushes() && !chunk.ends_output(),
        size => size as u64 == length && size <= E::PIECE,
    };
    !chunk.is_last() && exchange.content_length().is_some_and(whole)
}

/// Whether a plugin that waits for a call, or lets no more be read, holds as many bytes as it may. It
/// continues when the call's response comes, or when it resumes.
fn lacks_room<E: Exchange>(exchange: &E, size: usize) -> bool {
    let is_full = |slot: usize, piece: &E::Piece| {
        let is_full = |slot: &E::Slot| piece.size() + size > slot.body_buffer_size() && slot.calls_pending();
        exchange.slot(slot).is_some_and(is_full)
    };
    exchange.response().held().is_some_and(|held| held.is_full() || held.lacks_room(is_full))
}
