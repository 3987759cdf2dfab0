//! Takes the header of a response through the plugins.

use super::end::{Stop, cannot_hold, drop_all, end_by};
use super::exchange::{Exchange, Slot};
use super::state::Stage;
use super::trailers;
use super::verdict::Verdict;
use crate::Callback;

/// The header filter. Returns its result.
pub fn header<E: Exchange>(exchange: &E) -> E::Code {
    let response = exchange.response();
    if response.has_begun() {
        // The server now sends a page of its own (an error, or a page that replaces the response)
        // for a response that plugins have seen.
        drop_all(exchange);
        response.replace_behind_driver();
        response.stage.set(Stage::Passing);
        return exchange.send_header().unwrap_or_else(|stop| stop.in_filter(exchange));
    }
    exchange.begin();
    response.from_upstream.set(exchange.has_active_upstream());
    let begun = end_by(exchange, exchange.open_missing()).and_then(|()| match exchange.take_answer() {
        // The answer came while the server did something else with the request.
        Some(answer) => end_by(exchange, Verdict::Answer(answer)),
        None => header_from(exchange, 0),
    });
    begun.map_or_else(|stop| stop.in_filter(exchange), |()| E::OK)
}

/// Runs `proxy_on_response_headers` from a slot on. Afterwards the header is sent, or waits for the
/// body.
#[inline]
pub(super) fn header_from<E: Exchange>(exchange: &E, first: usize) -> Result<(), Stop<E::Code>> {
    let response = exchange.response();
    for slot in exchange.slots(first).filter(|slot| !slot.is_driven_by_lua()) {
        response.stage.set(Stage::HeaderHeld(slot.index()));
        match exchange.on_headers(slot) {
            Verdict::Continue => {}
            Verdict::Pause => {
                if let Some(what) = exchange.header_cannot_wait() {
                    return Err(cannot_hold(exchange, slot, what));
                }
                exchange.forbid_ranges();
                exchange.start_clock();
                exchange.set_held(true);
                return Ok(());
            }
            verdict => return end_by(exchange, verdict),
        }
    }
    let wants_body = exchange.any_has(Callback::OnResponseBody)
        && exchange.expects_body()
        && exchange.slots(0).any(|slot| exchange.sees_body(slot));
    if wants_body && exchange.slots(0).any(|slot| exchange.sees_body(slot) && slot.may_change_body()) {
        exchange.forbid_ranges();
        response.may_change.set(true);
        response.stage.set(Stage::HeaderWaits);
        return Ok(());
    }
    response.stage.set(match wants_body {
        true => Stage::Body,
        false if trailers::concern(exchange) && exchange.expects_body() => Stage::Trailers,
        false => Stage::Passing,
    });
    send_header(exchange)
}

/// Sends the header. If it is the whole response, the body is dropped: its source did not know this
/// while the header was held.
pub(super) fn send_header<E: Exchange>(exchange: &E) -> Result<(), Stop<E::Code>> {
    let response = exchange.response();
    if response.is_header_behind_driver() {
        response.forget_driver();
        exchange.send_header_behind_driver()?;
    } else {
        exchange.send_header()?;
    }
    if exchange.header_only() {
        response.stage.set(Stage::Dropping);
        drop_all(exchange);
    }
    Ok(())
}
