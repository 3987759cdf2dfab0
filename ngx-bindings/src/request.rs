//! `ngx_http_request.h`: one request.

use std::mem;
use std::ptr::NonNull;

use nginx_sys::{
    self as sys, ngx_chain_t, ngx_connection_t, ngx_http_client_body_handler_pt, ngx_http_core_loc_conf_t,
    ngx_http_core_main_conf_t, ngx_http_request_t, ngx_int_t,
};

use crate::chain::memory_buf;
use crate::live::Live;
use crate::modules::HttpModule;
use crate::pool::AllocError;
use crate::{Log, Pool, modules};

/// One request of nginx, for as long as nginx's call lasts. In memory it is nginx's pointer, so a
/// handler of this module takes it in the pointer's place.
///
/// Functions that may free the request are unsafe: after them, nothing that came from the request
/// may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Request<'r>(pub(crate) Live<'r, ngx_http_request_t>);

/// A request that is kept beyond nginx's call, by something that nginx destroys with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRequest(NonNull<ngx_http_request_t>);

impl StoredRequest {
    /// The request, for as long as its keeper lends it.
    ///
    /// # Safety
    ///
    /// nginx has not freed the request, and does not while it is lent.
    #[inline]
    pub unsafe fn lend(&self) -> Request<'_> {
        // SAFETY: by this function's contract.
        unsafe { Request::from_nginx(self.0.as_ptr()) }
    }

    /// Does the same for a request that nginx keeps as long as another one.
    ///
    /// # Safety
    ///
    /// nginx has not freed the request, and does not before it frees the other one.
    #[inline]
    pub unsafe fn lend_with<'r>(self, _: Request<'r>) -> Request<'r> {
        // SAFETY: by this function's contract.
        unsafe { Request::from_nginx(self.0.as_ptr()) }
    }
}

