//! `ngx_http_request.h`: one request.

use std::ptr::NonNull;

use nginx_sys::{
    self as sys, ngx_buf_t, ngx_chain_t, ngx_http_core_main_conf_t, ngx_http_request_t, ngx_int_t, ngx_module_t,
};

use crate::pool::AllocError;
use crate::{Log, Pool, string};

/// One request of nginx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Request(NonNull<ngx_http_request_t>);

impl Request {
    /// # Safety
    ///
    /// `r` is a request of nginx, used only in nginx's thread and not after nginx freed it.
    pub unsafe fn from_ptr(r: *mut ngx_http_request_t) -> Option<Self> {
        NonNull::new(r).map(Self)
    }

    /// Does the same as [`Self::from_ptr`] without its check, for calls from nginx: each of its
    /// requests would pay for that.
    ///
    /// # Safety
    ///
    /// The same as for [`Self::from_ptr`], and `r` is not null.
    #[inline]
    pub unsafe fn from_nginx(r: *mut ngx_http_request_t) -> Self {
        // SAFETY: by this function's contract.
        Self(unsafe { NonNull::new_unchecked(r) })
    }

    /// The pointer that nginx's functions take.
    #[inline]
    pub fn as_ptr(self) -> *mut ngx_http_request_t {
        self.0.as_ptr()
    }

    /// The pool that lives as long as the request.
    #[inline]
    pub fn pool(self) -> Pool {
        // SAFETY: a live request has a pool.
        unsafe { Pool::from_ptr((*self.as_ptr()).pool).unwrap_unchecked() }
    }

    /// The log of the request's connection.
    #[inline]
    pub fn log(self) -> Log {
        // SAFETY: a live request has a connection, and the connection has a log.
        unsafe { Log::from_ptr((*(*self.as_ptr()).connection).log).unwrap_unchecked() }
    }

    /// The request that the client sent; a subrequest belongs to it.
    pub fn main(self) -> Self {
        // SAFETY: `r->main` is never null.
        unsafe { Self(NonNull::new_unchecked((*self.as_ptr()).main)) }
    }

    /// Returns whether nginx made this request inside another one.
    #[inline]
    pub fn is_subrequest(self) -> bool {
        // SAFETY: the request is valid by the handle's contract.
        unsafe { (*self.as_ptr()).main != self.as_ptr() }
    }

    /// Returns whether the Lua module made this request where there is none: in a timer, or in
    /// `init_worker_by_lua`. Such a request has no client, and only the parts that Lua itself
    /// needs.
    #[inline]
    pub fn is_fake(self) -> bool {
        // SAFETY: the request is valid by the handle's contract, and every request has a
        // connection.
        unsafe { (*(*self.as_ptr()).connection).fd == -1 }
    }

    /// Returns whether nginx itself redirected the request (`error_page`, `try_files`, `index`).
    #[inline]
    pub fn is_internal(self) -> bool {
        self.internal_bit() != 0
    }

    /// Returns whether nginx may have cleared the modules' contexts of this request. An internal
    /// redirect clears them; so does a header filter that answers with a page instead of the
    /// response (`ngx_http_filter_finalize_request`), as nginx does for `If-Match`.
    #[inline]
    pub fn may_have_lost_contexts(self) -> bool {
        self.is_internal() || self.is_answered_by_filter()
    }

    /// Returns whether a header filter answers with a page instead of the response. nginx ends the
    /// request as soon as that page has gone through its filters.
    #[inline]
    pub fn is_answered_by_filter(self) -> bool {
        self.filter_finalize_bit() != 0
    }

    /// The module's context of this request.
    ///
    /// # Safety
    ///
    /// `T` is the type that the module stored with [`Self::set_module_ctx`].
    #[inline]
    pub unsafe fn module_ctx<T>(self, module: *const ngx_module_t) -> *mut T {
        // SAFETY: a module's `ctx_index` is a valid index of `r->ctx`.
        unsafe { (*(*self.as_ptr()).ctx.add((*module).ctx_index as usize)).cast() }
    }

    /// Stores the module's context of this request; it stays until
    /// [`Self::may_have_lost_contexts`].
    ///
    /// # Safety
    ///
    /// `module` is an `http` module that nginx loaded.
    pub unsafe fn set_module_ctx<T>(self, module: *const ngx_module_t, ctx: *mut T) {
        // SAFETY: as above.
        unsafe { *(*self.as_ptr()).ctx.add((*module).ctx_index as usize) = ctx.cast() }
    }

