//! How a response ends before its time: a plugin fails, closes or holds it too long, or its source
//! does not finish it.
//!
//! While the header is not sent, nginx's page takes its place; after that, the client is cut off.
//! In a filter nginx does both when the filter says so, and closes the connection. From an event of
//! ours, [`Request`](ngx_bindings::Request) ends it.

use std::io;

use ngx_bindings::chain::Chain;
use ngx_bindings::log::Level;
use ngx_bindings::pool::AllocError;
use ngx_bindings::rc;
use ngx_bindings::sys::ngx_int_t;

use super::answer::{answer_later, answer_now};
use super::next;
use crate::context::{Answer, RequestContext, Slot, Stage, Verdict};
use crate::identity::main_module;

/// Why the pipeline stopped.
pub enum Stop {
    /// nginx's page of this status is to take the place of the response, whose header is not sent.
    Page(ngx_int_t),
    /// The client is to be cut off.
    Cut,
    /// A filter after ours failed, and said this.
    Filter(ngx_int_t),
}

impl From<AllocError> for Stop {
    fn from(_: AllocError) -> Self {
        Self::Filter(rc::ERROR)
    }
}

impl Stop {
    /// Ends the response in a filter: what that answers nginx.
    pub fn in_filter(self, ctx: &RequestContext) -> ngx_int_t {
        match self {
            Self::Page(status) => match ctx.request().replace_response(main_module(), status) {
                // The client has not taken all of the page. An upstream that is not told to end goes
                // on, without the contexts that nginx has forgotten, and gRPC's needs its own.
                rc::AGAIN => rc::ERROR,
                rc => rc,
            },
            Self::Cut => {
                refuse_output(ctx);
                rc::ERROR
            }
            Self::Filter(rc) => rc,
        }
    }

    /// Ends the response from an event of ours. The request may be gone after.
    pub fn in_event(self, ctx: &RequestContext, source_is_over: bool) {
        let request = ctx.request();
        match self {
            Self::Page(status) => request.end_with_page(main_module(), status, source_is_over),
            Self::Filter(status) if status > rc::OK && !request.header_sent() => {
                request.end_with_page(main_module(), status, source_is_over);
            }
            Self::Cut | Self::Filter(_) => request.cut_off(),
        }
    }
}

/// Ends the response: by a page of nginx's while the header is not sent, else by cutting the client
/// off.
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

/// Why a page that a header filter answers with cannot be held.
pub const FILTERS_PAGE: &str = "a page of nginx's own filters: nginx does not wait for it";

/// Ends a response that a plugin pauses and that has to go on at once.
pub fn cannot_hold(ctx: &RequestContext, slot: &Slot, what: &str) -> Stop {
    let line = format_args!("plugin \"{}\" cannot hold {what}", slot.plugin_name());
    ctx.request().log().print(Level::Error, line);
    fail(ctx, rc::INTERNAL_SERVER_ERROR)
}

pub fn unreadable(ctx: &RequestContext, error: &io::Error) -> Stop {
    ctx.request().log().print(Level::Error, format_args!("the response's body cannot be read: {error}"));
    fail(ctx, rc::INTERNAL_SERVER_ERROR)
}

/// As [`fail`] with 503, in a callback that Lua runs. Lua's header filter sends the header,
/// whatever the callback comes to, so the page is written in its place.
pub fn fail_in_lua(ctx: &RequestContext) {
    if ctx.response.is_cut() {
        return;
    }
    let page = || Answer::text(503, b"503 Service Temporarily Unavailable\n");
    if ctx.request().header_sent() || matches!(answer_later(ctx, page()), Verdict::Fail) {
        cut_in_lua(ctx);
    }
}

/// As [`cut`], in a callback that Lua runs: what Lua's filters still pass on does not get to the
/// client.
pub fn cut_in_lua(ctx: &RequestContext) {
    cut(ctx).in_filter(ctx);
}

/// nginx's filters fail from now on. Where nginx goes on all the same, because it wants the
/// response for its cache or a filter of its own keeps what is sent, the client is cut off as soon
/// as nginx's loop comes round.
fn refuse_output(ctx: &RequestContext) {
    ctx.request().refuse_output();
    ctx.wake_soon();
}

/// Whether a plugin closed or answered elsewhere than in a response callback, or failed there.
pub fn is_asked_for(ctx: &RequestContext) -> bool {
    (ctx.is_closed() || ctx.has_answer()) && !ctx.request().is_post_action()
}

/// Does what it asked for, before more of the response gets past a plugin that may have failed.
pub fn as_asked(ctx: &RequestContext, chain: Chain) -> ngx_int_t {
    chain.consume();
    let ended = match ctx.take_answer() {
        Some(answer) if !ctx.is_closed() => answer_now(ctx, *answer),
        _ => Err(cut(ctx)),
    };
    ended.map_or_else(|stop| stop.in_filter(ctx), |()| rc::OK)
}

/// Whether nginx has done with the response though its end has not come, and will not.
pub fn is_over_early(ctx: &RequestContext, chain: Chain) -> bool {
    let (request, response) = (ctx.request(), &ctx.response);
    // nginx sends what it has of a response that its upstream does not finish.
    let source = response.latest.get().unwrap_or(request);
    let is_truncated = || response.from_upstream.get() && chain.is_flush() && !source.has_active_upstream();
    request.is_post_action() || is_truncated()
}

/// Ends such a response as nginx would have: what plugins hold of it is lost.
pub fn without_its_end(ctx: &RequestContext, chain: Chain) -> ngx_int_t {
    let (request, response) = (ctx.request(), &ctx.response);
    drop_all(ctx);
    if !request.header_sent() && !request.is_post_action() {
        // In a filter, the page would be all that nginx sends, and no error_page that takes its
        // time.
        response.stage.set(Stage::Failed(rc::BAD_GATEWAY));
        request.set_buffered(true);
        ctx.wake_soon();
        return rc::OK;
    }
    response.stage.set(Stage::Passing);
    request.set_buffered(false);
    next(ctx, chain)
}

/// Lets go of everything that waits.
pub fn drop_all(ctx: &RequestContext) {
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

/// The response is over, as far as plugins go: what runs now is a `post_action`.
#[cold]
pub fn leave(ctx: &RequestContext) {
    if ctx.response.has_begun() {
        drop_all(ctx);
        ctx.response.stage.set(Stage::Passing);
        ctx.request().set_buffered(false);
    }
}
