//! `ngx_http_subrequest`: a request that nginx makes inside another one. It begins with a copy of that
//! one's structure, so its fields and its body are those of the other one until it has its own.

use std::borrow::Cow;
use std::ffi::c_void;
use std::ptr;

use nginx_sys::{ngx_http_post_subrequest_t, ngx_http_request_body_t, ngx_http_request_t, ngx_int_t};

use crate::Request;
use crate::pool::AllocError;

impl<'r> Request<'r> {
    /// Returns whether the client gets nothing of this subrequest (`mirror`), nor of one that it is in.
    /// nginx ends such a one without waiting for its filters, and an error of it would cut the client off.
    pub fn is_background(self) -> bool {
        let mut request = self;
        loop {
            if request.background_bit() != 0 {
                return true;
            }
            // SAFETY: null, or a request that lives as long as this one.
            match unsafe { request.raw().parent.as_mut() } {
                // SAFETY: as above.
                Some(parent) => request = unsafe { Self::from_nginx(parent) },
                None => return false,
            }
        }
    }

    /// Returns whether nginx does nothing with the request any more: it has closed it, or it is a
    /// subrequest that has ended.
    pub fn is_over(self) -> bool {
        self.is_closed() || self.is_subrequest() && self.done_bit() != 0
    }

    /// Returns whether a subrequest has a body: one that nginx has read as a whole for the request that it
    /// is in.
    pub(crate) fn has_read_body(self) -> bool {
        let is_whole = |body: &ngx_http_request_body_t| body.rest == 0 && !body.bufs.is_null();
        !self.main().is_body_unbuffered() && self.read_parts().is_some_and(|body| is_whole(body.get()))
    }

    /// The path and arguments of the request as a client would write them. A subrequest has its own, where
    /// [`Self::unparsed_uri`], and so `$request_uri`, is that of the client's request.
    pub fn target(self) -> Cow<'r, [u8]> {
        if !self.is_subrequest() {
            return Cow::Borrowed(self.unparsed_uri());
        }
        let mut target = Vec::with_capacity(self.uri().len() + self.args().len() + 1);
        for &byte in self.uri() {
            match byte {
                b'%' | b'?' | b'#' | 0..=b' ' | 0x7f.. => target.extend_from_slice(format!("%{byte:02X}").as_bytes()),
                _ => target.push(byte),
            }
        }
        if !self.args().is_empty() {
            target.push(b'?');
            target.extend_from_slice(self.args());
        }
        Cow::Owned(target)
    }

    /// Prepares a subrequest for plugins: it gets its own header fields, so that those of the client's
    /// request stay as they are, and its end is reported when this module's filters hold nothing of it.
    ///
    /// # Errors
    ///
    /// If nginx has no memory.
    pub fn become_independent(self) -> Result<(), AllocError> {
        self.own_headers_in()?;
        self.report_when_sent()
    }

    /// nginx tells whoever made a subrequest (`auth_request`, SSI, Lua) that it has ended when its
    /// response's source has, even if filters hold something back.
    fn report_when_sent(mut self) -> Result<(), AllocError> {
        let original = self.raw().post_subrequest;
        if !original.is_null() {
            let later = ngx_http_post_subrequest_t { handler: Some(report), data: original.cast() };
            self.raw_mut().post_subrequest = self.pool().put(later)?;
        }
        Ok(())
    }

    /// Gives a subrequest a body of its own, to replace it: what it has is that of the client's request.
    ///
    /// # Errors
    ///
    /// As [`Self::become_independent`].
    pub(crate) fn own_body(mut self) -> Result<(), AllocError> {
        if !self.is_subrequest() {
            return Ok(());
        }
        let body = self.read_parts().ok_or(AllocError)?;
        let own = ngx_http_request_body_t { temp_file: ptr::null_mut(), ..*body.get() };
        self.raw_mut().request_body = self.pool().put(own)?;
        Ok(())
    }
}

/// Reports the end of a subrequest, of which this module's filters hold nothing any more.
unsafe extern "C" fn report(r: *mut ngx_http_request_t, data: *mut c_void, rc: ngx_int_t) -> ngx_int_t {
    // SAFETY: nginx passes a subrequest that it ends.
    if unsafe { Request::from_nginx(r) }.is_buffered() {
        return rc;
    }
    // SAFETY: `report_when_sent` stored what nginx had there, which lives as long as the request.
    let original = unsafe { &*data.cast::<ngx_http_post_subrequest_t>() };
    match original.handler {
        // SAFETY: nginx would have called it in the same way.
        Some(handler) => unsafe { handler(r, original.data, rc) },
        None => rc,
    }
}
