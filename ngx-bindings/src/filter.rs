//! `ngx_http.h`: the chains of header and body filters.

use std::cell::Cell;

use nginx_sys::{self as sys, ngx_chain_t, ngx_http_request_t, ngx_int_t};

use crate::chain::Chain;
use crate::{Request, rc};

/// A header filter.
pub type HeaderFilter = unsafe extern "C" fn(*mut ngx_http_request_t) -> ngx_int_t;
/// A body filter.
pub type BodyFilter = unsafe extern "C" fn(*mut ngx_http_request_t, *mut ngx_chain_t) -> ngx_int_t;

/// The filters that come after this module's.
pub struct Next {
    header: Cell<HeaderFilter>,
    body: Cell<BodyFilter>,
}

// SAFETY: nginx builds the chains and runs the filters in one thread of a process.
unsafe impl Sync for Next {}

impl Next {
    /// No filters yet: passing a request on fails.
    pub const fn none() -> Self {
        Self { header: Cell::new(no_header_filter), body: Cell::new(no_body_filter) }
    }

    /// Puts this module's filters at the top of nginx's chains; called from `postconfiguration`.
    pub fn push(&self, header: HeaderFilter, body: BodyFilter) {
        // SAFETY: the tops are plain globals, changed only while nginx reads its configuration.
        unsafe {
            self.header.set(sys::ngx_http_top_header_filter.unwrap_or(no_header_filter));
            self.body.set(sys::ngx_http_top_body_filter.unwrap_or(no_body_filter));
            sys::ngx_http_top_header_filter = Some(header);
            sys::ngx_http_top_body_filter = Some(body);
        }
    }

    /// Runs the header filters after this module's.
    #[inline]
    pub fn header(&self, request: Request) -> ngx_int_t {
        // SAFETY: calls a filter of nginx on a valid request.
        unsafe { self.header.get()(request.as_ptr()) }
    }

    /// Runs the body filters after this module's.
    #[inline]
    pub fn body(&self, request: Request, chain: Chain) -> ngx_int_t {
        // SAFETY: calls a filter of nginx on a valid request, with a chain from the filter before.
        unsafe { self.body.get()(request.as_ptr(), chain.as_ptr()) }
    }
}

unsafe extern "C" fn no_header_filter(_: *mut ngx_http_request_t) -> ngx_int_t {
    rc::ERROR
}

unsafe extern "C" fn no_body_filter(_: *mut ngx_http_request_t, _: *mut ngx_chain_t) -> ngx_int_t {
    rc::ERROR
}
