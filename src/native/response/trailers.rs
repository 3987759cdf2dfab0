//! `proxy_on_response_trailers`: the trailers after the body.
//!
//! nginx has the upstream's trailers when it passes the end of the body, and sends the list as it
//! is at that moment. So the last piece waits until the plugins have seen the trailers. A filter
//! after this module's adds those of `add_trailer`.

use ngx_bindings::chain::Chain;
use ngx_bindings::rc;
use ngx_bindings::sys::ngx_int_t;
use proxy_wasm_host::Callback;

use super::end::{Stop, end_by};
use super::pieces::{hold, send};
use crate::context::{Piece, RequestContext, Slot, Verdict};
use crate::host::trailer_count;

/// Whether any plugin would see trailers.
pub fn concern(ctx: &RequestContext) -> bool {
    ctx.any_has(Callback::OnResponseTrailers) && ctx.slots.iter().any(sees)
}

/// Whether trailers come with this chain from upstream.
pub fn come_with(ctx: &RequestContext, chain: Chain) -> bool {
    trailer_count(ctx.request()) > 0 && chain.marks().last
}

fn sees(slot: &Slot) -> bool {
    !slot.is_driven_by_lua() && slot.has(Callback::OnResponseTrailers)
}

/// Runs the callback from a slot on, if there are trailers. Then passes the last piece of the body
/// to the filters after this module's.
pub fn pass(ctx: &RequestContext, first: usize, piece: Piece) -> Result<ngx_int_t, Stop> {
    for slot in ctx.slots.starting_at(first).filter(|slot| sees(slot)) {
        // A plugin before this one may have removed all trailers.
        let count = trailer_count(ctx.request());
        if count == 0 {
            break;
        }
        match ctx.call(slot, |http| http.on_response_trailers(count)) {
            Verdict::Continue => {}
            Verdict::Pause => {
                return hold(ctx, slot, Piece { with_trailers: true, ..piece });
            }
            verdict => {
                piece.body.drop_source();
                return end_by(ctx, verdict).map(|()| rc::OK);
            }
        }
    }
    // A header that still waits must announce the trailers: over HTTP/1.1 they need chunks.
    if trailer_count(ctx.request()) > 0 {
        ctx.request().expect_trailers();
    }
    send(ctx, piece)
}
