//! How a request ends in the midst of its body: a plugin answers, fails or closes it, or holds too much
//! of it, or for too long.
//!
//! If the response has begun, the response's own way ends it. Otherwise nginx ends the request by the
//! result of the filter, except for an answer, which an event sends, because it goes through nginx's
//! filters of responses.

use ngx_bindings::rc;
use ngx_bindings::sys::ngx_int_t;
use proxy_wasm_host::response::Ending;

use super::Stop;
use crate::context::{Answer, RequestContext, Upload};
use crate::identity::main_module;

/// Ends the request in the filter. Returns the filter's result.
pub fn end_in_filter(ctx: &RequestContext, upload: &Upload, stop: Stop) -> ngx_int_t {
    upload.end(ctx);
    let Some(stop) = left_by_response(ctx, stop) else { return rc::OK };
    let request = ctx.request();
    match stop {
        Ending::Answer(answer) => {
            ctx.set_answer(answer);
            ctx.wake_upload_soon();
            match request.is_http1() && !request.is_body_awaited() {
                false => rc::OK,
                // Any other result would let the handler begin, or wait for more.
                true if request.is_body_unbuffered() => rc::DONE,
                true => rc::AGAIN,
            }
        }
        Ending::Page(status) => {
            request.leave_body_unread();
            request.forget_body();
            status as ngx_int_t
        }
        Ending::Cut => rc::CLOSE,
    }
}

/// Ends the request in an event. The request may be gone afterwards.
pub fn end_in_event(ctx: &RequestContext, upload: &Upload, stop: Stop) {
    upload.end(ctx);
    let Some(stop) = left_by_response(ctx, stop) else { return };
    let request = ctx.request();
    request.leave_body_unread();
    request.forget_body();
    match stop {
        // SAFETY: nothing of the request is used afterwards.
        Ending::Answer(answer) => unsafe { request.end_with_answer(|request| answer.send(request)) },
        // SAFETY: as above.
        Ending::Page(status) => unsafe { request.end_with_page(main_module(), status as ngx_int_t, true) },
        // SAFETY: as above.
        Ending::Cut => unsafe { request.cut_off() },
    }
}

/// Leaves the end to the response, if that has begun.
fn left_by_response(ctx: &RequestContext, stop: Stop) -> Option<Stop> {
    if !ctx.response.state.has_begun() {
        return Some(stop);
    }
    match stop {
        Ending::Answer(answer) => ctx.set_answer(answer),
        Ending::Page(status) => ctx.set_answer(Box::new(Answer::page(status))),
        Ending::Cut => ctx.close(),
    }
    ctx.wake_soon();
    None
}
