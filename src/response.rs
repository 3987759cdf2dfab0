//! A response on its way through the plugins of its request.
//!
//! When a plugin may change the body, the header waits for the first piece of it to come out of the plugins, or for all pieces of
//! a body that is all there: such a response still says its length, and a plugin may still answer in its place. nginx itself sends
//! a header no earlier than that, unless it is told to flush, which lets ours go, too.
//!
//! What plugins do not change passes as nginx's own buffers. What they made anew counts until the client has it: past
//! a limit nothing more is taken from upstream, so a slow client costs no memory. What may not go on yet stays in nginx's
//! buffers, which nginx does not fill again until they are taken; only what a plugin was shown and holds is copied.

mod answer;
mod end;
mod pieces;
mod resume;
mod trailers;
mod validators;
mod waiting;

use std::cell::{Cell, RefCell};

use ngx_bindings::chain::Chain;
use ngx_bindings::log::Level;
use ngx_bindings::sys::ngx_int_t;
use ngx_bindings::{Request, rc};
use proxy_wasm_host::Callback;
use proxy_wasm_host::abi::MapType;

pub use self::answer::answer_later;
use self::answer::{answer_now, send_answer};
use self::end::{Stop, drop_all, fail, is_over_early};
pub use self::end::{cut_in_lua, fail_in_lua};
use self::pieces::{Piece, sees_body, take};
use self::validators::Validators;
use self::waiting::Waiting;
use super::body::Body;
use super::filters::NEXT;
use super::host::header_count;
use super::lua::Kept;
use super::phases::{loc_conf, main_conf};
use super::rarely::Rarely;
use super::request::{RequestContext, Source, Verdict};
use super::unsent::Unsent;

/// How far the response of a request has come.
#[derive(Default)]
pub struct Response {
    stage: Cell<Stage>,
    /// What `proxy_on_response_body` may see now.
    pub body: RefCell<Option<Body>>,
    /// What upstream sent and no plugin has seen yet.
    waiting: Waiting,
    /// More of it is handed out when nginx's loop comes round.
    goes_on: Cell<bool>,
    /// The request that brought the latest bytes of the body: a subrequest where `slice` fetches the body in parts.
    latest: Cell<Option<Request>>,
    /// The end of the body has come to the plugins.
    end_seen: Cell<bool>,
    /// A body that is complete, but for nginx's word.
    whole: Rarely<RefCell<Option<Piece>>>,
    /// What went through the plugins while the header waits for the rest of the body.
    passed: Cell<Chain>,
    /// By slot: what it holds of the body.
    held: Rarely<RefCell<Vec<(usize, Piece)>>>,
    /// What Lua keeps of the body for plugins.
    pub kept: Kept,
    /// What plugins made of the body and nginx has not sent yet.
    unsent: Rarely<Unsent>,
    /// An upstream makes the response.
    from_upstream: Cell<bool>,
    /// A plugin changed the body.
    changed: Cell<bool>,
    /// What the header says of the body.
    pub validators: Validators,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// nginx has no header yet.
    #[default]
    Upstream,
    /// The plugin of this slot holds the header, and with it everything behind.
    HeaderHeld(usize),
    /// The plugins have seen the header; it waits for the body.
    HeaderWaits,
    /// The header is sent, the body goes through the plugins.
    Body,
    /// The end of the body is sent: what comes now, a filter before ours or after adds.
    Ended,
    /// The header is sent, and no plugin sees the body; but trailers may come with its end.
    Trailers,
    /// Nothing concerns the plugins any more.
    Passing,
    /// A plugin answered in Lua's header filter: the answer's body goes in place of the first piece that comes.
    Answering,
    /// It has gone, and no plugin is shown it; what upstream still sends is dropped.
    Answered,
    /// What upstream still sends is dropped: a plugin answered, or the response is only a header.
    Dropping,
    /// nginx's page of this status is to take the place of the response, whose source is over.
    Failed(ngx_int_t),
    /// The client is to be cut off.
    Cut,
}

impl Response {
    /// Whether the plugin of a slot holds the header or part of the body.
    pub fn is_held_by(&self, slot: usize) -> bool {
        let holds_a_piece = |held: &RefCell<Vec<_>>| held.borrow().iter().any(|(holder, _)| *holder == slot);
        self.stage.get() == Stage::HeaderHeld(slot)
            || self.held.get().is_some_and(holds_a_piece)
            || self.kept.is_kept_by(slot)
    }

    /// Whether nginx has come to the response.
    pub fn has_begun(&self) -> bool {
        self.stage.get() != Stage::Upstream
    }

    /// Lua has come to the response. Our filter, before Lua's, has seen nothing of it if no plugin had met the request by then.
    pub fn begin_in_lua(&self) {
        if !self.has_begun() {
            self.stage.set(Stage::Passing);
        }
    }

