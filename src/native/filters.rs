//! The header filter and the body filter of the native path. Their work is in [`super::response`].

use ngx_bindings::chain::Chain;
use ngx_bindings::sys::{ngx_chain_t, ngx_http_request_t, ngx_int_t};
use ngx_bindings::{Request, rc};

use super::response::{self, NEXT};
use crate::context::RequestContext;
use crate::guard::guard;

/// Puts this module's filters at the top of nginx's filter chains.
pub fn register() {
    NEXT.push(header_filter, body_filter);
}

unsafe extern "C" fn header_filter(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a valid request.
    let request = unsafe { Request::from_nginx(r) };
    if response::may_concern(request) { header_guarded(request) } else { NEXT.header(request) }
}

/// A separate function with C's calling convention, which does not unwind, so that a response
/// without plugins does not pay for this stack frame.
#[inline(never)]
extern "C" fn header_guarded(request: Request) -> ngx_int_t {
    guard(rc::ERROR, || response::header_of(request))
}

unsafe extern "C" fn body_filter(r: *mut ngx_http_request_t, chain: *mut ngx_chain_t) -> ngx_int_t {
    // SAFETY: nginx passes a valid request, and a chain that lives while the filter runs.
    let (request, chain) = unsafe { (Request::from_nginx(r), Chain::from_ptr(chain)) };
    if RequestContext::may_be_of(request) { body_guarded(request, chain) } else { NEXT.body(request, chain) }
}

/// As [`header_guarded`].
#[inline(never)]
extern "C" fn body_guarded(request: Request, chain: Chain) -> ngx_int_t {
    guard(rc::ERROR, || response::body_of(request, chain))
}
