//! `ngx_http_request_body.c`: a request's body on its way through the filters of requests' bodies,
//! while nginx reads it.
//!
//! Whoever wants the body, in a phase or as the handler of a location, makes nginx read it. nginx
//! reads it as a whole, or, for a handler that passes it on *unbuffered*, one part after the other:
//! then the handler begins as soon as nginx has to wait for the client.

use std::mem;
use std::ptr;

use nginx_sys::{self as sys, ngx_buf_t, ngx_http_request_body_t, ngx_int_t, off_t};

use crate::live::zeroed;
use crate::pool::AllocError;
use crate::{Request, rc};

// SAFETY: the functions of request_body_bits.c need a body, and a request whose body is being read.
unsafe extern "C" {
    fn ngx_bindings_body_last_saved(body: *const ngx_http_request_body_t) -> u32;
    fn ngx_bindings_body_need_buffering(body: *mut ngx_http_request_body_t);
    fn ngx_bindings_body_in_chunk(r: Request<'_>, rest: off_t) -> ngx_int_t;
    fn ngx_bindings_body_skip(r: Request<'_>);
}

impl<'r> Request<'r> {
    /// Returns whether the body is read for a handler that passes it on unbuffered.
    pub fn is_body_unbuffered(self) -> bool {
        self.request_body_no_buffering_bit() != 0
    }

    /// Makes nginx read the whole body before the handler begins, which asked for it unbuffered. Call
    /// it only in the first call of a filter.
    pub fn buffer_body(self) {
        self.set_request_body_no_buffering_bit(0);
    }

    /// Lets filters keep nginx's buffers while the whole body is read. Call it only in the first call
    /// of a filter.
    pub fn let_filters_keep_buffers(self) {
        if let Some(body) = self.read_parts() {
            // SAFETY: the request's body, which is being read.
            unsafe { ngx_bindings_body_need_buffering(body.as_ptr()) }
        }
    }

    /// Runs the filters behind this module's on a part of a body which nginx reads as a whole, and makes
    /// nginx's own, at the end of the chain, write what it has of the body to the body's file, as it does
    /// when its buffer is full. The part must not be the end.
    pub fn with_full_body_buffer<R>(self, run: impl FnOnce() -> R) -> R {
        let mut full: ngx_buf_t = zeroed();
        let replace = |buf, rest| {
            self.read_parts().map(|mut parts| {
                let parts = parts.get_mut();
                (mem::replace(&mut parts.buf, buf), mem::replace(&mut parts.rest, rest))
            })
        };
        // nginx looks only whether there is room behind its end, and whether more is to come.
        let own = replace(&raw mut full, 1);
        let result = run();
        if let Some((buf, rest)) = own {
            replace(buf, rest);
        }
        result
    }

    /// Forgets the body, of which a part has not come or is dropped: who answers the request instead,
    /// an `error_page` that another server makes for example, would wait for it. nginx reads no more of
    /// it; `forget_length` may not be in use any more. The client's connection is to be closed if
    /// [`Self::is_body_read`] is false.
    pub fn forget_body(self) {
        let Some(mut parts) = self.read_parts() else { return };
        parts.get_mut().bufs = ptr::null_mut();
        // SAFETY: the request is valid by the handle's contract.
        unsafe { ngx_bindings_body_skip(self) }
        self.stop_body_timeout();
        self.unwatch_client();
        // Without memory for a field of 0, the field stays as it is.
        let _ = self.set_length(0);
    }

    /// Returns whether the handler has begun, while nginx reads on: the header of its own request is
    /// made.
    pub fn is_body_awaited(self) -> bool {
        self.reading_body_bit() != 0
    }

    /// Returns whether nginx has read the end of the body.
    pub fn is_body_read(self) -> bool {
        self.read_parts().is_none_or(|body| body.get().rest == 0)
    }

    /// Returns whether the end of the body has passed all filters.
    pub fn is_body_saved(self) -> bool {
        // SAFETY: the request's body, which is being read.
        self.read_parts().is_some_and(|body| unsafe { ngx_bindings_body_last_saved(body.as_ptr()) } != 0)
    }

    /// The length of the body as the client stated it. Plugins cannot change it.
    pub fn stated_length(self) -> Option<u64> {
        let headers = &self.raw().headers_in;
        if headers.chunked() != 0 { None } else { u64::try_from(headers.content_length_n).ok() }
    }

    /// Returns whether the request came over HTTP/1.
    pub fn is_http1(self) -> bool {
        self.raw().http_version < sys::NGX_HTTP_VERSION_20 as usize
    }

    /// Makes the handler pass the body on without a length: in chunks, over HTTP/1.1. The client
    /// stated a length, of which nginx has not read `rest` bytes. Call it only in the first call of a
    /// filter, and [`Self::set_rest`] in each one, if the result says so.
    ///
    /// A handler takes a body for one of unknown length if it came in chunks. So does nginx while it
    /// reads it: over HTTP/1, its parser is told that it is in the midst of one chunk.
    ///
    /// # Errors
    ///
    /// If nginx has no memory.
    pub fn forget_length(mut self, rest: u64) -> Result<bool, AllocError> {
        let parses = self.is_http1() && rest > 0;
        if parses {
            // SAFETY: the request's body is being read.
            match unsafe { ngx_bindings_body_in_chunk(self, rest as off_t) } {
                rc::OK => {}
                _ => return Err(AllocError),
            }
            // The parser counts what it reads.
            self.raw_mut().headers_in.content_length_n -= rest as off_t;
        }
        self.raw_mut().headers_in.set_chunked(1);
        self.remove_header_in(b"content-length")?;
        Ok(parses)
    }

    /// The bytes of a body with a length that nginx has not read.
    pub fn rest(self) -> u64 {
        self.read_parts().map_or(0, |body| u64::try_from(body.get().rest).unwrap_or_default())
    }

    /// Says how many bytes nginx has to read, after [`Self::forget_length`].
    pub fn set_rest(self, rest: u64) {
        if let Some(mut body) = self.read_parts() {
            body.get_mut().rest = rest as off_t;
        }
    }

    /// Sets the length of a body that nginx has read and filters have changed, before the handler
    /// begins.
    ///
    /// # Errors
    ///
    /// If nginx has no memory.
    pub fn set_length(mut self, length: u64) -> Result<(), AllocError> {
        let headers = &mut self.raw_mut().headers_in;
        headers.content_length_n = length as _;
        headers.set_chunked(0);
        self.remove_header_in(b"transfer-encoding")?;
        self.set_header_in(b"content-length", length.to_string().as_bytes())
    }

    /// Stops the timeout in which the client must send more, which has sent everything.
    pub fn stop_body_timeout(self) {
        let read = self.connection().read_event();
        if read.get().timer_set() != 0 {
            // SAFETY: an event whose timer is set is in nginx's tree.
            unsafe { sys::ngx_del_timer(read.as_ptr()) };
        }
    }

    /// Makes whoever reads the body go on, in this round of nginx's loop.
    pub fn go_on_reading(self) {
        let read = self.connection().read_event();
        let queue = &raw mut sys::ngx_posted_events;
        // SAFETY: nginx takes the event out of its queue when it closes the connection.
        unsafe { sys::ngx_post_event(read.as_ptr(), queue) };
    }

    /// Makes nginx close the connection behind the response: what the client still sends of this body
    /// would be taken for its next request.
    pub fn leave_body_unread(self) {
        if !self.is_body_read() {
            self.set_keepalive(false);
            self.set_lingering_close_bit(1);
        }
    }

    /// Returns whether the location has a handler, and the client says that it speaks gRPC.
    pub fn is_grpc(self) -> bool {
        let is_grpc = |name: &[u8]| name.starts_with(b"application/grpc");
        self.headers_in().find(b"content-type").is_some_and(|field| is_grpc(field.value()))
    }
}
