//! Continues a response that plugins held and released, or held too long, from the server's loop.

use super::body::{hand_out, pass_set_aside, settle, take};
use super::driver;
use super::end::{Stop, cut, end_by, fail, leave, send_kept_answer, source_has_ended};
use super::exchange::{Chunk, Exchange, Slot};
use super::header::header_from;
use super::held::{GoesOn, Resumed};
use super::inject::pass_all_injected;
use super::pieces::pass;
use super::state::Stage;
use super::trailers;
use super::verdict::Verdict;

/// The status of the page for a response that a plugin held too long.
const GATEWAY_TIME_OUT: u32 = 504;

/// Continues a response that plugins resumed, or held too long (`timed_out`). The request may be
/// gone afterwards.
pub fn wake<E: Exchange>(exchange: &E, timed_out: bool) {
    let response = exchange.response();
    let resumed = response.take_resumed();
    if exchange.is_post_action() {
        drop(exchange.take_answer());
        leave(exchange);
        return exchange.resume_writing();
    }
    match response.stage.get() {
        Stage::Answered | Stage::Dropping if !exchange.is_closed() => {
            exchange.set_held(false);
            return exchange.finish_answered();
        }
        Stage::Failed(status) => return Stop::Page(status).in_event(exchange, source_is_over(exchange)),
        Stage::Cut => return Stop::Cut.in_event(exchange, false),
        _ => {}
    }
    let was_held = response.holder().is_some();
    let header_was_held = matches!(response.stage.get(), Stage::HeaderHeld(_));
    let continues = response.continues.take();
    let source_is_over = source_is_over(exchange);
    match woken(exchange, resumed, timed_out).and_then(|passed| hand_out(exchange, passed)) {
        Err(stop) => return stop.in_event(exchange, source_is_over),
        Ok(_) => settle(exchange),
    }
    if timed_out && response.must_be_timed() {
        // A plugin resumed at that moment. The others have their time from now on.
        exchange.start_clock();
    }
    // A plugin that has begun to hold pieces here waits for the rest of the body.
    let waits_for_source = !matches!(response.stage.get(), Stage::HeaderHeld(_))
        && exchange.waiting().is_empty()
        && !source_has_ended(exchange);
    if response.holder().is_some() && !exchange.is_sending() && !(header_was_held && waits_for_source) {
        exchange.wait_with_client();
    } else if was_held || continues {
        exchange.resume_writing();
    }
}

/// Whether the source has sent the whole response.
fn source_is_over<E: Exchange>(exchange: &E) -> bool {
    exchange.header_only() || source_has_ended(exchange)
}

fn woken<E: Exchange>(exchange: &E, mut resumed: Vec<usize>, timed_out: bool) -> Result<E::Code, Stop<E::Code>> {
    if exchange.is_closed() {
        return Err(cut(exchange));
    }
    if let Some(answer) = exchange.take_answer() {
        return end_by(exchange, Verdict::Answer(answer)).map(|()| E::OK);
    }
    let is_answered = |slot| exchange.slot(slot).is_some_and(|slot: &E::Slot| !slot.calls_pending());
    resumed.extend(exchange.response().answered_holders(is_answered));
    let holder = exchange.response().holder().filter(|_| timed_out && resumed.is_empty());
    if let Some(slot) = holder.and_then(|slot| exchange.slot(slot)) {
        exchange.log(format_args!("plugin \"{}\" held the response past wasm_pause_timeout", slot.name()));
        return Err(fail(exchange, GATEWAY_TIME_OUT));
    }
    // The last slot comes first: bytes that an earlier slot releases are new to the slots after it.
    pass_all_injected(exchange)?;
    resumed.sort_unstable();
    resumed.dedup();
    resumed.into_iter().rev().try_fold(E::OK, |_, slot| resume(exchange, slot))
}

/// Releases what the plugin of a slot holds.
fn resume<E: Exchange>(exchange: &E, slot: usize) -> Result<E::Code, Stop<E::Code>> {
    let response = exchange.response();
    if let Some(resumed) = driver::resume(exchange, slot) {
        return resumed;
    }
    if response.stage.get() == Stage::HeaderHeld(slot) {
        header_from(exchange, slot + 1)?;
        if response.stage.get() == Stage::Answering {
            return send_kept_answer(exchange);
        }
        pass_set_aside(exchange)?;
        return take(exchange, E::Chunk::EMPTY);
    }
    match response.held().and_then(|held| held.resume(slot)) {
        None => Ok(E::OK),
        Some(Resumed::Push { at_end }) => exchange.push(at_end),
        Some(Resumed::Piece(kept)) if kept.goes_on == GoesOn::Trailers => {
            trailers::pass(exchange, slot + 1, kept.piece)
        }
        Some(Resumed::Piece(kept)) => pass(exchange, slot + 1, kept.piece),
    }
}
