//! Continues a response that plugins held and released, or held too long, from nginx's loop.

use ngx_bindings::chain::{Chain, Marks};
use ngx_bindings::log::Level;
use ngx_bindings::rc;
use ngx_bindings::sys::ngx_int_t;

use super::answer::answer_now;
use super::end::{Stop, cut, fail, leave};
use super::pieces::{hand_out, pass, pass_set_aside, take};
use super::{header_from, next, outlet, settle, trailers};
use crate::context::{RequestContext, Stage};

/// Continues a response that plugins resumed, or held too long. The request may be gone afterwards.
pub fn wake(ctx: &RequestContext, resumed: &[usize], timed_out: bool) {
    let request = ctx.request();
    if request.is_post_action() {
        drop(ctx.take_answer());
        leave(ctx);
        return request.resume_writing();
    }
    match ctx.response.stage.get() {
        Stage::Answered | Stage::Dropping if !ctx.is_closed() => {
            request.set_buffered(false);
            return request.finish_answered();
        }
        Stage::Failed(status) => return Stop::Page(status).in_event(ctx, source_is_over(ctx)),
        Stage::Cut => return Stop::Cut.in_event(ctx, false),
        _ => {}
    }
    let before = ctx.response.holder();
    let goes_on = ctx.response.goes_on.take();
    let source_is_over = source_is_over(ctx);
    match woken(ctx, resumed, timed_out).and_then(|rc| hand_out(ctx, rc)) {
        Err(stop) => return stop.in_event(ctx, source_is_over),
        Ok(rc::ERROR) => return Stop::Filter(rc::ERROR).in_event(ctx, source_is_over),
        Ok(_) => settle(ctx),
    }
    let outlet = outlet(ctx);
    if ctx.response.holder().is_some() && !outlet.is_sending() {
        outlet.stop_send_timeout();
        outlet.look_at_client();
    } else if before.is_some() || goes_on {
        outlet.resume_writing();
    }
}

/// Whether the source has sent the whole response.
fn source_is_over(ctx: &RequestContext) -> bool {
    ctx.request().header_only() || ctx.response.source_is_over()
}

fn woken(ctx: &RequestContext, resumed: &[usize], timed_out: bool) -> Result<ngx_int_t, Stop> {
    if ctx.is_closed() {
        return Err(cut(ctx));
    }
    if let Some(answer) = ctx.take_answer() {
        return answer_now(ctx, *answer).map(|()| rc::OK);
    }
    let holder = ctx.response.holder().filter(|_| timed_out && resumed.is_empty());
    if let Some(slot) = holder.and_then(|slot| ctx.slots.get(slot)) {
        let line = format_args!("plugin \"{}\" held the response past wasm_pause_timeout", slot.plugin_name());
        ctx.request().log().print(Level::Error, line);
        return Err(fail(ctx, rc::GATEWAY_TIME_OUT));
    }
    // The last slot comes first: bytes that an earlier slot releases are new to the slots after it.
    let mut resumed = resumed.to_vec();
    resumed.sort_unstable();
    resumed.iter().rev().try_fold(rc::OK, |rc, &slot| if rc == rc::ERROR { Ok(rc) } else { resume(ctx, slot) })
}

/// Releases what the plugin of a slot holds.
fn resume(ctx: &RequestContext, slot: usize) -> Result<ngx_int_t, Stop> {
    if ctx.response.stage.get() == Stage::HeaderHeld(slot) {
        header_from(ctx, slot + 1)?;
        return match pass_set_aside(ctx)? {
            rc::ERROR => Ok(rc::ERROR),
            _ => take(ctx, Chain::EMPTY),
        };
    }
    match ctx.response.take_held(slot) {
        Some(piece) if piece.with_trailers => trailers::pass(ctx, slot + 1, piece),
        Some(piece) => pass(ctx, slot + 1, piece),
        None => match ctx.response.kept.let_go(slot) {
            Some(at_end) => push(ctx, at_end),
            None => Ok(rc::OK),
        },
    }
}

/// Pushes an empty piece through the filters, so that Lua's body filter, which comes after this
/// module's, passes on what it kept.
fn push(ctx: &RequestContext, at_end: bool) -> Result<ngx_int_t, Stop> {
    let marks = Marks { last: at_end, last_in_chain: at_end, flush: !at_end };
    let nothing = ctx.response.unsent.make().add(ctx.request(), Vec::new(), marks)?;
    Ok(next(ctx, nothing))
}
