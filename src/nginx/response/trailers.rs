//! `proxy_on_response_trailers`: what follows the body.
//!
//! nginx knows the trailers of an upstream when it passes the end of the body, and sends what its list then holds. So the last piece
//! waits for the plugins to have seen them. Those of `add_trailer` are added by a filter after ours.

use ngx_bindings::chain::Chain;
use ngx_bindings::sys::ngx_int_t;

use super::{Piece, Stop, end, hold, send};
use crate::nginx::host::trailer_count;
use crate::nginx::request::{RequestContext, Verdict};
use crate::proxy_wasm::Callback;

/// Whether any plugin would see trailers.
pub fn concern(ctx: &RequestContext) -> bool {
    ctx.any_has(Callback::OnResponseTrailers) && (0..ctx.len()).any(|slot| sees(ctx, slot))
}

/// Whether trailers come with what upstream sent.
pub fn come_with(ctx: &RequestContext, chain: Chain) -> bool {
    trailer_count(ctx.request()) > 0 && chain.marks().last
}

fn sees(ctx: &RequestContext, slot: usize) -> bool {
    !ctx.is_driven_by_lua(slot) && ctx.has(slot, Callback::OnResponseTrailers)
}

/// The callback from a slot on, if there are trailers; then the filters after ours get the last piece of the body.
pub fn pass(ctx: &RequestContext, first: usize, piece: Piece) -> Result<ngx_int_t, Stop> {
    for slot in (first..ctx.len()).filter(|&slot| sees(ctx, slot)) {
        // Those before it may have removed them.
        let count = trailer_count(ctx.request());
        if count == 0 {
            break;
        }
        match ctx.call(slot, |http| http.on_response_trailers(count)) {
            Verdict::Continue => {}
            Verdict::Pause => {
                hold(ctx, slot, Piece { with_trailers: true, ..piece })?;
                return Ok(ngx_bindings::rc::OK);
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