/// Functions of nginx that need a valid request and nothing else.
macro_rules! functions {
    ($(
        $(#[$doc:meta])*
        $vis:vis fn $name:ident(self $(, $argument:ident: $type:ty)?) $(-> $result:ty)? = $of_nginx:ident;
    )+) => {
        impl Request<'_> {
            $(
                $(#[$doc])*
                $vis fn $name(self $(, $argument: $type)?) $(-> $result)? {
                    // SAFETY: the request is valid by the handle's contract.
                    unsafe { sys::$of_nginx(self.as_ptr() $(, $argument)?) }
                }
            )+
        }
    };
}

functions! {
    /// Forgets the response's header.
    pub(crate) fn clean_header(self) = ngx_http_clean_header;
    /// Discards the rest of the request's body.
    pub fn discard_body(self) -> ngx_int_t = ngx_http_discard_request_body;
    /// Reads the whole body, and then calls the handler.
    pub(crate) fn read_client_body(self, handler: ngx_http_client_body_handler_pt) -> ngx_int_t
        = ngx_http_read_client_request_body;
    /// Sends the response's header.
    pub fn send_header(self) -> ngx_int_t = ngx_http_send_header;
    /// Notes the extension of the path.
    pub(crate) fn set_exten(self) = ngx_http_set_exten;
    /// Makes the response's ETag weak.
    pub fn weaken_etag(self) = ngx_http_weak_etag;
}

impl<'r> Request<'r> {
    /// # Safety
    ///
    /// `r` is a request of nginx, which nginx does not free during `'r`; it is used only in nginx's
    /// thread.
    #[inline]
    pub unsafe fn from_nginx(r: *mut ngx_http_request_t) -> Self {
        // SAFETY: by this function's contract.
        Self(unsafe { Live::of(r) })
    }

    /// The request, to be kept beyond nginx's call.
    pub fn store(self) -> StoredRequest {
        StoredRequest(self.0.pointer())
    }

    /// The pointer that nginx's functions take.
    #[inline]
    pub fn as_ptr(self) -> *mut ngx_http_request_t {
        self.0.as_ptr()
    }

    /// nginx's structure, to read it as [`Live`] says.
    #[inline]
    pub(crate) fn raw(self) -> &'r ngx_http_request_t {
        self.0.get()
    }

    /// As [`Self::raw`], to change it.
    #[inline]
    pub(crate) fn raw_mut(&mut self) -> &mut ngx_http_request_t {
        self.0.get_mut()
    }

    /// The client's connection; in HTTP/2, that of the stream.
    #[inline]
    pub(crate) fn connection(self) -> Live<'r, ngx_connection_t> {
        // SAFETY: every request has a connection, which outlives it.
        unsafe { Live::of(self.raw().connection) }
    }

    /// The pool that lives as long as the request.
    #[inline]
    pub fn pool(self) -> Pool<'r> {
        // SAFETY: a live request has a pool.
        unsafe { Pool::from_nginx(self.raw().pool) }
    }

    /// The log of the request's connection.
    #[inline]
    pub fn log(self) -> Log<'r> {
        // SAFETY: a connection has a log.
        unsafe { Log::from_nginx(self.connection().get().log) }
    }

    /// The request that the client sent; a subrequest belongs to it.
    pub fn main(self) -> Self {
        // SAFETY: `r->main` is never null, and lives as long as its subrequests.
        unsafe { Self::from_nginx(self.raw().main) }
    }

    /// Returns whether nginx made this request inside another one.
    #[inline]
    pub fn is_subrequest(self) -> bool {
        self.raw().main != self.as_ptr()
    }

    /// Returns whether the Lua module made this request where there is none: in a timer, or in
    /// `init_worker_by_lua`. Such a request has no client, and only the parts that Lua itself
    /// needs.
    #[inline]
    pub fn is_fake(self) -> bool {
        self.connection().get().fd == -1
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
    #[inline]
    pub fn module_ctx<M, L, C>(self, module: HttpModule<M, L, C>) -> Option<&'r C> {
        let () = HttpModule::<M, L, C>::HAS_CTX;
        // SAFETY: `r->ctx` has an entry for each module of `http`, null or the module's context.
        unsafe { module.entry(self.raw().ctx) }
    }

    /// Stores the module's context of this request; it stays until
    /// [`Self::may_have_lost_contexts`].
    ///
    /// # Safety
    ///
    /// `ctx` is valid until the request's pool is destroyed.
    pub unsafe fn set_module_ctx<M, L, C>(self, module: HttpModule<M, L, C>, ctx: NonNull<C>) -> &'r C {
        // SAFETY: `r->ctx` has an entry for each module of `http`.
        unsafe { *self.raw().ctx.wrapping_add(module.index()) = ctx.as_ptr().cast() };
        // SAFETY: by this function's contract.
        unsafe { ctx.as_ref() }
    }

    /// The module's configuration of the location that the request is in.
    #[inline]
    pub fn loc_conf<M, L, C>(self, module: HttpModule<M, L, C>) -> &'r L {
        let () = HttpModule::<M, L, C>::HAS_LOC;
        // SAFETY: `r->loc_conf` has an entry for each module of `http`; the cycle outlives its
        // requests.
        unsafe { module.entry(self.raw().loc_conf) }
    }

    /// The module's configuration of `http`.
    #[inline]
    pub fn main_conf<M, L, C>(self, module: HttpModule<M, L, C>) -> &'r M {
        let () = HttpModule::<M, L, C>::HAS_MAIN;
        // SAFETY: as above.
        unsafe { module.entry(self.raw().main_conf) }
    }

    /// The core module's configuration of `http`.
    pub(crate) fn core_main_conf(self) -> &'r ngx_http_core_main_conf_t {
        self.main_conf(modules::http_core())
    }

    /// The core module's configuration of the location that the request is in.
    pub(crate) fn core_loc_conf(self) -> &'r ngx_http_core_loc_conf_t {
        self.loc_conf(modules::http_core())
    }

    /// The method as the client wrote it.
    pub fn method(self) -> &'r [u8] {
        self.raw().method_name.as_bytes()
    }

    /// Sets the method, and nginx's number for it.
    pub fn set_method(mut self, name: &[u8]) -> Result<(), AllocError> {
        let number =
            METHODS.iter().find(|(known, _)| *known == name).map_or(sys::NGX_HTTP_UNKNOWN, |(_, number)| *number);
        let name = self.pool().copy(name)?;
        let r = self.raw_mut();
        r.method_name = name;
        r.method = number as _;
        Ok(())
    }

    /// Returns whether the method is HEAD: nginx then sends no body after the header.
    pub fn is_head(self) -> bool {
        self.raw().method as u32 == sys::NGX_HTTP_HEAD
    }

    /// Runs a function while nginx sees HEAD, or else another method, in the request.
    pub fn with_head<R>(mut self, head: bool, run: impl FnOnce(Self) -> R) -> R {
        if self.is_head() == head {
            return run(self);
        }
        let other = if head { sys::NGX_HTTP_HEAD } else { sys::NGX_HTTP_GET };
        let method = mem::replace(&mut self.raw_mut().method, other as _);
        let result = run(self);
        self.raw_mut().method = method;
        result
    }

    /// The location's name as the configuration has it, or its regular expression.
    pub fn location_name(self) -> &'r [u8] {
        self.core_loc_conf().name.as_bytes()
    }

    /// Returns whether nginx has, or had, an upstream for the request.
    pub fn has_upstream(self) -> bool {
        !self.raw().upstream.is_null()
    }

    /// Returns whether only the response's header is wanted.
    #[inline]
    pub fn header_only(self) -> bool {
        self.header_only_bit() != 0
    }

    /// `https` or `http`.
    pub fn scheme(self) -> &'static [u8] {
        #[cfg(ngx_feature = "http_ssl")]
        if !self.connection().get().ssl.is_null() {
            return b"https";
        }
        b"http"
    }

    /// The path and arguments as the client wrote them, or as [`Self::set_target`] left them.
    #[inline]
    pub fn unparsed_uri(self) -> &'r [u8] {
        self.raw().unparsed_uri.as_bytes()
    }

    /// The path, decoded.
    pub fn uri(self) -> &'r [u8] {
        self.raw().uri.as_bytes()
    }

    /// The arguments, without the question mark.
    pub fn args(self) -> &'r [u8] {
        self.raw().args.as_bytes()
    }

    /// The host that the client asked for, without the port; empty if it named none.
    #[inline]
    pub fn host(self) -> &'r [u8] {
        self.raw().headers_in.server.as_bytes()
    }

    /// Returns whether the request has a body that is still to be read. Of a subrequest the body is there,
    /// or there is none.
    #[inline]
    pub fn has_body(self) -> bool {
        if self.is_subrequest() {
            return self.has_read_body();
        }
        let headers = &self.raw().headers_in;
        headers.content_length_n > 0 || headers.chunked() != 0 || self.http2_body_to_come()
    }

    /// Returns whether an HTTP/2 request without a length has a body that will come, or has come
    /// meanwhile: its stream says so.
    #[cfg(ngx_feature = "http_v2")]
    fn http2_body_to_come(self) -> bool {
        // SAFETY: null, or valid as long as the request.
        unsafe { self.raw().stream.as_ref() }.is_some_and(|stream| {
            self.raw().headers_in.content_length_n < 0 && (stream.in_closed() == 0 || !stream.preread.is_null())
        })
    }

    #[cfg(not(ngx_feature = "http_v2"))]
    fn http2_body_to_come(self) -> bool {
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

    /// Sends a whole body, or the end of an empty one.
    pub fn send_body(self, body: &[u8]) -> Result<ngx_int_t, AllocError> {
        let mut buf = memory_buf(self.pool().copy(body)?);
        buf.set_memory((!body.is_empty()).into());
        buf.set_last_buf((!self.is_subrequest()).into());
        buf.set_last_in_chain(1);
        Ok(self.output(self.pool().chain_of(buf)?))
    }

    /// Sends a chain, or with null what waits, through the body filters.
    pub(crate) fn output(self, chain: *mut ngx_chain_t) -> ngx_int_t {
        // SAFETY: the request is valid; null, or a chain in its pool.
        unsafe { sys::ngx_http_output_filter(self.as_ptr(), chain) }
    }

    /// Returns whether this request runs the location that `post_action` names, after the response.
    #[inline]
    pub fn is_post_action(self) -> bool {
        self.post_action_bit() != 0
    }

    /// Returns whether a response with this status, to this request, has a body.
    #[inline]
    pub fn expects_body(self) -> bool {
        !self.is_head() && !self.header_only() && self.status() >= 200 && !matches!(self.status(), 204 | 304)
    }

    /// Tells nginx whether a filter of this module holds part of the response, so that nginx does
    /// not take the response as sent.
    pub fn set_buffered(self, buffered: bool) {
        let other = self.buffered_bits() & !BUFFERED;
        self.set_buffered_bits(other | if buffered { BUFFERED } else { 0 });
    }

    /// Returns whether a filter of this module holds part of the response.
    pub(crate) fn is_buffered(self) -> bool {
        self.buffered_bits() & BUFFERED != 0
    }

    /// Returns whether part of the response is on its way to the client: in the filters after this
    /// module's, or waiting for the connection.
    pub fn is_sending(self) -> bool {
        self.connection().get().buffered() != 0 || !self.raw().postponed.is_null()
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
        self.connection().get().buffered() as u32 & FOR_CLIENT != 0 || !self.raw().postponed.is_null()
    }

    /// Stops the timeout in which the client must accept data (`send_timeout`), while there are no
    /// data for it.
    pub fn stop_send_timeout(self) {
        let write = self.connection().write_event();
        // A delayed event waits for `limit_rate`, not for the client.
        if write.get().timer_set() != 0 && write.get().delayed() == 0 {
            // SAFETY: an event whose timer is set is in nginx's tree.
            unsafe { sys::ngx_del_timer(write.as_ptr()) };
        }
    }

    /// Forbids cutting ranges out of the response, whose bytes are not those that the client knows.
    pub fn forbid_ranges(self) {
        self.set_allow_ranges_bit(0);
        self.set_single_range_bit(0);
    }
}

/// One of the four bits of `ngx_http_request_t`; nginx's image filter uses it, too.
const BUFFERED: u32 = 0x08;

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
