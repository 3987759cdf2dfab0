//! The HTTP calls of a request that Lua makes through `resty.http`, so that APISIX's name
//! resolution, trusted certificates and keepalive pools apply to them.
//!
//! Such a call is a task like any other, and is cancelled in the same way. Only its response comes
//! from a light thread of Lua's, which asks here for calls to make. Lua does so where its thread
//! may wait for a plugin. Everywhere else (the response's phases, the log phase, configure, ticks),
//! and for calls that `resty.http` cannot make, the worker's own client makes the call.

use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;
use std::rc::Rc;

use ngx_bindings::Request;
use proxy_wasm_host::HttpCallResponse;
use proxy_wasm_host::pairs::PairsBuf;

use super::{bytes, with_current};
use crate::calls::{Client, Outgoing};
use crate::context::{CallDescription, LuaCall, LuaCalls, Reply, RequestContext};
use crate::guard::guard;

/// Bytes that Lua reads. Lua's FFI may already know `ngx_str_t` from another file, so this type has
/// a name of its own.
#[repr(C)]
struct Text {
    data: *const c_char,
    len: usize,
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr().cast(), len: bytes.len() }
    }
}

/// `ngx_http_proxy_wasm_call_t` of the Lua file.
#[repr(C)]
struct CallToMake {
    id: u32,
    /// The timeout in milliseconds.
    timeout: u32,
    /// The port; 0 for a socket in the file system.
    port: u32,
    ssl_verify: c_int,
    response_limit: usize,
    method: Text,
    host: Text,
    path: Text,
    fields: Text,
    body: Text,
    /// The name for TLS; empty without TLS.
    ssl_server_name: Text,
}

/// Describes the next call that Lua is to make. The description stays valid until the next one.
/// Answers 0 if there is no call.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_next_call(
    r: Option<Request<'_>>,
    call: &mut MaybeUninit<CallToMake>,
) -> c_int {
    guard(0, || next_call(r, call).map_or(0, |()| 1))
}

fn next_call(r: Option<Request>, call: &mut MaybeUninit<CallToMake>) -> Option<()> {
    let calls = calls_of(r)?;
    let next = calls.next()?;
    let (description, to_make) = with_current(|main| describe(next, main.client())).flatten()?;
    calls.keep_description(description);
    call.write(to_make);
    Some(())
}

fn describe(call: Rc<LuaCall>, client: &Client) -> Option<(CallDescription, CallToMake)> {
    let description = CallDescription::new(call)?;
    let LuaCall { id, call, .. } = &*description.call;
    let to_make = CallToMake {
        id: *id,
        timeout: call.timeout,
        port: description.port.into(),
        ssl_verify: call.tls.as_ref().is_some_and(|tls| tls.verify).into(),
        response_limit: client.response_limit(),
        method: call.method().as_bytes().into(),
        host: description.host.as_bytes().into(),
        path: call.path().as_bytes().into(),
        fields: description.fields[..].into(),
        body: call.body().into(),
        ssl_server_name: call.tls.as_ref().map_or("", |tls| &tls.name).as_bytes().into(),
    };
    Some((description, to_make))
}

/// Reports the response to a call that Lua made. It does nothing if the call was cancelled.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_call_answered(
    r: Option<Request<'_>>,
    id: u32,
    status: u32,
    fields: *const c_char,
    fields_len: usize,
    body: *const c_char,
    body_len: usize,
) {
    // SAFETY: Lua passes a string of its own with its length.
    let fields = unsafe { bytes(fields, fields_len) };
    // SAFETY: as above.
    let body = unsafe { bytes(body, body_len) };
    let kept = |call: &Outgoing| match call.keep(fields.len() + body.len()) {
        Ok(()) => Reply::Response(response(status, fields, body)),
        Err(error) => Reply::Failed(error.to_string()),
    };
    guard((), || reply(r, id, kept));
}

/// Reports why a call that Lua made failed, in words.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_call_failed(
    r: Option<Request<'_>>,
    id: u32,
    reason: *const c_char,
    reason_len: usize,
) {
    // SAFETY: Lua passes a string of its own with its length.
    let reason = unsafe { bytes(reason, reason_len) };
    guard((), || reply(r, id, |_| Reply::Failed(String::from_utf8_lossy(reason).into_owned())));
}

/// Declines a call: the worker's client makes it.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_call_declined(r: Option<Request<'_>>, id: u32) {
    guard((), || reply(r, id, |_| Reply::Declined));
}

fn reply(r: Option<Request>, id: u32, reply: impl FnOnce(&Outgoing) -> Reply) {
    if let Some(calls) = calls_of(r) {
        calls.reply(id, reply);
    }
}

fn calls_of(r: Option<Request<'_>>) -> Option<&LuaCalls> {
    Some(&RequestContext::of(r?)?.lua_thread.calls)
}

fn response(status: u32, fields: &[u8], body: &[u8]) -> HttpCallResponse {
    let mut headers = PairsBuf::default();
    headers.push(b":status", status.to_string().as_bytes());
    for line in fields.split(|&byte| byte == b'\n') {
        if let Some(colon) = line.iter().position(|&byte| byte == b':') {
            headers.push(&line[..colon].to_ascii_lowercase(), &line[colon + 1..]);
        }
    }
    HttpCallResponse { headers, body: body.to_vec(), ..HttpCallResponse::default() }
}