    /// Whether the client is to be cut off.
    pub fn is_cut(&self) -> bool {
        self.stage.get() == Stage::Cut
    }

    /// Whether a plugin answered, or failed, in Lua's header filter: the body is the answer's, of the length that the header says.
    pub fn is_answered_in_lua(&self) -> bool {
        matches!(self.stage.get(), Stage::Answering | Stage::Answered)
    }

    /// More of what waits is to be handed out from the event.
    pub fn goes_on(&self) {
        self.goes_on.set(true);
    }

    /// The slot whose plugin holds something.
    fn holder(&self) -> Option<usize> {
        match self.stage.get() {
            Stage::HeaderHeld(slot) => Some(slot),
            _ => self.piece_holder().or_else(|| self.kept.holder()),
        }
    }

    fn piece_holder(&self) -> Option<usize> {
        self.held.get()?.borrow().first().map(|(slot, _)| *slot)
    }

    /// Forgets what of the plugins' making nginx has sent; answers how many bytes it has not.
    fn collect_unsent(&self) -> usize {
        self.unsent.get().map_or(0, Unsent::collect)
    }
}

/// For the header filter: false if no plugin has to do with the response of this request.
#[inline]
pub fn may_concern(request: Request) -> bool {
    !loc_conf(request).attachments.is_empty() || RequestContext::may_be_of(request)
}

/// The header filter of a request that plugins may have to do with.
pub fn header_of(request: Request) -> ngx_int_t {
    if request.is_subrequest() {
        return NEXT.header(request);
    }
    match RequestContext::of(request) {
        Some(ctx) => header(ctx),
        None if loc_conf(request).attachments.is_empty() => NEXT.header(request),
        None => RequestContext::of_or_new(request).map_or_else(Into::into, header),
    }
}

fn header(ctx: &RequestContext) -> ngx_int_t {
    if ctx.response.has_begun() {
        // nginx answers anew, with a page of its own, what plugins have seen: an error, or what replaces a response.
        drop_all(ctx);
        ctx.response.stage.set(Stage::Passing);
        return next_header(ctx);
    }
    ctx.pause.release_request();
    ctx.response.from_upstream.set(ctx.request().has_active_upstream());
    ctx.forget_length_of_missing_body();
    let result = open_missing(ctx).and_then(|()| match ctx.take_answer() {
        // It came while nginx was busy with the request elsewhere.
        Some(answer) => answer_now(ctx, *answer),
        None => header_from(ctx, 0),
    });
    result.map_or_else(|stop| stop.in_filter(ctx), |()| rc::OK)
}

/// nginx may answer before a plugin's phase has come; the plugin then sees the response alone, as with Envoy.
fn open_missing(ctx: &RequestContext) -> Result<(), Stop> {
    let request = ctx.request();
    for (position, attached) in loc_conf(request).attachments.iter().enumerate() {
        let source = Source::Directive(attached.index);
        if ctx.slots.find_near(position, source).is_none() {
            let plugin = main_conf(request).worker().context(attached.index);
            if let Err(Verdict::Fail) = ctx.open(source, plugin, attached.policy) {
                return Err(fail(ctx, rc::SERVICE_UNAVAILABLE));
            }
        }
    }
    Ok(())
}

/// `proxy_on_response_headers` from a slot on; then the header goes, or waits for the body.
fn header_from(ctx: &RequestContext, first: usize) -> Result<(), Stop> {
    let request = ctx.request();
    for slot in ctx.slots.starting_at(first).filter(|slot| !slot.is_driven_by_lua()) {
        ctx.response.stage.set(Stage::HeaderHeld(slot.index()));
        let asks = slot.has(Callback::OnResponseHeaders);
        let count = if asks { header_count(request, MapType::HttpResponseHeaders) } else { 0 };
        match ctx.call(slot, |http| http.on_response_headers(count, !ctx.expects_body())) {
            Verdict::Continue => {}
            Verdict::Pause if request.status() < 200 => {
                let name = slot.plugin_name();
                let line =
                    format_args!("plugin \"{name}\" cannot hold an upgrade: what follows its header is no response");
                request.log().print(Level::Error, line);
                return Err(fail(ctx, rc::INTERNAL_SERVER_ERROR));
            }
            Verdict::Pause => {
                ctx.pause_response();
                request.set_buffered(true);
                return Ok(());
            }
            Verdict::Answer(answer) => return answer_now(ctx, *answer),
            Verdict::Fail => return Err(fail(ctx, rc::SERVICE_UNAVAILABLE)),
            Verdict::Close => return Err(end::cut(ctx)),
        }
    }
    let loc = loc_conf(request);
    let wants_body = ctx.any_has(Callback::OnResponseBody)
        && ctx.expects_body()
        && ctx.slots.iter().any(|slot| sees_body(loc, slot));
    if wants_body && ctx.slots.iter().any(|slot| sees_body(loc, slot) && slot.may_change_body()) {
        request.forbid_ranges();
        ctx.response.stage.set(Stage::HeaderWaits);
        return Ok(());
    }
    ctx.response.stage.set(match wants_body {
        true => Stage::Body,
        false if trailers::concern(ctx) && ctx.expects_body() => Stage::Trailers,
        false => Stage::Passing,
    });
    send_header(ctx)
}

