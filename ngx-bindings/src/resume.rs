//! `ngx_http_request.h`: hands a request back to nginx, which continues or ends it.

use nginx_sys as sys;
use nginx_sys::ngx_int_t;

use crate::Request;

impl Request<'_> {
    /// Hands the request back to nginx with a result.
    ///
    /// # Safety
    ///
    /// It may free the request: nothing that came from the request is used afterwards.
    pub unsafe fn finalize(self, rc: ngx_int_t) {
        // SAFETY: the request is valid by the handle's contract.
        unsafe { sys::ngx_http_finalize_request(self.as_ptr(), rc) }
    }

    /// Continues the phases at the handler that suspended them. Call it only from an event of
    /// nginx's loop.
    ///
    /// # Safety
    ///
    /// It may free the request: nothing that came from the request is used afterwards.
    pub unsafe fn resume_phases(mut self) {
        self.raw_mut().read_event_handler = Some(sys::ngx_http_block_reading);
        self.raw_mut().write_event_handler = Some(sys::ngx_http_core_run_phases);
        // SAFETY: by this function's contract.
        unsafe { self.resume_writing() }
    }

    /// Continues the phases inside an event of nginx's that runs posted requests itself.
    ///
    /// # Safety
    ///
    /// It may free the request: nothing that came from the request is used afterwards.
    pub unsafe fn run_phases(mut self) {
        self.set_preserve_body_bit(1);
        self.raw_mut().write_event_handler = Some(sys::ngx_http_core_run_phases);
        // SAFETY: the request is valid by the handle's contract.
        unsafe { sys::ngx_http_core_run_phases(self.as_ptr()) }
    }

    /// Makes nginx continue sending the response, from an event of its loop.
    ///
    /// # Safety
    ///
    /// It may free the request: nothing that came from the request is used afterwards.
    pub unsafe fn resume_writing(self) {
        let handler = self.raw().write_event_handler;
        self.as_event(|request| {
            if let Some(handler) = handler {
                // SAFETY: the request is valid by the handle's contract.
                unsafe { handler(request.as_ptr()) }
            }
        });
    }

    /// Runs what may free the request, and then, as nginx does at the end of an event, the
    /// requests that were posted meanwhile.
    pub(crate) fn as_event(self, run: impl FnOnce(Self)) {
        let connection = self.raw().connection;
        run(self);
        // SAFETY: the connection's structure outlives the request.
        unsafe { sys::ngx_http_run_posted_requests(connection) }
    }
}
