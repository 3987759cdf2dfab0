//! `ngx_http.h`: the chains of header and body filters, and that of filters of requests' bodies.

use std::cell::Cell;

use nginx_sys::{self as sys, ngx_int_t};

use crate::chain::Chain;
use crate::{Request, rc};

/// A header filter.
pub type HeaderFilter = for<'r> extern "C" fn(Request<'r>) -> ngx_int_t;
/// A body filter. It gets null, or a chain that lives while the filter runs.
pub type BodyFilter = for<'r> extern "C" fn(Request<'r>, Chain) -> ngx_int_t;

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
        let top_header = (&raw mut sys::ngx_http_top_header_filter).cast::<Option<HeaderFilter>>();
        let top_body = (&raw mut sys::ngx_http_top_body_filter).cast::<Option<BodyFilter>>();
        // SAFETY: a plain variable, changed only while nginx reads its configuration; to a filter,
        // nginx's pointers are handles.
        self.header.set(unsafe { top_header.replace(Some(header)) }.unwrap_or(no_header_filter));
        // SAFETY: as above.
        self.body.set(unsafe { top_body.replace(Some(body)) }.unwrap_or(no_body_filter));
    }

    /// As [`Self::push`], for a header filter alone.
    pub fn push_header(&self, header: HeaderFilter) {
        let top = (&raw mut sys::ngx_http_top_header_filter).cast::<Option<HeaderFilter>>();
        // SAFETY: as above.
        self.header.set(unsafe { top.replace(Some(header)) }.unwrap_or(no_header_filter));
    }

    /// Runs the header filters after this module's.
    #[inline]
    pub fn header(&self, request: Request) -> ngx_int_t {
        self.header.get()(request)
    }

    /// Runs the body filters after this module's.
    #[inline]
    pub fn body(&self, request: Request, chain: Chain) -> ngx_int_t {
        self.body.get()(request, chain)
    }
}

extern "C" fn no_header_filter(_: Request) -> ngx_int_t {
    rc::ERROR
}

extern "C" fn no_body_filter(_: Request, _: Chain) -> ngx_int_t {
    rc::ERROR
}

/// The filter of requests' bodies that comes after this module's. nginx's own, at the end, keeps the
/// body for whoever reads it.
pub struct NextOfRequest(Cell<BodyFilter>);

// SAFETY: as for `Next`.
unsafe impl Sync for NextOfRequest {}

impl NextOfRequest {
    /// No filter yet: passing a body on fails.
    pub const fn none() -> Self {
        Self(Cell::new(no_body_filter))
    }

    /// Puts this module's filter at the top of nginx's chain; called from `postconfiguration`.
    pub fn push(&self, filter: BodyFilter) {
        let top = (&raw mut sys::ngx_http_top_request_body_filter).cast::<Option<BodyFilter>>();
        // SAFETY: a plain variable, changed only while nginx reads its configuration; to a filter,
        // nginx's pointers are handles.
        self.0.set(unsafe { top.replace(Some(filter)) }.unwrap_or(no_body_filter));
    }

    /// Runs the filter. Its result is `OK`, or a status that ends the request.
    #[inline]
    pub fn body(&self, request: Request, chain: Chain) -> ngx_int_t {
        self.0.get()(request, chain)
    }
}
