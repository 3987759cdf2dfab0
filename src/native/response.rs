//! A response on its way through the plugins of its request.
//!
//! If a plugin may change the body, the header waits until the plugins have passed on the first
//! piece. If the whole body is there already, the header waits for all pieces, so that it can state
//! the length, and a plugin can still answer instead. nginx itself sends a header no earlier,
//! unless it must flush; then this module passes the header on, too.
//!
//! Pieces that no plugin changes pass as nginx's own buffers. Bytes that plugins made count until
//! the client has taken them. Above a limit no more is read from upstream, so a slow client costs
//! no memory. Bytes that must wait stay in nginx's buffers, which nginx does not fill again until
//! they are consumed. Copied are only a piece that a plugin has seen and holds, and, where nginx does
//! not buffer, the first bytes behind a header that a plugin holds.

mod answer;
mod end;
mod page;
mod pieces;
mod resume;
mod trailers;

use ngx_bindings::chain::Chain;
use ngx_bindings::filter::Next;
use ngx_bindings::sys::ngx_int_t;
use ngx_bindings::{Request, rc};
use proxy_wasm_host::abi::MapType;
use proxy_wasm_host::{Callback, Dialect};

pub use self::answer::answer_later;
use self::answer::{answer_now, send_answer};
use self::end::{FILTERS_PAGE, Stop, cannot_hold, drop_all, end_by, is_over_early};
pub use self::end::{cut_in_lua, fail_in_lua, leave};
use self::pieces::{sees_body, take};
pub use self::resume::wake;
use crate::conf::LocConf;
use crate::context::{Body, RequestContext, Source, Stage, Verdict};
use crate::host::header_count;
use crate::worker::MainConf;

/// The filters that were at the top of the chains when this module added its own.
pub static NEXT: Next = Next::none();

/// Answers false, for the header filter, if the response of this request has nothing to do with
/// plugins.
#[inline]
pub fn may_concern(request: Request) -> bool {
    !LocConf::of(request).attachments.is_empty() || RequestContext::may_be_of(request)
}

/// Runs the header filter for a request that plugins may see.
pub fn header_of(request: Request) -> ngx_int_t {
    if request.is_subrequest() {
        return NEXT.header(request);
    }
    match RequestContext::of(request) {
        Some(ctx) => header(ctx),
        None if LocConf::of(request).attachments.is_empty() => NEXT.header(request),
        None => super::context_of(request).map_or_else(Into::into, header),
    }
}

fn header(ctx: &RequestContext) -> ngx_int_t {
    if ctx.response.has_begun() {
        // nginx now sends a page of its own (an error, or a page that replaces the response) for a
        // response that plugins have seen.
        drop_all(ctx);
        ctx.response.stage.set(Stage::Passing);
        return next_header(ctx);
    }
    ctx.pause.release_request();
    ctx.response.from_upstream.set(ctx.request().has_active_upstream());
    ctx.forget_length_of_missing_body();
    let result = open_missing(ctx).and_then(|()| match ctx.take_answer() {
        // The answer came while nginx did something else with the request.
        Some(answer) => answer_now(ctx, *answer),
        None => header_from(ctx, 0),
    });
    result.map_or_else(|stop| stop.in_filter(ctx), |()| rc::OK)
}

/// Opens the slots of plugins whose phase has not come, because nginx answered before it. Such a
/// plugin sees only the response, as in Envoy.
fn open_missing(ctx: &RequestContext) -> Result<(), Stop> {
    let request = ctx.request();
    for (position, attached) in LocConf::of(request).attachments.iter().enumerate() {
        let source = Source::Directive(attached.index);
        if ctx.slots.find_near(position, source).is_none() {
            let plugin = MainConf::of(request).contexts().get(attached.index);
            if let Err(verdict) = ctx.open(source, plugin, attached.policy) {
                end_by(ctx, verdict)?;
            }
        }
    }
    Ok(())
}

/// Runs `proxy_on_response_headers` from a slot on. Afterwards the header is sent, or waits for the
/// body.
fn header_from(ctx: &RequestContext, first: usize) -> Result<(), Stop> {
    let request = ctx.request();
    for slot in ctx.slots.starting_at(first).filter(|slot| !slot.is_driven_by_lua()) {
        ctx.response.stage.set(Stage::HeaderHeld(slot.index()));
        let asks = slot.has(Callback::OnResponseHeaders);
        let count = if asks { header_count(request, MapType::HttpResponseHeaders, Dialect::Envoy) } else { 0 };
        match ctx.call(slot, |http| http.on_response_headers(count, !ctx.expects_body())) {
            Verdict::Continue => {}
            Verdict::Pause if request.status() < 200 => {
                return Err(cannot_hold(ctx, slot, "an upgrade: what follows its header is not a response"));
            }
            Verdict::Pause if request.is_answered_by_filter() => return Err(cannot_hold(ctx, slot, FILTERS_PAGE)),
            Verdict::Pause => {
                ctx.pause_response();
                request.set_buffered(true);
                return Ok(());
            }
            verdict => return end_by(ctx, verdict),
        }
    }
    let loc = LocConf::of(request);
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

/// Sends the header. If it is the whole response, the body is dropped: its source did not know this
/// while the header was held.
fn send_header(ctx: &RequestContext) -> Result<(), Stop> {
    stop_unless_sent(next_header(ctx))?;
    if ctx.request().header_only() {
        ctx.response.stage.set(Stage::Dropping);
        drop_all(ctx);
    }
    Ok(())
}

/// Runs the body filter for a request that plugins may see.
pub fn body_of(request: Request, chain: Chain) -> ngx_int_t {
    // The output of a subrequest of `slice` is part of the client's response.
    if request.is_subrequest() && !request.is_slice() {
        return NEXT.body(request, chain);
    }
    match RequestContext::of(request.main()) {
        Some(ctx) => {
            ctx.response.note_latest(request);
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
        Stage::Failed(_) => page::takes_place_of(ctx, chain),
        Stage::Cut => {
            chain.consume();
            rc::ERROR
        }
    }
}

/// Calls the header filters after this module's.
fn next_header(ctx: &RequestContext) -> ngx_int_t {
    ctx.as_client_asked(|request| NEXT.header(request))
}

/// Calls the body filters after this module's. An empty chain is passed only while bytes wait in
/// them: otherwise nginx's last filter reports an error.
fn next(ctx: &RequestContext, chain: Chain) -> ngx_int_t {
    let outlet = outlet(ctx);
    if chain.is_empty() && !outlet.is_sending() { rc::OK } else { NEXT.body(outlet, chain) }
}

/// Returns the request through which the response is sent.
fn outlet(ctx: &RequestContext) -> Request<'_> {
    let request = ctx.request();
    request.outlet(ctx.response.latest(request))
}

/// Sets nginx's `buffered` flag, and stops the pause timeout if no plugin holds anything. `slice`
/// does not fetch the next part while the flag is set, so the flag stays off for a plugin that
/// waits for the rest of the body.
fn settle(ctx: &RequestContext) {
    let held = ctx.response.holder().is_some();
    let waits_for_parts = || ctx.request().is_sliced() && ctx.response.piece_holder().is_some();
    outlet(ctx).set_buffered(!ctx.response.waiting.is_empty() || held && !waits_for_parts());
    if !held {
        ctx.pause.stop_clock();
    }
}

/// Reads the result of a header filter by nginx's rule.
fn stop_unless_sent(rc: ngx_int_t) -> Result<(), Stop> {
    if rc == rc::ERROR || rc > rc::OK { Err(Stop::Filter(rc)) } else { Ok(()) }
}
