//! `proxy_on_response_trailers`: the trailers after the body.
//!
//! The server has the upstream's trailers when it passes the end of the body, and sends them as
//! they are at that moment. So the last piece waits until the plugins have seen the trailers.

use super::end::{Stop, end_by};
use super::exchange::{Chunk, Exchange, Piece, Slot};
use super::held::GoesOn;
use super::pieces::{hold, send};
use super::verdict::Verdict;
use crate::Callback;

/// Whether any plugin would see trailers.
pub(super) fn concern<E: Exchange>(exchange: &E) -> bool {
    exchange.any_has(Callback::OnResponseTrailers) && exchange.slots(0).any(sees)
}

/// Whether trailers come with this chunk from upstream.
pub(super) fn come_with<E: Exchange>(exchange: &E, chunk: E::Chunk) -> bool {
    exchange.trailer_count() > 0 && chunk.is_last()
}

fn sees<S: Slot>(slot: &S) -> bool {
    !slot.is_driven_by_lua() && slot.has(Callback::OnResponseTrailers)
}

/// Runs the callback from a slot on, if there are trailers. Then sends the last piece of the body.
pub(super) fn pass<E: Exchange>(exchange: &E, first: usize, piece: E::Piece) -> Result<E::Code, Stop<E::Code>> {
    for slot in exchange.slots(first).filter(|slot| sees(*slot)) {
        // A plugin before this one may have removed all trailers.
        let count = exchange.trailer_count();
        if count == 0 {
            break;
        }
        match exchange.on_trailers(slot, count) {
            Verdict::Continue => {}
            Verdict::Pause => return hold(exchange, slot, piece, GoesOn::Trailers),
            verdict => {
                piece.discard();
                return end_by(exchange, verdict).map(|()| E::OK);
            }
        }
    }
    // A header that still waits must announce the trailers: over HTTP/1.1 they need chunks.
    if exchange.trailer_count() > 0 {
        exchange.expect_trailers();
    }
    send(exchange, piece)
}
