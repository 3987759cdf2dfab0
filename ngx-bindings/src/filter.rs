//! `ngx_http.h`: the chains of header and body filters.

use std::cell::Cell;

use nginx_sys::{self as sys, ngx_chain_t, ngx_http_request_t, ngx_int_t};

use crate::chain::Chain;
use crate::{Request, rc};

/// A header filter.
pub type HeaderFilter = unsafe extern "C" fn(*mut ngx_http_request_t) -> ngx_int_t;
/// A body filter.
pub type BodyFilter = unsafe extern "C" fn(*mut ngx_http_request_t, *mut ngx_chain_t) -> ngx_int_t;

/// The filters that come after ours.
#[derive(Default)]
pub struct Next {
    header: Cell<Option<HeaderFilter>>,
    body: Cell<Option<BodyFilter>>,
}

// SAFETY: nginx builds the chains and runs the filters in one thread of a process.
unsafe impl Sync for Next {}

impl Next {
    /// No filters yet.
    pub const fn new() -> Self {
        Self { header: Cell::new(None), body: Cell::new(None) }
    }

    /// Puts filters of ours at the top of nginx's chains; called from `postconfiguration`.
    pub fn push(&self, header: HeaderFilter, body: BodyFilter) {
        // SAFETY: the tops are plain globals, changed only while nginx reads its configuration.
        unsafe {
            self.header.set(sys::ngx_http_top_header_filter);
            self.body.set(sys::ngx_http_top_body_filter);
            sys::ngx_http_top_header_filter = Some(header);
            sys::ngx_http_top_body_filter = Some(body);
        }
    }

    /// Runs the header filters after ours.
    #[inline]
    pub fn header(&self, request: Request) -> ngx_int_t {
        match self.header.get() {
            // SAFETY: a filter of nginx, on a valid request.
            Some(next) => unsafe { next(request.as_ptr()) },
            None => rc::ERROR,
        }
    }

    /// Runs the body filters after ours.
    #[inline]
    pub fn body(&self, request: Request, chain: Chain) -> ngx_int_t {
        match self.body.get() {
            // SAFETY: a filter of nginx, on a valid request and what the filter before passed.
            Some(next) => unsafe { next(request.as_ptr(), chain.as_ptr()) },
            None => rc::ERROR,
        }
    }
}