/// Sends the header, behind which there may be nothing: whoever makes the body did not know, if the header was held.
fn send_header(ctx: &RequestContext) -> Result<(), Stop> {
    stop_unless_sent(next_header(ctx))?;
    if ctx.request().header_only() {
        ctx.response.stage.set(Stage::Dropping);
        drop_all(ctx);
    }
    Ok(())
}

/// The body filter of a request that plugins may have to do with.
pub fn body_of(request: Request, chain: Chain) -> ngx_int_t {
    // What a subrequest of `slice` brings is a part of the client's response.
    if request.is_subrequest() && !request.is_slice() {
        return NEXT.body(request, chain);
    }
    match RequestContext::of(request.main()) {
        Some(ctx) => {
            ctx.response.latest.set(Some(request));
            body(ctx, chain)
        }
        None => NEXT.body(request, chain),
    }
}

fn body(ctx: &RequestContext, chain: Chain) -> ngx_int_t {
    match ctx.response.stage.get() {
        Stage::Upstream => next(ctx, chain),
        Stage::Passing | Stage::HeaderHeld(_) | Stage::HeaderWaits | Stage::Body | Stage::Trailers
            if end::is_asked_for(ctx) =>
        {
            end::as_asked(ctx, chain)
        }
        Stage::Passing => next(ctx, chain),
        Stage::Trailers if !trailers::come_with(ctx, chain) => next(ctx, chain),
        Stage::Answering => {
            chain.consume();
            ctx.response.stage.set(Stage::Answered);
            let body = ctx.response.body.take().and_then(Body::into_bytes).unwrap_or_default();
            ctx.wake_soon();
            send_answer(ctx, body).unwrap_or_else(|stop| stop.in_filter(ctx))
        }
        Stage::Answered | Stage::Dropping => {
            chain.consume();
            let rc = next(ctx, Chain::EMPTY);
            ctx.response.collect_unsent();
            rc
        }
        Stage::HeaderHeld(_) | Stage::HeaderWaits | Stage::Body | Stage::Trailers if is_over_early(ctx, chain) => {
            end::without_its_end(ctx, chain)
        }
        Stage::HeaderHeld(_) | Stage::HeaderWaits | Stage::Body | Stage::Ended | Stage::Trailers => {
            let result = take(ctx, chain);
            settle(ctx);
            result.unwrap_or_else(|stop| stop.in_filter(ctx))
        }
        Stage::Failed(_) => {
            chain.consume();
            rc::OK
        }
        Stage::Cut => {
            chain.consume();
            rc::ERROR
        }
    }
}

/// The header filters after ours.
fn next_header(ctx: &RequestContext) -> ngx_int_t {
    ctx.as_client_asked(|request| NEXT.header(request))
}

/// The body filters after ours. Called without a buffer while nothing of theirs waits, nginx's last filter sees a mistake.
fn next(ctx: &RequestContext, chain: Chain) -> ngx_int_t {
    let outlet = outlet(ctx);
    if chain.is_empty() && !outlet.is_sending() { rc::OK } else { NEXT.body(outlet, chain) }
}

/// The request that the response goes through.
fn outlet(ctx: &RequestContext) -> Request {
    let request = ctx.request();
    request.outlet(ctx.response.latest.get().unwrap_or(request))
}

/// Tells nginx, and the clock, whether something waits for a plugin. `slice` does not fetch the next part while something does,
/// so a plugin that waits for the rest of the body is no reason there.
fn settle(ctx: &RequestContext) {
    let held = ctx.response.holder().is_some();
    let waits_for_parts = || ctx.request().is_sliced() && ctx.response.piece_holder().is_some();
    outlet(ctx).set_buffered(!ctx.response.waiting.is_empty() || held && !waits_for_parts());
    if !held {
        ctx.pause.stop_clock();
    }
}

/// nginx's rule for what a header filter answers.
fn stop_unless_sent(rc: ngx_int_t) -> Result<(), Stop> {
    if rc == rc::ERROR || rc > rc::OK { Err(Stop::Filter(rc)) } else { Ok(()) }
}
