//! Header and body filter of the native path; what they do is in [`super::response`].

use ngx_bindings::chain::Chain;
use ngx_bindings::filter::Next;
use ngx_bindings::sys::{ngx_chain_t, ngx_http_request_t, ngx_int_t};
use ngx_bindings::{Request, rc};

use super::guard::guard;
use super::request::RequestContext;
use super::response;

/// The filters that stood at the top when ours were put there.
pub static NEXT: Next = Next::new();

/// Puts our filters at the top of the chains.
pub fn register() {
    NEXT.push(header_filter, body_filter);
}

unsafe extern "C" fn header_filter(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a valid request.
    let Some(request) = (unsafe { Request::from_ptr(r) }) else {
        return rc::ERROR;
    };
    if !response::concerns(request) {
        return NEXT.header(request);
    }
    header_guarded(request)
}

/// Out of line: a response that no plugin has to do with does not pay for the stack frame.
#[inline(never)]
fn header_guarded(request: Request) -> ngx_int_t {
    guard(rc::ERROR, || RequestContext::of_or_new(request).map_or_else(Into::into, response::header))
}

unsafe extern "C" fn body_filter(r: *mut ngx_http_request_t, chain: *mut ngx_chain_t) -> ngx_int_t {
    // SAFETY: nginx passes a valid request, and a chain that lives while the filter runs.
    let (Some(request), chain) = (unsafe { (Request::from_ptr(r), Chain::from_ptr(chain)) }) else {
        return rc::ERROR;
    };
    if request.is_subrequest() {
        return NEXT.body(request, chain);
    }
    match RequestContext::of(request) {
        Some(ctx) => body_guarded(ctx, chain),
        None => NEXT.body(request, chain),
    }
}

/// Out of line, as [`header_guarded`].
#[inline(never)]
fn body_guarded(ctx: &RequestContext, chain: Chain) -> ngx_int_t {
    guard(rc::ERROR, || response::body(ctx, chain))
}
