//! How a response ends early: a plugin fails, closes it or holds it too long, or its source does
//! not finish it.
//!
//! Until the header is sent, nginx's page replaces the response ([`page`]); after that, the client
//! is cut off. An event of this module ends it, by [`Request`](ngx_bindings::Request).

use std::io;

use ngx_bindings::chain::Chain;
use ngx_bindings::log::Level;
use ngx_bindings::pool::AllocError;
use ngx_bindings::rc;
use ngx_bindings::sys::ngx_int_t;

use super::answer::{answer_later, answer_now};
use super::{next, page, settle};
use crate::context::{Answer, RequestContext, Slot, Stage, Verdict};
use crate::identity::main_module;

/// Why no more of the response passes.
pub enum Stop {
    /// nginx's page of this status is to replace the response, whose header is not sent.
    Page(ngx_int_t),
    /// The client is to be cut off.
    Cut,
    /// A filter after this module's failed, with this result.
    Filter(ngx_int_t),
}

impl From<AllocError> for Stop {
    fn from(_: AllocError) -> Self {
        Self::Filter(rc::ERROR)
    }
}

impl Stop {
    /// Ends the response in a filter. Returns the filter's result.
    pub fn in_filter(self, ctx: &RequestContext) -> ngx_int_t {
        match self {
            Self::Page(status) if page::is_due_at_once(ctx) => page::at_once(ctx, status),
            Self::Page(status) => page::later(ctx, status),
            Self::Cut => {
                refuse_output(ctx);
                rc::ERROR
            }
            Self::Filter(rc) => rc,
        }
    }

    /// Ends the response from an event of this module. The request may be gone afterwards.
    pub fn in_event(self, ctx: &RequestContext, source_is_over: bool) {
        let request = ctx.request();
        match self {
            Self::Page(status) if request.is_in_file_io() => page::when_file_is_done(ctx, status),
            Self::Page(status) => request.end_with_page(main_module(), status, source_is_over),
            Self::Filter(status) if status > rc::OK && !request.header_sent() => {
                request.end_with_page(main_module(), status, source_is_over);
            }
            Self::Cut | Self::Filter(_) => request.cut_off(),
        }
    }
}

/// Ends the response: by nginx's page of this status until the header is sent, and after that by
/// cutting the client off.
pub fn fail(ctx: &RequestContext, status: ngx_int_t) -> Stop {
    if ctx.request().header_sent() {
        return cut(ctx);
    }
    drop_all(ctx);
    drop(ctx.take_answer());
    ctx.response.stage.set(Stage::Passing);
    Stop::Page(status)
}

/// Ends the response by cutting the client off.
pub fn cut(ctx: &RequestContext) -> Stop {
    drop_all(ctx);
    ctx.response.stage.set(Stage::Cut);
    Stop::Cut
}

/// Why a page that a header filter sends cannot be held.
pub const FILTERS_PAGE: &str = "a page of nginx's own filters: nginx does not wait for it";

/// Ends a response that a plugin pauses although it must continue at once.
pub fn cannot_hold(ctx: &RequestContext, slot: &Slot, what: &str) -> Stop {
    let line = format_args!("plugin \"{}\" cannot hold {what}", slot.plugin_name());
    ctx.request().log().print(Level::Error, line);
    fail(ctx, rc::INTERNAL_SERVER_ERROR)
}

/// Handles a verdict that ends the response: an answer replaces it, or nginx's page of 503 if a
/// plugin failed, or the client is cut off.
pub fn end_by(ctx: &RequestContext, verdict: Verdict) -> Result<(), Stop> {
    match verdict {
        Verdict::Continue | Verdict::Pause => Ok(()),
        Verdict::Answer(answer) => answer_now(ctx, *answer),
        Verdict::Fail => Err(fail(ctx, rc::SERVICE_UNAVAILABLE)),
        Verdict::Close => Err(cut(ctx)),
    }
}

