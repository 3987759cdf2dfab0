//! `ngx_http_slice_filter_module.c`: a response that nginx fetches in parts: the first part by the
//! request itself, each other part by a subrequest. An nginx may lack the module, so the module is
//! looked up by name.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::conf::Conf;
use crate::live::Live;
use crate::modules::HttpModule;
use crate::{Request, modules};

const NONE: usize = usize::MAX;

/// The index of the module's context in a request.
static CTX_INDEX: AtomicUsize = AtomicUsize::new(NONE);

/// Looks for the module; called from `postconfiguration`.
pub fn find(cf: Conf) {
    let found = modules::find(cf, c"ngx_http_slice_filter_module");
    // SAFETY: a module of the cycle; nothing that it has is asked for.
    let found = found.map(|module| unsafe { <HttpModule>::new(module) });
    CTX_INDEX.store(found.map_or(NONE, |module| module.index()), Ordering::Relaxed);
}

impl Request<'_> {
    /// Returns whether this is a subrequest that fetches a part of its main request's response.
    pub fn is_slice(self) -> bool {
        let ctx = self.slice_ctx();
        !ctx.is_null() && self.is_subrequest() && ctx == self.main().slice_ctx()
    }

    /// Returns whether the response of this request is fetched in parts.
    #[inline]
    pub fn is_sliced(self) -> bool {
        !self.slice_ctx().is_null()
    }

    /// Returns whether the client asked for a range, and that is not forgotten.
    pub fn asks_for_range(self) -> bool {
        !self.raw().headers_in.range.is_null()
    }

    /// Makes nginx fetch and send the whole response although the client asked for a range. `slice`
    /// would begin at the range's start, and no range can be given for a body that is changed.
    pub fn forget_range(mut self) {
        // The field itself stays in the list.
        self.raw_mut().headers_in.range = std::ptr::null_mut();
    }

    #[inline]
    fn slice_ctx(self) -> *mut std::ffi::c_void {
        match CTX_INDEX.load(Ordering::Relaxed) {
            NONE => std::ptr::null_mut(),
            // SAFETY: the index is that of an `http` module; each request has a context of it or
            // null.
            index => unsafe { *self.raw().ctx.wrapping_add(index) },
        }
    }

    /// The request whose filters this response's bytes must pass now. While nginx sends parts, that
    /// is the request of a part, because bytes that pass the main request's filters would be queued
    /// behind the part. `latest` is the request whose bytes came last.
    #[inline]
    pub fn outlet(self, latest: Self) -> Self {
        if self.is_sliced() { self.outlet_of_parts(latest) } else { self }
    }

    fn outlet_of_parts(self, latest: Self) -> Self {
        // SAFETY: the data of a request's connection is the request that is being sent; the requests
        // of parts live as long as this one.
        let active = unsafe { Live::new(self.connection().get().data.cast()) }.map(Self);
        let of_this = |part: &Self| part.main() == self && part.is_slice();
        active.filter(of_this).or(Some(latest).filter(|part| of_this(part) && part.done_bit() == 0)).unwrap_or(self)
    }
}
