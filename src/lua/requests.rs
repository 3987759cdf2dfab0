//! The callbacks of a request that Lua drives.

use std::ffi::{c_char, c_int};

use ngx_bindings::Request;
use ngx_bindings::log::Level;
use ngx_bindings::pool::AllocError;
use proxy_wasm_host::abi::MapType;
use proxy_wasm_host::response::{end_by_driver, pause_by_driver};
use proxy_wasm_host::{Callback, Dialect};

use super::LuaPluginContext;
use super::waiting;
use crate::conf::{BodyMode, LocConf, RequestBodyMode};
use crate::context::{RequestContext, Slot, Verdict};
use crate::guard::guard;
use crate::host::header_count;
use crate::native;

/// What Lua is to do after a callback.
#[derive(Clone, Copy)]
#[repr(i32)]
pub enum Outcome {
    /// Lua runs outside a request: timers and init_worker_by_lua have only a fake one.
    NoRequest = -2,
    Error = -1,
    Continue = 0,
    /// Fetch the answer, then send it.
    Answer = 1,
    Pause = 2,
}

/// `proxy_on_request_headers`.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_on_http_request_headers(
    r: Option<Request<'_>>,
    context: &LuaPluginContext,
) -> c_int {
    guard(Outcome::Error, || on_request(r, context, request_headers)) as c_int
}

pub(super) fn request_headers(ctx: &RequestContext, plugin: &LuaPluginContext) -> Outcome {
    let request = ctx.request();
    let count = header_count(request, MapType::HttpRequestHeaders, Dialect::CModule);
    let (slot, outcome) = waiting::request_headers(ctx, plugin, count, !request.has_body());
    if LocConf::of(request).request_body == Some(RequestBodyMode::Whole)
        && slot.is_some_and(|slot| slot.has(Callback::OnRequestBody))
    {
        // APISIX reads the body, and runs the callback, if the plugin has set this variable.
        let _ = request.set_variable(b"wasm_process_req_body", b"true");
    }
    outcome
}

/// `proxy_on_response_headers`.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_on_http_response_headers(
    r: Option<Request<'_>>,
    context: &LuaPluginContext,
) -> c_int {
    guard(Outcome::Error, || on_http(r, context, response_headers)) as c_int
}

fn response_headers(ctx: &RequestContext, slot: &Slot) -> Verdict {
    let request = ctx.request();
    let count = header_count(request, MapType::HttpResponseHeaders, Dialect::CModule);
    let state = &ctx.response.state;
    state.enter_driver(slot.index());
    let verdict = ctx.call(slot, |http| http.on_response_headers(count, !ctx.expects_body()));
    state.leave_driver();
    if LocConf::of(request).response_body == Some(BodyMode::Always) && slot.has(Callback::OnResponseBody) {
        let _ = request.set_variable(b"wasm_process_resp_body", b"true");
    }
    let held_alone = slot.take_headers();
    // The variable is checked last, because finding it by name costs more than all the other checks.
    let wants_body = || request.variable(b"wasm_process_resp_body").is_some_and(|value| !value.is_empty());
    if slot.may_change_body() && ctx.expects_body() && wants_body() {
        // The header does not wait for the body, so it must not have a length that may change.
        request.set_content_length(None);
        request.forbid_ranges();
        let _ = ctx.response.validators.drop_changed(request, true);
    }
    let verdict = match verdict {
        // Of a header that waits for the body, Lua would bring no body.
        Verdict::Continue if held_alone && (slot.calls_pending() || !wants_body()) => Verdict::Pause,
        verdict => verdict,
    };
    let Verdict::Pause = verdict else { return verdict };
    if request.is_answered_by_filter() {
        let plugin = slot.plugin_name();
        let line =
            format_args!("plugin \"{plugin}\" cannot hold a page of nginx's own filters: nginx does not wait for it");
        request.log().print(Level::Error, line);
    } else {
        pause_by_driver(ctx, slot);
    }
    Verdict::Continue
}

/// Runs callbacks in a phase that cannot wait. They run in the slot that the request has for a
/// PluginContext of Lua's; the slot is made if needed.
pub(super) fn on_http(
    r: Option<Request>,
    context: &LuaPluginContext,
    callback: impl FnOnce(&RequestContext, &Slot) -> Verdict,
) -> Outcome {
    on_request(r, context, |ctx, plugin| {
        if ctx.response.state.is_cut() || ctx.response.state.is_over_for_driver() {
            return Outcome::Continue;
        }
        let verdict = slot_of(ctx, plugin).map_or_else(|verdict| verdict, |slot| callback(ctx, slot));
        let outcome = match verdict {
            Verdict::Continue | Verdict::Answer(_) => Outcome::Continue,
            Verdict::Pause | Verdict::PauseByWatermark => Outcome::Pause,
            Verdict::Fail | Verdict::Close => Outcome::Error,
        };
        end_by_driver(ctx, verdict);
        outcome
    })
}

/// Returns the slot that the request has for a PluginContext of Lua's, and makes it if needed. If
/// that fails, returns the verdict.
fn slot_of<'a>(ctx: &'a RequestContext, plugin: &LuaPluginContext) -> Result<&'a Slot, Verdict> {
    let source = plugin.source();
    ctx.slots.find(source).map_or_else(|| ctx.open(source, &plugin.context, &plugin.policy), Ok)
}

/// As [`on_http`], but `run` itself decides what Lua is to do.
pub(super) fn on_http_outcome(
    r: Option<Request>,
    context: &LuaPluginContext,
    run: impl FnOnce(&RequestContext, &Slot) -> Outcome,
) -> Outcome {
    on_request(r, context, |ctx, plugin| match slot_of(ctx, plugin) {
        Ok(slot) => run(ctx, slot),
        Err(Verdict::Continue) => Outcome::Continue,
        Err(_) => Outcome::Error,
    })
}

/// Runs code that needs a request and a PluginContext of Lua's. The request may have no slot for it
/// yet.
pub(super) fn on_request(
    r: Option<Request>,
    plugin: &LuaPluginContext,
    run: impl FnOnce(&RequestContext, &LuaPluginContext) -> Outcome,
) -> Outcome {
    let Some(request) = r.filter(is_real) else {
        return Outcome::NoRequest;
    };
    match native::context_of(request) {
        Ok(ctx) => run(ctx, plugin),
        Err(AllocError) => Outcome::Error,
    }
}

/// Answers false for a fake request, in which Lua runs timers.
pub(super) fn is_real(request: &Request) -> bool {
    !request.is_fake()
}

/// Puts the answer's header fields into the response, and returns its status and body to Lua. The
/// body lives as long as the request. Answers -1 if there is no answer.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_local_response(
    r: Option<Request<'_>>,
    body: &mut *const c_char,
    body_len: &mut usize,
) -> c_int {
    guard(-1, || local_response(r, body, body_len).unwrap_or(-1))
}

fn local_response(r: Option<Request>, body: &mut *const c_char, body_len: &mut usize) -> Option<c_int> {
    let request = r?;
    let answer = RequestContext::of(request)?.take_answer()?;
    answer.set_header(request).ok()?;
    let kept = request.pool().copy(&answer.body).ok()?;
    *body = kept.data.cast();
    *body_len = kept.len;
    Some(answer.status as c_int)
}
