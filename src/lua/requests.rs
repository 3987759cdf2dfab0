//! The callbacks of a request that Lua drives.

use std::ffi::{c_char, c_int};

use ngx_bindings::Request;
use ngx_bindings::pool::AllocError;
use ngx_bindings::sys::ngx_http_request_t;
use proxy_wasm_host::Callback;
use proxy_wasm_host::abi::MapType;

use super::LuaPluginContext;
use super::waiting;
use crate::conf::{BodyMode, LocConf};
use crate::context::{Answer, RequestContext, Slot, Verdict};
use crate::guard::guard;
use crate::host::header_count;
use crate::native::{self, response};

/// What a callback wants Lua to do.
#[derive(Clone, Copy)]
#[repr(i32)]
pub enum Outcome {
    /// There is no request: what timers and init_worker_by_lua run in is none.
    NoRequest = -2,
    Error = -1,
    Continue = 0,
    /// Fetch the answer and send it.
    Answer = 1,
    Pause = 2,
}

/// `proxy_on_request_headers`.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_on_http_request_headers(
    r: *mut ngx_http_request_t,
    context: *const LuaPluginContext,
) -> c_int {
    // SAFETY: Lua passes the running request and a plugin context it holds.
    unsafe {
        on_request(r, context, |ctx, plugin| {
            let request = ctx.request();
            let count = header_count(request, MapType::HttpRequestHeaders);
            let (slot, outcome) = waiting::request_headers(ctx, plugin, count, !request.has_body());
            if LocConf::of(request).request_body == Some(BodyMode::Always) && slot.has(Callback::OnRequestBody) {
                // APISIX reads the body, and runs the callback, where the plugin has set this variable of its.
                let _ = request.set_variable(b"wasm_process_req_body", b"true");
            }
            outcome
        })
    }
}

/// `proxy_on_response_headers`.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_on_http_response_headers(
    r: *mut ngx_http_request_t,
    context: *const LuaPluginContext,
) -> c_int {
    // SAFETY: as above.
    unsafe {
        on_http(r, context, |ctx, slot| {
            let request = ctx.request();
            let count = header_count(request, MapType::HttpResponseHeaders);
            let verdict = ctx.call(slot, |http| http.on_response_headers(count, !ctx.expects_body()));
            if LocConf::of(request).response_body == Some(BodyMode::Always) && slot.has(Callback::OnResponseBody) {
                let _ = request.set_variable(b"wasm_process_resp_body", b"true");
            }
            // The variable last: looking it up by name costs more than all the rest.
            let wants_body = || request.variable(b"wasm_process_resp_body").is_some_and(|value| !value.is_empty());
            if slot.may_change_body() && ctx.expects_body() && wants_body() {
                // Lua has no way to hold the header back, so it cannot say a length that may change.
                request.set_content_length(None);
                request.forbid_ranges();
                let _ = ctx.response.validators.drop_changed(request, true);
            }
            match verdict {
                Verdict::Answer(answer) => response::answer_later(ctx, *answer),
                // Nor can it hold the response: what waits for a call goes on, and the call's response finds it gone.
                Verdict::Pause => Verdict::Continue,
                verdict => verdict,
            }
        })
    }
}

/// Runs callbacks of the slot that the request has, or gets, for a plugin context of Lua's, in a phase that cannot wait.
///
/// # Safety
///
/// `r` is a valid request and `context` what `on_configure` answered.
pub(super) unsafe fn on_http(
    r: *mut ngx_http_request_t,
    context: *const LuaPluginContext,
    callback: impl FnOnce(&RequestContext, &Slot) -> Verdict,
) -> c_int {
    // SAFETY: by this function's contract.
    unsafe {
        on_request(r, context, |ctx, plugin| {
            if ctx.response.is_cut() {
                return Outcome::Continue;
            }
            match slot_of(ctx, plugin).map_or_else(|verdict| verdict, |slot| callback(ctx, slot)) {
                Verdict::Continue => Outcome::Continue,
                Verdict::Pause => Outcome::Pause,
                // The header is sent: no answer can take the response's place.
                Verdict::Answer(_) => {
                    response::cut_in_lua(ctx);
                    Outcome::Continue
                }
                Verdict::Fail => {
                    response::fail_in_lua(ctx);
                    Outcome::Error
                }
                Verdict::Close => {
                    response::cut_in_lua(ctx);
                    Outcome::Error
                }
            }
        })
    }
}

/// The slot that the request has, or gets, for a plugin context of Lua's; or what is to be done without.
fn slot_of<'a>(ctx: &'a RequestContext, plugin: &LuaPluginContext) -> Result<&'a Slot, Verdict> {
    let source = plugin.source();
    ctx.slots.find(source).map_or_else(|| ctx.open(source, &plugin.context, plugin.policy), Ok)
}

/// As [`on_http`], where `run` says what Lua is to do.
///
/// # Safety
///
/// As [`on_http`].
pub(super) unsafe fn on_http_outcome(
    r: *mut ngx_http_request_t,
    context: *const LuaPluginContext,
    run: impl FnOnce(&RequestContext, &Slot) -> Outcome,
) -> c_int {
    // SAFETY: by this function's contract.
    unsafe {
        on_request(r, context, |ctx, plugin| match slot_of(ctx, plugin) {
            Ok(slot) => run(ctx, slot),
            Err(Verdict::Continue) => Outcome::Continue,
            Err(_) => Outcome::Error,
        })
    }
}

/// Runs what needs a request, and a plugin context of Lua's, for which it may have no slot yet.
///
/// # Safety
///
/// As [`on_http`].
unsafe fn on_request(
    r: *mut ngx_http_request_t,
    context: *const LuaPluginContext,
    run: impl FnOnce(&RequestContext, &LuaPluginContext) -> Outcome,
) -> c_int {
    let outcome = guard(Outcome::Error, || {
        // SAFETY: by this function's contract.
        let (request, plugin) = unsafe { (Request::from_ptr(r), &*context) };
        let Some(request) = request.filter(|request| !request.is_fake()) else {
            return Outcome::NoRequest;
        };
        let Ok(ctx) = native::context_of(request) else {
            return Outcome::Error;
        };
        run(ctx, plugin)
    });
    outcome as c_int
}

/// Puts the header fields of the answer into the response and tells Lua the rest: its status, and its body, which lives as long as
/// the request. -1 if there is no answer.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_local_response(
    r: *mut ngx_http_request_t,
    body: *mut *const c_char,
    body_len: *mut usize,
) -> c_int {
    guard(-1, || {
        // SAFETY: Lua passes the running request.
        let request = unsafe { Request::from_ptr(r) };
        let Some((request, answer)) =
            request.and_then(|request| Some((request, RequestContext::of(request)?.take_answer()?)))
        else {
            return -1;
        };
        let Ok((data, len)) = prepare(request, &answer) else {
            return -1;
        };
        // SAFETY: Lua passes places for both.
        unsafe {
            *body = data;
            *body_len = len;
        }
        answer.status as c_int
    })
}

fn prepare(request: Request, answer: &Answer) -> Result<(*const c_char, usize), AllocError> {
    answer.set_header(request)?;
    let body = request.pool().copy(&answer.body)?;
    Ok((body.data.cast(), body.len))
}