pub fn unreadable(ctx: &RequestContext, error: &io::Error) -> Stop {
    ctx.request().log().print(Level::Error, format_args!("the response's body cannot be read: {error}"));
    fail(ctx, rc::INTERNAL_SERVER_ERROR)
}

/// As [`fail`] with 503, in a callback that Lua runs. Lua's header filter sends the header whatever
/// the callback's result is, so the page is written into the response itself.
pub fn fail_in_lua(ctx: &RequestContext) {
    if ctx.response.is_cut() {
        return;
    }
    let page = || Answer::text(503, b"503 Service Temporarily Unavailable\n");
    if ctx.request().header_sent() || matches!(answer_later(ctx, page()), Verdict::Fail) {
        cut_in_lua(ctx);
    }
}

/// As [`cut`], in a callback that Lua runs. Bytes that Lua's filters still pass on do not reach the
/// client.
pub fn cut_in_lua(ctx: &RequestContext) {
    cut(ctx).in_filter(ctx);
}

/// Makes nginx's filters fail from now on. nginx may continue all the same, because it wants the
/// response for its cache, or because one of its filters keeps the bytes. The client is then cut
/// off in the next turn of nginx's loop.
fn refuse_output(ctx: &RequestContext) {
    ctx.request().refuse_output();
    ctx.wake_soon();
}

/// Whether a plugin closed, answered or failed outside the response's callbacks.
pub fn is_asked_for(ctx: &RequestContext) -> bool {
    (ctx.is_closed() || ctx.has_answer()) && !ctx.request().is_post_action()
}

/// Ends the response as a plugin asked (see [`is_asked_for`]), before more of it gets past a plugin
/// that may have failed.
pub fn as_asked(ctx: &RequestContext, chain: Chain) -> ngx_int_t {
    ctx.response.end_seen.set(ctx.response.end_seen.get() | chain.marks().last);
    chain.consume();
    let ended = match ctx.take_answer() {
        Some(answer) if !ctx.is_closed() => answer_now(ctx, *answer),
        _ => Err(cut(ctx)),
    };
    settle(ctx);
    ended.map_or_else(|stop| stop.in_filter(ctx), |()| rc::OK)
}

/// Whether nginx has finished with the response, although the end of the body has not come and will
/// not come.
pub fn is_over_early(ctx: &RequestContext, chain: Chain) -> bool {
    let (request, response) = (ctx.request(), &ctx.response);
    // If the upstream does not finish a response, nginx sends the bytes that it has.
    let source = response.latest(request);
    let is_truncated = || response.from_upstream.get() && chain.is_flush() && !source.has_active_upstream();
    request.is_post_action() || is_truncated()
}

/// Ends a response of [`is_over_early`] as nginx would have done. Pieces that plugins hold are
/// lost.
pub fn without_its_end(ctx: &RequestContext, chain: Chain) -> ngx_int_t {
    let (request, response) = (ctx.request(), &ctx.response);
    drop_all(ctx);
    if !request.header_sent() && !request.is_post_action() {
        response.end_seen.set(true);
        return page::later(ctx, rc::BAD_GATEWAY);
    }
    response.stage.set(Stage::Passing);
    request.set_buffered(false);
    next(ctx, chain)
}

/// Drops everything that is held or waits.
pub fn drop_all(ctx: &RequestContext) {
    ctx.response.end_seen.set(ctx.response.source_is_over());
    if let Some(held) = ctx.response.held.get() {
        held.borrow_mut().clear();
    }
    if let Some(whole) = ctx.response.whole.get() {
        whole.take();
    }
    let (response, pool) = (&ctx.response, ctx.request().pool());
    let mut passed = response.passed.take();
    passed.consume();
    passed.free_links(pool);
    response.waiting.clear(pool);
    ctx.pause.stop_clock();
}

/// Ends the plugins' part in the response, because a `post_action` runs now.
#[cold]
pub fn leave(ctx: &RequestContext) {
    if ctx.response.has_begun() {
        drop_all(ctx);
        ctx.response.stage.set(Stage::Passing);
        ctx.request().set_buffered(false);
    }
}
