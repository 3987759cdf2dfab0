//! The body callbacks of a request that Lua drives: Lua passes the body, and takes it back if a plugin changed it.

use std::ffi::{c_char, c_int};

use ngx_bindings::Request;
use ngx_bindings::log::Level;
use ngx_bindings::sys::ngx_http_request_t;

use super::requests::{Outcome, on_http, on_http_outcome};
use super::waiting;
use super::{LuaPluginContext, bytes};
use crate::nginx::body::Body;
use crate::nginx::guard::guard;
use crate::nginx::host::trailer_count;
use crate::nginx::request::{RequestContext, Verdict};
use crate::proxy_wasm::Callback;

/// `proxy_on_request_body`.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_on_http_request_body(
    r: *mut ngx_http_request_t,
    context: *const LuaPluginContext,
    body: *const c_char,
    body_len: usize,
    end_of_body: c_int,
) -> c_int {
    // SAFETY: Lua passes the running request, a plugin context it holds, and a string of its own with its length.
    unsafe {
        let body = bytes(body, body_len);
        on_http_outcome(r, context, |ctx, slot| {
            if !ctx.has(slot, Callback::OnRequestBody) {
                return Outcome::Continue;
            }
            *ctx.request_body.borrow_mut() = Some(Body::copied(body.to_vec(), false));
            waiting::run(ctx, slot, |http| http.on_request_body(size(body), end_of_body != 0))
        })
    }
}

/// `proxy_on_response_body`. What the plugin pauses on is kept, and comes back before the next piece.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_on_http_response_body(
    r: *mut ngx_http_request_t,
    context: *const LuaPluginContext,
    body: *const c_char,
    body_len: usize,
    end_of_body: c_int,
) -> c_int {
    // SAFETY: as above.
    unsafe {
        let body = bytes(body, body_len);
        on_http(r, context, |ctx, slot| response_body(ctx, slot, body, end_of_body != 0))
    }
}

fn response_body(ctx: &RequestContext, slot: usize, body: &[u8], end_of_body: bool) -> Verdict {
    if !ctx.has(slot, Callback::OnResponseBody) {
        return Verdict::Continue;
    }
    let mut whole = ctx.response.take_kept(slot);
    let changed = !whole.is_empty();
    whole.extend_from_slice(body);
    let whole_size = size(&whole);
    *ctx.response.body.borrow_mut() = Some(Body::copied(whole, changed));
    let verdict = ctx.call(slot, |http| http.on_response_body(whole_size, end_of_body));
    match verdict {
        Verdict::Continue if end_of_body => response_trailers(ctx, slot),
        Verdict::Pause if end_of_body => {
            // Lua cannot wait in a body filter.
            ctx.request().log().print(Level::Error, format_args!("a plugin paused at the end of the response"));
            Verdict::Continue
        }
        Verdict::Pause => {
            let held = ctx.response.body.take().and_then(Body::into_bytes).unwrap_or_default();
            let limit = ctx.body_buffer_size(slot);
            if held.len() > limit {
                let line = format_args!("a plugin holds more of the response than wasm_body_buffer_size ({limit})");
                ctx.request().log().print(Level::Error, line);
                return Verdict::Fail;
            }
            ctx.response.keep(slot, held);
            Verdict::Pause
        }
        verdict => verdict,
    }
}

/// `proxy_on_response_trailers`: Lua has no word for it, so it comes with the end of the body.
fn response_trailers(ctx: &RequestContext, slot: usize) -> Verdict {
    let count = trailer_count(ctx.request());
    if count == 0 {
        return Verdict::Continue;
    }
    match ctx.call(slot, |http| http.on_response_trailers(count)) {
        Verdict::Pause => {
            ctx.request().log().print(Level::Error, format_args!("a plugin paused at the end of the response"));
            Verdict::Continue
        }
        verdict => verdict,
    }
}

/// What a plugin made of the body that Lua passed: 1, and the bytes, which stay until the next callback; 0 if it is unchanged.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_changed_body(
    r: *mut ngx_http_request_t,
    body: *mut *const c_char,
    body_len: *mut usize,
) -> c_int {
    guard(0, || {
        // SAFETY: Lua passes the running request.
        let Some(ctx) = unsafe { Request::from_ptr(r) }.and_then(RequestContext::of) else {
            return 0;
        };
        let passed = ctx.request_body.take().or_else(|| ctx.response.body.take());
        let Some(bytes) = passed.filter(Body::is_changed).and_then(Body::into_bytes) else {
            return 0;
        };
        let mut kept = ctx.for_lua.borrow_mut();
        *kept = bytes;
        // SAFETY: Lua passes places for both.
        unsafe {
            *body = kept.as_ptr().cast();
            *body_len = kept.len();
        }
        1
    })
}

/// As the ABI counts bytes.
fn size(body: &[u8]) -> u32 {
    u32::try_from(body.len()).unwrap_or(u32::MAX)
}
