//! The body callbacks of a request that Lua drives. Lua passes the body, and takes it back if a
//! plugin changed it.

use std::ffi::{c_char, c_int};

use ngx_bindings::Request;
use proxy_wasm_host::Callback;
use proxy_wasm_host::response::offer;

use super::requests::{Outcome, on_http, on_http_outcome};
use super::waiting;
use super::{LuaPluginContext, bytes};
use crate::context::{Body, Piece, RequestContext, Slot, Verdict};
use crate::guard::guard;

/// `proxy_on_request_body`.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_on_http_request_body(
    r: Option<Request<'_>>,
    context: &LuaPluginContext,
    body: *const c_char,
    body_len: usize,
    end_of_body: c_int,
) -> c_int {
    // SAFETY: Lua passes a string of its own with its length.
    let body = unsafe { bytes(body, body_len) };
    let run = |ctx: &RequestContext, slot: &Slot| request_body(ctx, slot, body, end_of_body != 0);
    guard(Outcome::Error, || on_http_outcome(r, context, run)) as c_int
}

fn request_body(ctx: &RequestContext, slot: &Slot, body: &[u8], end_of_body: bool) -> Outcome {
    if !slot.has(Callback::OnRequestBody) {
        return Outcome::Continue;
    }
    *ctx.rare.make().request_body.borrow_mut() = Some(Body::copied(body.to_vec(), false));
    waiting::run(ctx, slot, |http| http.on_request_body(size(body), end_of_body))
}

/// `proxy_on_response_body`. If the plugin pauses, the module keeps the piece, and Lua passes
/// nothing on, not even the end of the body.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_on_http_response_body(
    r: Option<Request<'_>>,
    context: &LuaPluginContext,
    body: *const c_char,
    body_len: usize,
    end_of_body: c_int,
) -> c_int {
    // SAFETY: as above.
    let body = unsafe { bytes(body, body_len) };
    let run = |ctx: &RequestContext, slot: &Slot| response_body(ctx, slot, body, end_of_body != 0);
    guard(Outcome::Error, || on_http(r, context, run)) as c_int
}

fn response_body(ctx: &RequestContext, slot: &Slot, body: &[u8], end_of_body: bool) -> Verdict {
    // The request's body may be left over: Lua does not fetch it after a failure or an answer.
    drop(ctx.take_request_body());
    let (verdict, passed) = offer(ctx, slot, || Piece::of_lua(body, end_of_body));
    if let Some(piece) = passed {
        // Left for Lua, which passes it on.
        *ctx.response.body.borrow_mut() = Some(piece.body);
    }
    verdict
}

/// Returns what a plugin made of the body that Lua passed: 1 and the bytes, which stay until the
/// next callback, or 0 if the body is unchanged.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_changed_body(
    r: Option<Request<'_>>,
    body: &mut *const c_char,
    body_len: &mut usize,
) -> c_int {
    guard(0, || changed_body(r, body, body_len).map_or(0, |()| 1))
}

fn changed_body(r: Option<Request>, body: &mut *const c_char, body_len: &mut usize) -> Option<()> {
    let ctx = r.and_then(RequestContext::of)?;
    // A response without a body must not get one: the client would take bytes after the header for
    // the next response.
    let of_response = || ctx.response.body.take().filter(|_| ctx.request().expects_body());
    let passed = ctx.take_request_body().or_else(of_response);
    let bytes = passed.filter(Body::is_changed).and_then(Body::into_bytes)?;
    let mut kept = ctx.rare.make().for_lua.borrow_mut();
    *kept = bytes;
    *body = kept.as_ptr().cast();
    *body_len = kept.len();
    Some(())
}

/// The length of a body, as the ABI counts bytes.
fn size(body: &[u8]) -> u32 {
    u32::try_from(body.len()).unwrap_or(u32::MAX)
}
