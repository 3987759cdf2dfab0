//! The HTTP calls of a request that Lua makes, through `resty.http`: so that APISIX's name resolution, its trusted certificates and
//! its keepalive pools apply to them.
//!
//! Such a call is a task as any other, and what ends it is the same. Only its response comes from elsewhere: a light thread of
//! Lua's, which has asked here for calls to make. Lua asks where its thread may wait for a plugin. From everywhere else (the
//! response's phases, the log phase, configure, ticks) the worker's own client calls; and so it does where `resty.http` cannot.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::{c_char, c_int};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use ngx_bindings::Request;
use ngx_bindings::resolver::Resolver;
use ngx_bindings::sys::ngx_http_request_t;
use proxy_wasm_host::pairs::PairsBuf;
use proxy_wasm_host::state::HttpCallResponse;

use super::{bytes, current};
use crate::calls::{CallError, Client, OnQuit, Outgoing, Place, Target, timeout};
use crate::guard::guard;
use crate::rarely::Rarely;
use crate::request::RequestContext;

/// The calls of one request that Lua makes. It holds none of them: they end with their tasks.
#[derive(Default)]
pub struct LuaCalls {
    /// The slot whose plugin Lua's thread waits for, or is about to.
    slot: Cell<Option<usize>>,
    work: Rarely<Work>,
}

/// What there is to do for Lua, and what it does.
#[derive(Default)]
struct Work {
    /// Lua has not asked for these yet.
    queued: RefCell<VecDeque<Weak<LuaCall>>>,
    /// These it makes: few, and none in most requests.
    under_way: RefCell<Vec<Weak<LuaCall>>>,
    /// What Lua reads a description from, until it asks for the next.
    described: RefCell<Option<Description>>,
}

impl LuaCalls {
    /// From now on Lua makes the calls of that slot's plugin.
    pub fn serve(&self, slot: usize) {
        self.slot.set(Some(slot));
    }

    /// Lua's thread goes on, and looks for no more calls.
    pub fn stop(&self) {
        self.slot.set(None);
    }

    /// Has Lua make a call; `None` if it will not, or cannot: `resty.http` sends no trailers, knows no `upstream` blocks, and
    /// speaks no TLS over a socket in the file system.
    pub fn queue(&self, slot: usize, id: u32, call: &Rc<Outgoing>, client: &Client) -> Option<Rc<LuaCall>> {
        let can_be_made = match call.target {
            Target::Upstream(_) => false,
            Target::Unix(_) => call.tls_name.is_none(),
            Target::Host(..) | Target::Ip(..) => true,
        };
        if self.slot.get() != Some(slot) || !can_be_made || call.has_trailers() {
            return None;
        }
        // Lua's thread does not wait for a connection to become free; the worker's own client does.
        let places = client.try_places(call.memory())?;
        let call = Rc::clone(call);
        let call = Rc::new(LuaCall {
            id,
            call,
            reply: Cell::default(),
            waker: Cell::default(),
            places: Cell::new(Some(places)),
        });
        self.work.make().queued.borrow_mut().push_back(Rc::downgrade(&call));
        Some(call)
    }

    fn next(&self) -> Option<Rc<LuaCall>> {
        let work = self.work.get()?;
        // Some may have been cancelled.
        let call = std::iter::from_fn(|| work.queued.borrow_mut().pop_front()).find_map(|call| call.upgrade())?;
        work.under_way.borrow_mut().push(Rc::downgrade(&call));
        Some(call)
    }

    fn reply(&self, id: u32, reply: impl FnOnce(&Outgoing) -> Reply) {
        let Some(work) = self.work.get() else { return };
        let call = {
            let mut under_way = work.under_way.borrow_mut();
            // One that was cancelled is gone from the moment on.
            under_way.retain(|call| call.strong_count() > 0);
            let position = under_way.iter().position(|call| call.upgrade().is_some_and(|call| call.id == id));
            position.and_then(|position| under_way.swap_remove(position).upgrade())
        };
        if let Some(call) = call {
            call.reply.set(Some(reply(&call.call)));
            if let Some(waker) = call.waker.take() {
                waker.wake();
            }
        }
    }
}

/// A call that Lua makes.
pub struct LuaCall {
    id: u32,
    call: Rc<Outgoing>,
    reply: Cell<Option<Reply>>,
    waker: Cell<Option<Waker>>,
    /// Until it is declined.
    places: Cell<Option<(Place, Place)>>,
}

enum Reply {
    Response(HttpCallResponse),
    /// In the words of `resty.http`.
    Failed(String),
    /// There is no `resty.http`.
    Declined,
}

impl LuaCall {
    /// What comes of it, within the call's timeout; made by `client`, if Lua declines.
    pub async fn response(&self, client: &Client, resolver: Option<Resolver>) -> Result<HttpCallResponse, CallError> {
        let reply = poll_fn(|cx| match self.reply.take() {
            Some(reply) => Poll::Ready(reply),
            None => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        });
        match timeout(self.call.timeout, OnQuit::Wait, reply).await {
            Some(Reply::Response(response)) => Ok(response),
            Some(Reply::Failed(reason)) => Err(CallError::Lua(reason)),
            Some(Reply::Declined) => {
                drop(self.places.take());
                client.call(&self.call, resolver, OnQuit::Wait).await
            }
            None => Err(CallError::Timeout),
        }
    }
}

