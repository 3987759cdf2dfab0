//! The header filter and the body filter of the native path, its filter of requests' bodies, and the
//! header filter behind Lua's. Their work is in [`super::response`] and [`super::request_body`].

use ngx_bindings::chain::Chain;
use ngx_bindings::sys::ngx_int_t;
use ngx_bindings::{Request, rc};

use super::request_body::{self, NEXT_OF_REQUEST};
use super::response::{self, BEHIND_LUA, NEXT};
use crate::context::RequestContext;
use crate::guard::guard;

/// Puts this module's filters at the top of nginx's filter chains.
pub fn register() {
    NEXT.push(header_filter, body_filter);
    NEXT_OF_REQUEST.push(request_body_filter);
}

/// Puts a header filter at the top of nginx's chain, before Lua puts its own there.
pub fn register_behind_lua() {
    BEHIND_LUA.push_header(header_filter_behind_lua);
}

extern "C" fn header_filter(request: Request) -> ngx_int_t {
    if response::may_concern(request) { header_guarded(request) } else { NEXT.header(request) }
}

/// A separate function with C's calling convention, which does not unwind, so that a response
/// without plugins does not pay for this stack frame.
#[inline(never)]
extern "C" fn header_guarded(request: Request) -> ngx_int_t {
    guard(rc::ERROR, || response::header_of(request))
}

extern "C" fn body_filter(request: Request, chain: Chain) -> ngx_int_t {
    if RequestContext::may_be_of(request) { body_guarded(request, chain) } else { NEXT.body(request, chain) }
}

/// As [`header_guarded`].
#[inline(never)]
extern "C" fn body_guarded(request: Request, chain: Chain) -> ngx_int_t {
    guard(rc::ERROR, || response::body_of(request, chain))
}

extern "C" fn request_body_filter(request: Request, chain: Chain) -> ngx_int_t {
    if RequestContext::may_be_of(request) {
        request_body_guarded(request, chain)
    } else {
        NEXT_OF_REQUEST.body(request, chain)
    }
}

/// As [`header_guarded`].
#[inline(never)]
extern "C" fn request_body_guarded(request: Request, chain: Chain) -> ngx_int_t {
    guard(rc::INTERNAL_SERVER_ERROR, || request_body::filter(request, chain))
}

extern "C" fn header_filter_behind_lua(request: Request) -> ngx_int_t {
    if RequestContext::may_be_driven_by_lua(request) {
        header_behind_lua_guarded(request)
    } else {
        BEHIND_LUA.header(request)
    }
}

/// As [`header_guarded`].
#[inline(never)]
extern "C" fn header_behind_lua_guarded(request: Request) -> ngx_int_t {
    guard(rc::ERROR, || response::header_behind_lua(request))
}
