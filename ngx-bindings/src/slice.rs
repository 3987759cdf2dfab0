//! `ngx_http_slice_filter_module.c`: a response that nginx fetches in parts: the first part by the
//! request itself, each other part by a subrequest. An nginx may lack the module, so the module is
//! looked up by name.

use std::sync::atomic::{AtomicUsize, Ordering};

use nginx_sys::ngx_http_request_t;

use crate::conf::Conf;
use crate::{Request, modules};

const NONE: usize = usize::MAX;

/// The index of the module's context in a request.
static CTX_INDEX: AtomicUsize = AtomicUsize::new(NONE);

/// Looks for the module; called from `postconfiguration`.
pub fn find(cf: Conf) {
    let found = modules::find(cf, c"ngx_http_slice_filter_module");
    // SAFETY: a module of the cycle, which has its number by then.
    let index = found.map_or(NONE, |module| unsafe { (*module).ctx_index as usize });
    CTX_INDEX.store(index, Ordering::Relaxed);
}

impl Request {
    /// Returns whether this is a subrequest that fetches a part of its main request's response.
    pub fn is_slice(self) -> bool {
        let ctx = self.slice_ctx();
        !ctx.is_null() && self.is_subrequest() && ctx == self.main().slice_ctx()
    }

    /// Returns whether the response of this request is fetched in parts.
    pub fn is_sliced(self) -> bool {
        !self.slice_ctx().is_null()
    }

    /// Makes nginx fetch and send the whole response although the client asked for a range. `slice`
    /// would begin at the range's start, and no range can be given for a body that is changed.
    pub fn forget_range(self) {
        // SAFETY: the request is valid by the handle's contract; the field stays in the list.
        unsafe { (*self.as_ptr()).headers_in.range = std::ptr::null_mut() }
    }

    fn slice_ctx(self) -> *mut std::ffi::c_void {
        match CTX_INDEX.load(Ordering::Relaxed) {
            NONE => std::ptr::null_mut(),
            // SAFETY: the index is that of an `http` module; each request has a context of it or
            // null.
            index => unsafe { *(*self.as_ptr()).ctx.add(index) },
        }
    }

    /// The request whose filters this response's bytes must pass now. While nginx sends parts, that
    /// is the request of a part, because bytes that pass the main request's filters would be queued
    /// behind the part. `latest` is the request whose bytes came last.
    pub fn outlet(self, latest: Self) -> Self {
        // SAFETY: a live request has a connection, whose data is the request that is being sent;
        // the requests of parts live as long as this one.
        let active = unsafe { Self::from_ptr((*(*self.as_ptr()).connection).data.cast::<ngx_http_request_t>()) };
        let of_this = |part: &Self| part.main() == self && part.is_slice();
        active.filter(of_this).or(Some(latest).filter(|part| of_this(part) && part.done_bit() == 0)).unwrap_or(self)
    }
}