/// What Lua is told of a call, where it does not lie in the call itself.
struct Description {
    call: Rc<LuaCall>,
    host: String,
    port: u16,
    /// A line each, as `name:value`.
    fields: Vec<u8>,
}

impl Description {
    fn new(call: Rc<LuaCall>) -> Option<Self> {
        let (host, port) = call.call.target.host_and_port(call.call.default_port())?;
        let mut fields = Vec::new();
        for (name, value) in call.call.headers() {
            fields.extend_from_slice(&[name.as_str().as_bytes(), b":", value.as_bytes(), b"\n"].concat());
        }
        Some(Self { call, host, port, fields })
    }
}

/// Bytes that Lua reads. It has `ngx_str_t` from elsewhere, if at all.
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
    /// In milliseconds.
    timeout: u32,
    /// 0 for a socket in the file system.
    port: u32,
    ssl_verify: c_int,
    response_limit: usize,
    method: Text,
    host: Text,
    path: Text,
    fields: Text,
    body: Text,
    /// Empty without TLS.
    ssl_server_name: Text,
}

/// The next call that Lua is to make, which is described until the one after; 0 if there is none.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_next_call(r: *mut ngx_http_request_t, call: *mut CallToMake) -> c_int {
    guard(0, || {
        // SAFETY: Lua passes the running request, and a place.
        let described = unsafe { calls_of(r) }.and_then(|calls| Some((calls, describe(calls.next()?)?)));
        let Some((calls, (description, to_make))) = described else { return 0 };
        calls.work.make().described.replace(Some(description));
        // SAFETY: as above.
        unsafe { call.write(to_make) };
        1
    })
}

fn describe(call: Rc<LuaCall>) -> Option<(Description, CallToMake)> {
    let client = current()?.client();
    let description = Description::new(call)?;
    let LuaCall { id, call, .. } = &*description.call;
    let to_make = CallToMake {
        id: *id,
        timeout: call.timeout,
        port: description.port.into(),
        ssl_verify: client.verifies().into(),
        response_limit: client.response_limit(),
        method: call.method().as_bytes().into(),
        host: description.host.as_bytes().into(),
        path: call.path().as_bytes().into(),
        fields: description.fields[..].into(),
        body: call.body().into(),
        ssl_server_name: call.tls_name.as_deref().unwrap_or_default().as_bytes().into(),
    };
    Some((description, to_make))
}

/// The response to a call of Lua's. Nobody may wait for it any more.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_call_answered(
    r: *mut ngx_http_request_t,
    id: u32,
    status: u32,
    fields: *const c_char,
    fields_len: usize,
    body: *const c_char,
    body_len: usize,
) {
    // SAFETY: Lua passes the running request, and strings of its own with their lengths.
    guard((), || unsafe {
        let (fields, body) = (bytes(fields, fields_len), bytes(body, body_len));
        reply(r, id, |call| match call.keep(fields.len() + body.len()) {
            Ok(()) => Reply::Response(response(status, fields, body)),
            Err(error) => Reply::Failed(error.to_string()),
        });
    });
}

/// Why a call of Lua's failed, in words.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_call_failed(
    r: *mut ngx_http_request_t,
    id: u32,
    reason: *const c_char,
    reason_len: usize,
) {
    // SAFETY: as above.
    guard((), || unsafe {
        let reason = bytes(reason, reason_len);
        reply(r, id, |_| Reply::Failed(String::from_utf8_lossy(reason).into_owned()));
    });
}

/// Lua does not make a call: the worker's client is to.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_call_declined(r: *mut ngx_http_request_t, id: u32) {
    // SAFETY: Lua passes the running request.
    guard((), || unsafe { reply(r, id, |_| Reply::Declined) });
}

/// # Safety
///
/// `r` is a valid request.
unsafe fn reply(r: *mut ngx_http_request_t, id: u32, reply: impl FnOnce(&Outgoing) -> Reply) {
    // SAFETY: by this function's contract.
    if let Some(calls) = unsafe { calls_of(r) } {
        calls.reply(id, reply);
    }
}

/// # Safety
///
/// `r` is a valid request; what is answered lives as long.
unsafe fn calls_of<'a>(r: *mut ngx_http_request_t) -> Option<&'a LuaCalls> {
    // SAFETY: by this function's contract.
    Some(&RequestContext::of(unsafe { Request::from_ptr(r) }?)?.waiting.calls)
}

fn response(status: u32, fields: &[u8], body: &[u8]) -> HttpCallResponse {
    let mut headers = PairsBuf::default();
    headers.push(b":status", status.to_string().as_bytes());
    for line in fields.split(|&byte| byte == b'\n') {
        if let Some(colon) = line.iter().position(|&byte| byte == b':') {
            headers.push(&line[..colon].to_ascii_lowercase(), &line[colon + 1..]);
        }
    }
    HttpCallResponse { headers, body: body.to_vec(), trailers: PairsBuf::default() }
}
