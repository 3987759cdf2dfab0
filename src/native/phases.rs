//! The handlers of the rewrite, access and log phases on the native path, and for subrequests, which skip
//! the access phase, of that behind it.

use ngx_bindings::conf::Conf;
use ngx_bindings::phase::{self, Phase as NginxPhase};
use ngx_bindings::pool::AllocError;
use ngx_bindings::sys::ngx_int_t;
use ngx_bindings::{Request, rc};
use proxy_wasm_host::abi::MapType;
use proxy_wasm_host::config::Phase;
use proxy_wasm_host::response::{Ending, leave};
use proxy_wasm_host::{Callback, Dialect};

use super::{context_of, context_of_subrequest};
use crate::conf::{LocConf, RequestBodyMode};
use crate::context::{Body, RequestContext, Slot, Source, Verdict};
use crate::guard::guard;
use crate::host::header_count;
use crate::worker::MainConf;

/// Adds the handlers that have something to do, because every request of nginx calls them. They run
/// before nginx's own handlers of the same phase, because they were added later.
pub fn register(cf: Conf, main: &MainConf) -> ngx_int_t {
    let add = |needed: bool, phase, handler| if needed { phase::add_handler(cf, phase, handler) } else { Ok(()) };
    // The access handler is needed even if all plugins run in the rewrite phase: an answer may come
    // between the phases.
    let added = add(main.has_attachments_in(Phase::Rewrite), NginxPhase::Rewrite, on_rewrite)
        .and_then(|()| add(main.has_attachments(), NginxPhase::Access, on_access))
        .and_then(|()| add(main.has_attachments_for_subrequests(), NginxPhase::Precontent, on_precontent))
        .and_then(|()| add(main.said.enabled, NginxPhase::Log, on_log));
    added.map_or_else(Into::into, |()| rc::OK)
}

extern "C" fn on_rewrite(request: Request) -> ngx_int_t {
    if has_plugins(request) { rewrite_guarded(request) } else { rc::DECLINED }
}

extern "C" fn on_access(request: Request) -> ngx_int_t {
    if has_plugins(request) { access_guarded(request) } else { rc::DECLINED }
}

extern "C" fn on_precontent(request: Request) -> ngx_int_t {
    if request.is_subrequest() && has_plugins(request) { access_guarded(request) } else { rc::DECLINED }
}

#[inline]
fn has_plugins(request: Request) -> bool {
    LocConf::of(request).has_lines_for(request)
}

/// A separate function with C's calling convention, which does not unwind, so that a location
/// without plugins does not pay for this stack frame.
#[inline(never)]
extern "C" fn rewrite_guarded(request: Request) -> ngx_int_t {
    guard(rc::ERROR, || run(request, LocConf::of(request), Phase::Rewrite))
}

/// As [`rewrite_guarded`].
#[inline(never)]
extern "C" fn access_guarded(request: Request) -> ngx_int_t {
    guard(rc::ERROR, || run(request, LocConf::of(request), Phase::Access))
}

/// Runs the plugins of this phase, from where they stopped.
fn run(request: Request, loc: &LocConf, phase: Phase) -> ngx_int_t {
    let ctx = match context(request) {
        Ok(Some(ctx)) => ctx,
        Ok(None) => return rc::DECLINED,
        Err(error) => return error.into(),
    };
    if request.is_post_action() {
        leave(ctx);
    }
    // An answer may have come while the request was held.
    if let Some(answer) = ctx.take_answer() {
        ctx.forget_instance();
        return phase_result(ctx, Verdict::Answer(answer));
    }
    if ctx.is_closed() {
        return rc::CLOSE;
    }
    if ctx.pause.holds_request() {
        return rc::DONE;
    }
    if loc.is_changed_in_parts.get() {
        request.forget_range();
    }
    loop {
        match request_headers(ctx, loc, phase) {
            Verdict::Continue => {}
            verdict => return phase_result(ctx, verdict),
        }
        let Some(holder) = ctx.slots.iter().find(|slot| slot.holds_headers()) else { break };
        if !ctx.body_read.get() {
            return read_body(ctx, loc);
        }
        if let Some(code) = request_body(ctx, loc, phase) {
            return code;
        }
        holder.release_headers();
    }
    if mode_of(ctx, loc) == RequestBodyMode::Stream {
        ctx.stream_request_body();
        return rc::DECLINED;
    }
    if next_for_body(ctx, loc, phase).is_some() && !ctx.body_read.get() {
        return read_body(ctx, loc);
    }
    if !ctx.body_read.get() {
        return rc::DECLINED;
    }
    request_body(ctx, loc, phase).unwrap_or(rc::DECLINED)
}

fn context(request: Request<'_>) -> Result<Option<&RequestContext>, AllocError> {
    if request.is_subrequest() { context_of_subrequest(request, true) } else { context_of(request).map(Some) }
}

/// Makes nginx read the whole body, through those plugins that see it as it comes. nginx then runs the
/// phase again.
fn read_body(ctx: &RequestContext, loc: &LocConf) -> ngx_int_t {
    if mode_of(ctx, loc) == RequestBodyMode::Stream {
        ctx.stream_request_body();
    }
    ctx.request().read_body(on_body_read)
}