    /// The module's configuration of the location that the request is in.
    ///
    /// # Safety
    ///
    /// `T` is what the module's `create_loc_conf` returns.
    #[inline]
    pub unsafe fn loc_conf<T>(self, module: *const ngx_module_t) -> *mut T {
        // SAFETY: a module's `ctx_index` is a valid index of `r->loc_conf`.
        unsafe { (*(*self.as_ptr()).loc_conf.add((*module).ctx_index as usize)).cast() }
    }

    /// The module's configuration of `http`.
    ///
    /// # Safety
    ///
    /// `T` is what the module's `create_main_conf` returns.
    #[inline]
    pub unsafe fn main_conf<T>(self, module: *const ngx_module_t) -> *mut T {
        // SAFETY: a module's `ctx_index` is a valid index of `r->main_conf`.
        unsafe { (*(*self.as_ptr()).main_conf.add((*module).ctx_index as usize)).cast() }
    }

    pub(crate) fn core_main_conf(self) -> *mut ngx_http_core_main_conf_t {
        // SAFETY: `T` is the type of that module's configuration.
        unsafe { self.main_conf(&raw const sys::ngx_http_core_module) }
    }

    /// The method as the client wrote it.
    pub fn method<'a>(self) -> &'a [u8] {
        // SAFETY: the request is valid; the string is in its buffers.
        unsafe { string::bytes((*self.as_ptr()).method_name) }
    }

    /// Sets the method, and nginx's number for it.
    pub fn set_method(self, name: &[u8]) -> Result<(), AllocError> {
        let number =
            METHODS.iter().find(|(known, _)| *known == name).map_or(sys::NGX_HTTP_UNKNOWN, |(_, number)| *number);
        let name = self.pool().copy(name)?;
        // SAFETY: the request is valid by the handle's contract.
        unsafe {
            (*self.as_ptr()).method_name = name;
            (*self.as_ptr()).method = number as _;
        }
        Ok(())
    }

    /// Returns whether the method is HEAD: nginx then sends no body after the header.
    pub fn is_head(self) -> bool {
        // SAFETY: the request is valid by the handle's contract.
        unsafe { (*self.as_ptr()).method as u32 == sys::NGX_HTTP_HEAD }
    }

    /// Runs a function while nginx sees HEAD, or else another method, in the request.
    pub fn with_head<R>(self, head: bool, run: impl FnOnce(Self) -> R) -> R {
        if self.is_head() == head {
            return run(self);
        }
        let r = self.as_ptr();
        // SAFETY: the request is valid by the handle's contract, and `run` does not free it.
        unsafe {
            let method = (*r).method;
            (*r).method = if head { sys::NGX_HTTP_HEAD } else { sys::NGX_HTTP_GET } as _;
            let result = run(self);
            (*r).method = method;
            result
        }
    }

    /// Returns whether nginx has, or had, an upstream for the request.
    pub fn has_upstream(self) -> bool {
        // SAFETY: the request is valid by the handle's contract.
        unsafe { !(*self.as_ptr()).upstream.is_null() }
    }

    /// Returns whether only the response's header is wanted.
    #[inline]
    pub fn header_only(self) -> bool {
        self.header_only_bit() != 0
    }

