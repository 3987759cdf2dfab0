//! `ngx_http_request.c`, `ngx_http_upstream.c`: ends a request from one of this module's events.
//!
//! nginx ends a request's upstream first, as `ngx_http_upstream_finalize_request` does, and then
//! the request. Finalizing a request whose upstream is active would free the request while the
//! upstream still uses it: the upstream's cleanup hands the request back, and if one user is left,
//! nginx takes the response for complete and keeps, or closes, the connection.

use std::ffi::c_void;
use std::{ptr, slice};

use nginx_sys::{self as sys, ngx_int_t};

use crate::modules::HttpModule;
use crate::{Request, globals, rc};

/// What happened to a request's upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// There was no upstream, or it had ended before.
    Before,
    /// The upstream has ended now.
    Now,
    /// It is not clear which cleanup is the upstream's: only the request as a whole can be ended.
    Not,
}

impl Request<'_> {
    /// Cuts the request off: nothing more of its response is sent. The connection closes; in HTTP/2
    /// the stream is reset. Call it only from an event of nginx's loop.
    ///
    /// # Safety
    ///
    /// It may free the request: nothing that came from the request is used afterwards.
    pub unsafe fn cut_off(self) {
        self.set_keepalive(false);
        let ended = self.end_upstream();
        if ended == Ended::Not || !self.header_sent() {
            // SAFETY: by this function's contract.
            return unsafe { self.close(ended) };
        }
        self.refuse_output();
        // SAFETY: by this function's contract.
        unsafe { self.finalize_in_event(rc::ERROR) }
    }

    /// Ends the request of a client that has left.
    ///
    /// # Safety
    ///
    /// It may free the request: nothing that came from the request is used afterwards.
    pub unsafe fn end_for_client(self) {
        self.connection().read_event().get_mut().set_eof(1);
        match self.end_upstream() {
            // SAFETY: by this function's contract.
            Ended::Not => unsafe { self.close(Ended::Not) },
            Ended::Before | Ended::Now => {
                self.refuse_output();
                // SAFETY: by this function's contract.
                unsafe { self.finalize_in_event(sys::NGX_HTTP_CLIENT_CLOSED_REQUEST as ngx_int_t) }
            }
        }
    }

    /// Closes the request as `return 444` does, but without a `post_action`.
    ///
    /// # Safety
    ///
    /// It may free the request: nothing that came from the request is used afterwards.
    unsafe fn close(self, ended: Ended) {
        if ended == Ended::Not {
            // Adds a user for this function: the cleanup may hand the request back, and must not
            // free it by that. nginx resets the count afterwards.
            let main = self.main();
            main.set_count_bits(main.count_bits() + 1);
            self.set_error(false);
        }
        // SAFETY: by this function's contract.
        unsafe { self.finalize_in_event(rc::CLOSE) }
    }

    /// Ends the request with nginx's page for `status`, or the `error_page`, in place of a response
    /// whose header is not sent; always nginx's own while the client's body is being discarded.
    /// `source_is_over`: whoever made that response, if not an upstream,
    /// does nothing more with the request. `module` keeps its context. Call it only from an event of
    /// nginx's loop.
    ///
    /// # Safety
    ///
    /// It may free the request: nothing that came from the request is used afterwards.
    pub unsafe fn end_with_page<M, L, C>(self, module: HttpModule<M, L, C>, status: ngx_int_t, source_is_over: bool) {
        let ended = self.end_upstream();
        // nginx itself sends a response that whoever made it has handed over.
        let source_is_over = source_is_over || self.is_client_watched();
        let is_free = ended == Ended::Now || ended == Ended::Before && source_is_over;
        if is_free && !self.is_in_file_io() {
            self.forget_response(module);
            self.skip_error_page_of_unread_body();
            // SAFETY: by this function's contract.
            return unsafe { self.finalize_in_event(status) };
        }
        let rc = self.replace_response(module, status);
        self.set_keepalive(false);
        match ended {
            // SAFETY: by this function's contract.
            Ended::Not => unsafe { self.close(ended) },
            // SAFETY: by this function's contract.
            Ended::Before | Ended::Now => unsafe { self.finalize_in_event(rc) },
        }
    }

    /// Ends the request with an answer in place of a response that has not begun. `answer` sends it and
    /// hands the request back; if its result is not `DONE`, the request ends with that. Call it only from
    /// an event of nginx's loop.
    ///
    /// # Safety
    ///
    /// It may free the request: nothing that came from the request is used afterwards.
    pub unsafe fn end_with_answer(self, answer: impl FnOnce(Self) -> ngx_int_t) {
        match self.end_upstream() {
            // SAFETY: by this function's contract.
            Ended::Not => unsafe { self.close(Ended::Not) },
            Ended::Before | Ended::Now => {
                // What reads for an upstream must not run when that has ended.
                self.unwatch_client();
                self.as_event(|request| match answer(request) {
                    rc::DONE => {}
                    // SAFETY: by this function's contract.
                    code => unsafe { request.finalize(code) },
                });
            }
        }
    }

    /// Replaces the response in a header filter: drops it and answers with nginx's page for
    /// `status` instead. `module` keeps its context. The filter must return the result; nginx then
    /// closes the connection.
    pub fn replace_response<M, L, C>(self, module: HttpModule<M, L, C>, status: ngx_int_t) -> ngx_int_t {
        // SAFETY: the request is valid; nginx only reads the module's index.
        unsafe { sys::ngx_http_filter_finalize_request(self.as_ptr(), module.as_ptr().cast_mut(), status) }
    }

    /// Ends the upstream's part in a request whose client has been answered otherwise, so that the
    /// request need not live until the upstream ends, which may be never. Nothing is done if nginx
    /// has to have the whole for its cache. Call it only from an event of nginx's loop.
    ///
    /// # Safety
    ///
    /// It may free the request: nothing that came from the request is used afterwards.
    pub unsafe fn finish_answered(self) {
        if self.is_cached() || self.is_in_file_io() {
            return;
        }
        if self.end_upstream() == Ended::Now {
            // The connection may have become ready while nothing of the upstream's was to be sent:
            // no event would come any more for what waits.
            let rc = self.output(ptr::null_mut());
            // SAFETY: by this function's contract.
            unsafe { self.finalize_in_event(if rc == rc::ERROR { rc } else { rc::OK }) }
        }
    }

    /// As [`Self::finalize`], from an event of nginx's loop. Not while an upstream is active.
    ///
    /// # Safety
    ///
    /// The same as for [`Self::finalize`].
    pub unsafe fn finalize_in_event(self, rc: ngx_int_t) {
        // SAFETY: by this function's contract.
        self.as_event(|request| unsafe { request.finalize(rc) });
    }

    /// Stops all output to the client: nginx's filters fail from now on.
    pub fn refuse_output(self) {
        self.set_error(true);
    }

    fn set_error(self, error: bool) {
        self.connection().get_mut().set_error(error.into());
    }

    /// Returns whether nginx has closed the request and only waits for its connection before it
    /// frees it. This happens in HTTP/2 with queued frames.
    pub fn is_closed(self) -> bool {
        self.main().count_bits() == 0
    }

    /// Returns whether a thread reads or writes a file for the request (`aio`).
    pub fn is_in_file_io(self) -> bool {
        self.main().blocked_bits() != 0
    }

    /// Returns whether an upstream makes the response, and has not ended.
    pub fn has_active_upstream(self) -> bool {
        self.has_upstream() && !matches!(self.upstream_cleanup(), Cleanup::None)
    }

    /// Ends only the request's upstream.
    fn end_upstream(self) -> Ended {
        if !self.has_upstream() {
            return Ended::Before;
        }
        match self.upstream_cleanup() {
            Cleanup::None => Ended::Before,
            Cleanup::Unclear => Ended::Not,
            Cleanup::Found(end) => {
                // Adds a user for this function: the cleanup hands the request back, and must not
                // free it by that.
                let main = self.main();
                main.set_count_bits(main.count_bits() + 1);
                // SAFETY: the cleanup's data is the request.
                unsafe { end(self.as_ptr().cast()) };
                Ended::Now
            }
        }
    }

    /// Finds the cleanup of nginx's upstream among those of the request: its data is the request
    /// itself. The upstream's own pointer to it is in a structure whose layout OpenResty's patches
    /// change.
    fn upstream_cleanup(self) -> Cleanup {
        let mut found = Cleanup::None;
        let mut next = self.main().raw().cleanup;
        // SAFETY: null, or a cleanup of a valid request.
        while let Some(cleanup) = unsafe { next.as_ref() } {
            if let Some(handler) = cleanup.handler.filter(|_| cleanup.data == self.as_ptr().cast()) {
                found = if matches!(found, Cleanup::None) { Cleanup::Found(handler) } else { Cleanup::Unclear };
            }
            next = cleanup.next;
        }
        found
    }

    /// Does what `ngx_http_filter_finalize_request` does before it answers again.
    fn forget_response<M, L, C>(self, module: HttpModule<M, L, C>) {
        self.clean_header();
        // SAFETY: `r->ctx` has an entry for each module of `http`.
        let contexts = unsafe { slice::from_raw_parts_mut(self.raw().ctx, globals::http_max_module() as usize) };
        for (_, ctx) in contexts.iter_mut().enumerate().filter(|(index, _)| *index != module.index()) {
            *ctx = ptr::null_mut();
        }
        // What filters had buffered is in those contexts.
        self.set_buffered_bits(0);
    }

    /// An `error_page` may lead to an upstream, and a request with an upstream must not discard its
    /// body: when the client stops sending, `ngx_http_discarded_request_body_handler` stays the
    /// handler of reading, and hands the request back once more than it may.
    fn skip_error_page_of_unread_body(self) {
        if self.main().discard_body_bit() != 0 {
            self.set_error_page_bit(1);
        }
    }

    #[cfg(ngx_feature = "http_cache")]
    fn is_cached(self) -> bool {
        !self.raw().cache.is_null()
    }

    #[cfg(not(ngx_feature = "http_cache"))]
    fn is_cached(self) -> bool {
        false
    }
}

/// The upstream's entry in a request's list of cleanups.
enum Cleanup {
    None,
    Found(unsafe extern "C" fn(*mut c_void)),
    Unclear,
}