/// Runs `proxy_on_request_headers` of those plugins of this phase that have not seen the request
/// yet, up to one that holds the headers until it has seen the body.
fn request_headers(ctx: &RequestContext, loc: &LocConf, phase: Phase) -> Verdict {
    let request = ctx.request();
    if ctx.slots.iter().any(Slot::holds_headers) {
        return Verdict::Continue;
    }
    // A location has no line twice, so the slots that this loop adds need not be searched.
    let is_first = ctx.slots.is_empty();
    for attached in loc.lines_for(request).filter(|attached| attached.phase == phase) {
        let source = Source::Directive(attached.index);
        if !is_first && ctx.slots.find(source).is_some() {
            continue;
        }
        if ctx.must_wait(&attached.policy) {
            ctx.wait_for_instance();
            return Verdict::Pause;
        }
        let plugin = MainConf::of(request).contexts().get(attached.index);
        // Fields are counted only for a plugin that has the callback.
        let asks = plugin.plugin().has(Callback::OnRequestHeaders);
        let count = if asks { header_count(request, MapType::HttpRequestHeaders, Dialect::Envoy) } else { 0 };
        let (slot, verdict) = ctx.receive(source, plugin, &attached.policy, (count, !request.has_body()));
        match verdict {
            Verdict::Continue if !slot.holds_headers() => {}
            Verdict::Continue if comes_to(ctx, loc, slot) => return Verdict::Continue,
            Verdict::Continue | Verdict::Pause => {
                slot.release_headers();
                ctx.pause_request(slot.index());
                return Verdict::Pause;
            }
            verdict => return verdict,
        }
    }
    Verdict::Continue
}

/// Whether the body comes to a plugin that has the callback.
fn comes_to(ctx: &RequestContext, loc: &LocConf, slot: &Slot) -> bool {
    let mode = mode_of(ctx, loc);
    mode == RequestBodyMode::Stream || slot.wants_request_body(ctx.request(), mode)
}

/// Returns the next slot of this phase whose plugin is to see the body.
fn next_for_body<'a>(ctx: &'a RequestContext, loc: &LocConf, phase: Phase) -> Option<&'a Slot> {
    if !ctx.any_has(Callback::OnRequestBody) {
        return None;
    }
    let attached = loc.lines_for(ctx.request()).filter(|attached| attached.phase == phase);
    let mut slots = attached.filter_map(|attached| ctx.slots.find(Source::Directive(attached.index)));
    let mode = mode_of(ctx, loc);
    slots.find(|slot| slot.wants_request_body(ctx.request(), mode))
}

/// When plugins see the body. One that there is not, or that nginx has read for another location, does
/// not come any more.
fn mode_of(ctx: &RequestContext, loc: &LocConf) -> RequestBodyMode {
    let request = ctx.request();
    match loc.request_body(request) {
        RequestBodyMode::Stream if ctx.body_read.get() || !request.has_body() => RequestBodyMode::Whole,
        mode => mode,
    }
}

/// nginx calls this when it has read the whole body, perhaps before `read_body` returns.
extern "C" fn on_body_read(request: Request) {
    guard((), || body_read(request));
}

fn body_read(request: Request) {
    if let Some(ctx) = RequestContext::of(request) {
        ctx.body_read.set(true);
    }
    // SAFETY: nothing of the request is used afterwards.
    unsafe { request.run_phases() }
}

/// Runs `proxy_on_request_body` of each plugin of this phase that wants the body: once, with the
/// whole body, as the plugin before left it. Returns nginx's code if the request does not go on.
fn request_body(ctx: &RequestContext, loc: &LocConf, phase: Phase) -> Option<ngx_int_t> {
    while let Some(slot) = next_for_body(ctx, loc, phase) {
        let size = {
            let mut body = ctx.rare.make().request_body.borrow_mut();
            body.get_or_insert_with(|| Body::of(ctx.request().body())).size()
        };
        slot.see_request_body();
        match ctx.call(slot, |http| http.on_request_body(u32::try_from(size).unwrap_or(u32::MAX), true)) {
            Verdict::Continue => {}
            Verdict::Pause => {
                ctx.pause_request(slot.index());
                return Some(rc::DONE);
            }
            verdict => return Some(phase_result(ctx, verdict)),
        }
    }
    keep_body(ctx)
}

/// Gives nginx the request's body, which it has read, as the plugins left it, in the form that
/// nginx's own handlers expect. Returns nginx's code if it cannot.
fn keep_body(ctx: &RequestContext) -> Option<ngx_int_t> {
    let changed = ctx.take_request_body().filter(Body::is_changed).and_then(Body::into_bytes);
    let kept = match changed {
        Some(bytes) => ctx.request().set_body(&bytes),
        None => ctx.request().name_body_file(),
    };
    kept.err().map(Into::into)
}

extern "C" fn on_log(request: Request) -> ngx_int_t {
    if RequestContext::may_be_of(request) { finish_guarded(request) } else { rc::OK }
}

/// As [`rewrite_guarded`].
#[inline(never)]
extern "C" fn finish_guarded(request: Request) -> ngx_int_t {
    guard(rc::OK, || finish(request))
}

fn finish(request: Request) -> ngx_int_t {
    RequestContext::finish_of(request);
    rc::OK
}

/// Returns nginx's code for a verdict in a phase.
fn phase_result(ctx: &RequestContext, verdict: Verdict) -> ngx_int_t {
    if let Verdict::Pause = verdict {
        return rc::DONE;
    }
    // In a `post_action` the header is sent, but nothing of this location's.
    match verdict.ending(false) {
        None => rc::DECLINED,
        Some(Ending::Answer(answer)) => answer.send(ctx.request()),
        Some(Ending::Page(status)) => status as ngx_int_t,
        Some(Ending::Cut) => rc::CLOSE,
    }
}