    /// `https` or `http`.
    pub fn scheme(self) -> &'static [u8] {
        // SAFETY: a live request has a connection.
        #[cfg(ngx_feature = "http_ssl")]
        if unsafe { !(*(*self.as_ptr()).connection).ssl.is_null() } {
            return b"https";
        }
        b"http"
    }

    /// The path and arguments as the client wrote them, or as [`Self::set_target`] left them.
    #[inline]
    pub fn unparsed_uri<'a>(self) -> &'a [u8] {
        // SAFETY: the request is valid; the string is in its buffers.
        unsafe { string::bytes((*self.as_ptr()).unparsed_uri) }
    }

    /// The path, decoded.
    pub fn uri<'a>(self) -> &'a [u8] {
        // SAFETY: as above.
        unsafe { string::bytes((*self.as_ptr()).uri) }
    }

    /// The arguments, without the question mark.
    pub fn args<'a>(self) -> &'a [u8] {
        // SAFETY: as above.
        unsafe { string::bytes((*self.as_ptr()).args) }
    }

    /// The host that the client asked for, without the port; empty if it named none.
    #[inline]
    pub fn host<'a>(self) -> &'a [u8] {
        // SAFETY: the request is valid; the string is in its pool.
        unsafe { string::bytes((*self.as_ptr()).headers_in.server) }
    }

    /// Returns whether the request has a body that is still to be read.
    #[inline]
    pub fn has_body(self) -> bool {
        // SAFETY: the request is valid by the handle's contract.
        unsafe {
            let r = self.as_ptr();
            (*r).headers_in.content_length_n > 0 || (*r).headers_in.chunked() != 0 || self.http2_body_to_come()
        }
    }

    /// Returns whether an HTTP/2 request without a length has a body that will come, or has come
    /// meanwhile: its stream says so.
    #[cfg(ngx_feature = "http_v2")]
    unsafe fn http2_body_to_come(self) -> bool {
        // SAFETY: `r->stream` is null or valid.
        unsafe {
            let stream = (*self.as_ptr()).stream;
            !stream.is_null()
                && (*self.as_ptr()).headers_in.content_length_n < 0
                && ((*stream).in_closed() == 0 || !(*stream).preread.is_null())
        }
    }

    #[cfg(not(ngx_feature = "http_v2"))]
    unsafe fn http2_body_to_come(self) -> bool {
        false
    }

    /// Returns whether the response's header has been sent.
    #[inline]
    pub fn header_sent(self) -> bool {
        self.header_sent_bit() != 0
    }

    /// Returns whether the client's connection stays open after the response.
    #[inline]
    pub fn keepalive(self) -> bool {
        self.keepalive_bit() != 0
    }

    /// Sets whether the client's connection stays open after the response.
    pub fn set_keepalive(self, keepalive: bool) {
        self.set_keepalive_bit(keepalive.into())
    }

    /// Returns whether the response is sent in chunks.
    #[inline]
    pub fn chunked(self) -> bool {
        self.chunked_bit() != 0
    }

    /// Discards the rest of the request's body.
    pub fn discard_body(self) -> ngx_int_t {
        // SAFETY: the request is valid by the handle's contract.
        unsafe { sys::ngx_http_discard_request_body(self.as_ptr()) }
    }

    /// Sends the response's header.
    pub fn send_header(self) -> ngx_int_t {
        // SAFETY: the request is valid by the handle's contract.
        unsafe { sys::ngx_http_send_header(self.as_ptr()) }
    }

    /// Sends a whole body, or the end of an empty one.
    pub fn send_body(self, body: &[u8]) -> Result<ngx_int_t, AllocError> {
        let text = self.pool().copy(body)?;
        let buf = self.pool().alloc::<ngx_buf_t>()?;
        let chain = self.pool().alloc::<ngx_chain_t>()?;
        // SAFETY: fresh memory of the right size; the bytes are in the pool.
        unsafe {
            buf.write(std::mem::zeroed());
            if !body.is_empty() {
                (*buf).start = text.data;
                (*buf).pos = text.data;
                (*buf).end = text.data.add(text.len);
                (*buf).last = (*buf).end;
                (*buf).set_memory(1);
            }
            (*buf).set_last_buf((!self.is_subrequest()).into());
            (*buf).set_last_in_chain(1);
            chain.write(ngx_chain_t { buf, next: std::ptr::null_mut() });
            Ok(sys::ngx_http_output_filter(self.as_ptr(), chain))
        }
    }

    /// Hands the request back to nginx with a result.
    pub fn finalize(self, rc: ngx_int_t) {
        // SAFETY: the request is valid; nginx may free it here, so the handle is not used again.
        unsafe { sys::ngx_http_finalize_request(self.as_ptr(), rc) }
    }

    /// Returns whether this request runs the location that `post_action` names, after the response.
    #[inline]
    pub fn is_post_action(self) -> bool {
        self.post_action_bit() != 0
    }

    /// Continues the phases at the handler that suspended them. Call it only from an event of
    /// nginx's loop, because it may free the request.
    pub fn resume_phases(self) {
        let r = self.as_ptr();
        // SAFETY: the request is valid and suspended; its connection outlives it.
        unsafe {
            let connection = (*r).connection;
            (*r).read_event_handler = Some(sys::ngx_http_block_reading);
            (*r).write_event_handler = Some(sys::ngx_http_core_run_phases);
            sys::ngx_http_core_run_phases(r);
            sys::ngx_http_run_posted_requests(connection);
        }
    }

    /// Continues the phases inside an event of nginx's that runs posted requests itself.
    pub fn run_phases(self) {
        let r = self.as_ptr();
        // SAFETY: the request is valid, and a phase handler of this module suspended it.
        unsafe {
            self.set_preserve_body_bit(1);
            (*r).write_event_handler = Some(sys::ngx_http_core_run_phases);
            sys::ngx_http_core_run_phases(r);
        }
    }

    /// Makes nginx continue sending the response, from an event of its loop. It may free the
    /// request.
    pub fn resume_writing(self) {
        let r = self.as_ptr();
        // SAFETY: the request is valid; its connection outlives it.
        unsafe {
            let connection = (*r).connection;
            if let Some(handler) = (*r).write_event_handler {
                handler(r);
            }
            sys::ngx_http_run_posted_requests(connection);
        }
    }

    /// Returns whether a response with this status, to this request, has a body.
    #[inline]
    pub fn expects_body(self) -> bool {
        !self.is_head() && !self.header_only() && self.status() >= 200 && !matches!(self.status(), 204 | 304)
    }

    /// Tells nginx whether a filter of this module holds part of the response, so that nginx does
    /// not take the response as sent.
    pub fn set_buffered(self, buffered: bool) {
        // One of the four bits of `ngx_http_request_t`; nginx's image filter uses it, too.
        const BIT: u32 = 0x08;
        let other = self.buffered_bits() & !BIT;
        self.set_buffered_bits(other | if buffered { BIT } else { 0 });
    }

    /// Returns whether part of the response is on its way to the client: in the filters after this
    /// module's, or waiting for the connection.
    pub fn is_sending(self) -> bool {
        // SAFETY: a live request has a connection.
        unsafe { (*(*self.as_ptr()).connection).buffered() != 0 || !(*self.as_ptr()).postponed.is_null() }
    }

    /// Returns whether a filter needs the body in memory, and whether it needs memory that it may
    /// write to.
    pub fn filters_need(self) -> (bool, bool) {
        let in_memory = self.filter_need_in_memory_bit() | self.main().main_filter_need_in_memory_bit();
        (in_memory != 0, self.filter_need_temporary_bit() != 0)
    }

    /// Returns whether output waits for the client, or for an earlier subrequest: more output would
    /// only wait as well. Returns false if a filter has taken everything and keeps it, for example
    /// to compress it, because nothing else would ask for more output then.
    pub fn is_blocked(self) -> bool {
        const FOR_CLIENT: u32 = sys::NGX_HTTP_WRITE_BUFFERED | sys::NGX_HTTP_V2_BUFFERED;
        // SAFETY: a live request has a connection.
        unsafe {
            (*(*self.as_ptr()).connection).buffered() as u32 & FOR_CLIENT != 0 || !(*self.as_ptr()).postponed.is_null()
        }
    }

    /// Stops the timeout in which the client must accept data (`send_timeout`), while there are no
    /// data for it.
    pub fn stop_send_timeout(self) {
        // SAFETY: a live request has a connection, and the connection has a write event; if the
        // timer is set, it is in nginx's tree.
        unsafe {
            let write = (*(*self.as_ptr()).connection).write;
            // A delayed event waits for `limit_rate`, not for the client.
            if (*write).timer_set() != 0 && (*write).delayed() == 0 {
                sys::ngx_del_timer(write);
            }
        }
    }

    /// Forbids cutting ranges out of the response, whose bytes are not those that the client knows.
    pub fn forbid_ranges(self) {
        self.set_allow_ranges_bit(0);
        self.set_single_range_bit(0);
    }
}

const METHODS: &[(&[u8], u32)] = &[
    (b"GET", sys::NGX_HTTP_GET),
    (b"HEAD", sys::NGX_HTTP_HEAD),
    (b"POST", sys::NGX_HTTP_POST),
    (b"PUT", sys::NGX_HTTP_PUT),
    (b"DELETE", sys::NGX_HTTP_DELETE),
    (b"MKCOL", sys::NGX_HTTP_MKCOL),
    (b"COPY", sys::NGX_HTTP_COPY),
    (b"MOVE", sys::NGX_HTTP_MOVE),
    (b"OPTIONS", sys::NGX_HTTP_OPTIONS),
    (b"PROPFIND", sys::NGX_HTTP_PROPFIND),
    (b"PROPPATCH", sys::NGX_HTTP_PROPPATCH),
    (b"LOCK", sys::NGX_HTTP_LOCK),
    (b"UNLOCK", sys::NGX_HTTP_UNLOCK),
    (b"PATCH", sys::NGX_HTTP_PATCH),
    (b"TRACE", sys::NGX_HTTP_TRACE),
];
