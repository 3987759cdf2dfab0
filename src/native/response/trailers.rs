//! `proxy_on_response_trailers`: what follows the body.
//!
//! nginx knows the trailers of an upstream when it passes the end of the body, and sends what its list then holds. So the last piece
//! waits for the plugins to have seen them. Those of `add_trailer` are added by a filter after ours.

use ngx_bindings::chain::Chain;
use ngx_bindings::sys::ngx_int_t;
use proxy_wasm_host::Callback;

use super::end::Stop;
use super::pieces::{end, hold, send};
use crate::context::{Piece, RequestContext, Slot, Verdict};
use crate::host::trailer_count;

/// Whether any plugin would see trailers.
pub fn concern(ctx: &RequestContext) -> bool {
    ctx.any_has(Callback::OnResponseTrailers) && ctx.slots.iter().any(sees)
}

/// Whether trailers come with what upstream sent.
pub fn come_with(ctx: &RequestContext, chain: Chain) -> bool {
    trailer_count(ctx.request()) > 0 && chain.marks().last
}

fn sees(slot: &Slot) -> bool {
    !slot.is_driven_by_lua() && slot.has(Callback::OnResponseTrailers)
}

/// The callback from a slot on, if there are trailers; then the filters after ours get the last piece of the body.
pub fn pass(ctx: &RequestContext, first: usize, piece: Piece) -> Result<ngx_int_t, Stop> {
    for slot in ctx.slots.starting_at(first).filter(|slot| sees(slot)) {
        // Those before it may have removed them.
        let count = trailer_count(ctx.request());
        if count == 0 {
            break;
        }
        match ctx.call(slot, |http| http.on_response_trailers(count)) {
            Verdict::Continue => {}
            Verdict::Pause => {
                return hold(ctx, slot, Piece { with_trailers: true, ..piece });
            }
            verdict => return end(ctx, piece.body, verdict),
        }
    }
    // A header that still waits says then that trailers follow: over HTTP/1.1 they need chunks.
    if trailer_count(ctx.request()) > 0 {
        ctx.request().expect_trailers();
    }
    send(ctx, piece)
}
