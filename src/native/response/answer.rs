//! An answer that a plugin sends instead of the upstream's response.

use ngx_bindings::chain::Marks;
use ngx_bindings::rc;
use ngx_bindings::sys::ngx_int_t;

use super::end::{Stop, cut, drop_all, fail};
use super::{next, send_header};
use crate::context::{Answer, Body, RequestContext, Stage, Verdict};

/// Sends an answer instead of the upstream's response, and drops what was held. If the header is
/// sent already, the client is cut off instead, so that it gets nothing of what the plugin wanted
/// to replace.
pub fn answer_now(ctx: &RequestContext, answer: Answer) -> Result<(), Stop> {
    let (request, response) = (ctx.request(), &ctx.response);
    if request.header_sent() {
        return Err(cut(ctx));
    }
    if answer.is_page {
        return Err(fail(ctx, answer.status as ngx_int_t));
    }
    drop_all(ctx);
    answer.replace(request)?;
    response.stage.set(Stage::Dropping);
    send_header(ctx)?;
    match send_answer(ctx, answer.body)? {
        rc::ERROR => Err(Stop::Filter(rc::ERROR)),
        _ => {
            ctx.wake_soon();
            Ok(())
        }
    }
}

pub fn send_answer(ctx: &RequestContext, body: Vec<u8>) -> Result<ngx_int_t, Stop> {
    if ctx.request().header_only() {
        return Ok(rc::OK);
    }
    let marks = Marks { last: true, last_in_chain: true, flush: false };
    let chain = ctx.response.unsent.make().add(ctx.request(), body, marks)?;
    Ok(next(ctx, chain))
}

/// As [`answer_now`], from Lua's header filter, which runs after this module's. Lua's filter sends
/// the header itself; the body comes through this module's filter later.
pub fn answer_later(ctx: &RequestContext, answer: Answer) -> Verdict {
    match answer.replace(ctx.request()) {
        Ok(()) => {
            *ctx.response.body.borrow_mut() = Some(Body::copied(answer.body, true));
            ctx.response.stage.set(Stage::Answering);
            Verdict::Continue
        }
        Err(_) => Verdict::Fail,
    }
}
