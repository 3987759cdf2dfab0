//! The body callbacks of a request that Lua drives. Lua passes the body, and takes it back if a
//! plugin changed it.

use std::ffi::{c_char, c_int};

use ngx_bindings::Request;
use ngx_bindings::log::Level;
use proxy_wasm_host::Callback;

use super::requests::{Outcome, on_http, on_http_outcome};
use super::waiting;
use super::{LuaPluginContext, bytes};
use crate::context::{Body, HeldPiece, Hold, RequestContext, Slot, Verdict};
use crate::guard::guard;
use crate::host::trailer_count;
use crate::native::response;

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
    *ctx.request_body.borrow_mut() = Some(Body::copied(body.to_vec(), false));
    waiting::run(ctx, slot, |http| http.on_request_body(size(body), end_of_body))
}

/// `proxy_on_response_body`. If the plugin pauses, the module keeps the piece, and Lua passes
/// nothing on, not even the end of the body. If a plugin answered in the header filter, no plugin
/// sees the answer's body.
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
    if ctx.response.is_answered_in_lua() {
        return Verdict::Continue;
    }
    ctx.response.begin_in_lua();
    // The request's body may be left over: Lua does not fetch it after a failure or an answer.
    drop(ctx.request_body.take());
    let HeldPiece { bytes: mut kept, hold, held } = ctx.response.kept.take(slot.index());
    match hold {
        Hold::End => {
            // Another plugin resumed; this one still keeps its bytes.
            kept.extend_from_slice(body);
            ctx.response.kept.put(slot.index(), HeldPiece { bytes: kept, hold, held });
            Verdict::Pause
        }
        Hold::Done => {
            kept.extend_from_slice(body);
            pass_on(ctx, kept, true);
            ctx.response.kept.put(slot.index(), HeldPiece { bytes: Vec::new(), hold, held: None });
            Verdict::Continue
        }
        // A plugin that failed keeps nothing any more.
        Hold::Until | Hold::LetGo if !slot.has(Callback::OnResponseBody) => {
            if !kept.is_empty() {
                kept.extend_from_slice(body);
                pass_on(ctx, kept, true);
            }
            Verdict::Continue
        }
        Hold::LetGo => match see(ctx, slot, body.to_vec(), false, end_of_body) {
            // The end of the body, and the bytes before it, are kept as one piece.
            Verdict::Pause if end_of_body => {
                let HeldPiece { bytes, hold, held } = ctx.response.kept.take(slot.index());
                kept.extend_from_slice(&bytes);
                ctx.response.kept.put(slot.index(), HeldPiece { bytes: kept, hold, held });
                Verdict::Pause
            }
            verdict => {
                let seen = ctx.response.body.take().and_then(Body::into_bytes).unwrap_or_default();
                kept.extend_from_slice(&seen);
                pass_on(ctx, kept, true);
                if matches!(verdict, Verdict::Pause) { Verdict::Continue } else { verdict }
            }
        },
        Hold::Until => {
            let changed = !kept.is_empty();
            kept.extend_from_slice(body);
            see(ctx, slot, kept, changed, end_of_body)
        }
    }
}

/// Leaves bytes for Lua, which passes them on.
fn pass_on(ctx: &RequestContext, bytes: Vec<u8>, changed: bool) {
    *ctx.response.body.borrow_mut() = Some(Body::copied(bytes, changed));
}

/// Runs the callback on a piece, and keeps the piece if the plugin pauses.
fn see(ctx: &RequestContext, slot: &Slot, piece: Vec<u8>, changed: bool, end_of_body: bool) -> Verdict {
    let piece_size = size(&piece);
    pass_on(ctx, piece, changed);
    let verdict = match ctx.call(slot, |http| http.on_response_body(piece_size, end_of_body)) {
        Verdict::Continue if end_of_body => response_trailers(ctx, slot),
        verdict => verdict,
    };
    match verdict {
        // nginx reports the end of a subrequest to whoever waits for it, whatever is held back: the
        // request would wait for a subrequest that nobody takes on.
        Verdict::Pause if end_of_body && ctx.request().is_subrequest() => {
            let line = format_args!("plugin \"{}\" cannot hold the end of a subrequest's response", slot.plugin_name());
            ctx.request().log().print(Level::Error, line);
            ctx.response.kept.put(slot.index(), HeldPiece { bytes: Vec::new(), hold: Hold::Done, held: None });
            Verdict::Continue
        }
        Verdict::Pause => {
            let bytes = ctx.response.body.take().and_then(Body::into_bytes).unwrap_or_default();
            let limit = slot.body_buffer_size();
            let held = slot.memory().take(bytes.len()).ok();
            if bytes.len() > limit || held.is_none() {
                let name = slot.plugin_name();
                let size = bytes.len();
                let line = format_args!(
                    "plugin \"{name}\" holds {size} bytes of a response, more than wasm_body_buffer_size ({limit})"
                );
                ctx.request().log().print(Level::Error, line);
                // The client must get no further byte, which would look like the rest of the body.
                response::cut_in_lua(ctx);
                return Verdict::Pause;
            }
            let hold = if end_of_body { Hold::End } else { Hold::Until };
            ctx.response.kept.put(slot.index(), HeldPiece { bytes, hold, held });
            if end_of_body {
                ctx.request().set_buffered(true);
                ctx.pause_response();
            }
            Verdict::Pause
        }
        verdict => {
            if end_of_body {
                ctx.response.kept.put(slot.index(), HeldPiece { bytes: Vec::new(), hold: Hold::Done, held: None });
            }
            verdict
        }
    }
}

/// Runs `proxy_on_response_trailers`. Lua has no function for trailers, so the callback runs with
/// the end of the body.
fn response_trailers(ctx: &RequestContext, slot: &Slot) -> Verdict {
    let count = trailer_count(ctx.request());
    if count == 0 {
        return Verdict::Continue;
    }
    ctx.call(slot, |http| http.on_response_trailers(count))
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
    let passed = ctx.request_body.take().or_else(of_response);
    let bytes = passed.filter(Body::is_changed).and_then(Body::into_bytes)?;
    let mut kept = ctx.for_lua.make().borrow_mut();
    *kept = bytes;
    *body = kept.as_ptr().cast();
    *body_len = kept.len();
    Some(())
}

/// The length of a body, as the ABI counts bytes.
fn size(body: &[u8]) -> u32 {
    u32::try_from(body.len()).unwrap_or(u32::MAX)
}
