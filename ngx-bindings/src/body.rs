//! `ngx_http_request_body.c`: the request's body.

use std::{mem, ptr};

use nginx_sys::{self as sys, ngx_http_client_body_handler_pt, ngx_http_request_body_t, ngx_int_t};

use crate::chain::{Chain, memory_buf};
use crate::live::Live;
use crate::pool::AllocError;
use crate::{Request, rc};

/// What nginx calls when it has read a request's body.
pub type BodyHandler = for<'r> extern "C" fn(Request<'r>);

impl<'r> Request<'r> {
    /// Reads the whole body, into memory or a file as nginx is configured, and then calls
    /// `handler`. Call it in a phase handler, which must return `DONE`, unless this returns a
    /// status to finish with.
    pub fn read_body(self, handler: BodyHandler) -> ngx_int_t {
        if self.may_need_named_body_file() {
            self.ask_for_named_body_file();
        }
        // SAFETY: to a handler, nginx's pointer to a request is a handle.
        let handler = unsafe { mem::transmute::<BodyHandler, ngx_http_client_body_handler_pt>(handler) };
        let rc = self.read_client_body(handler);
        if rc < sys::NGX_HTTP_SPECIAL_RESPONSE as ngx_int_t && rc != rc::ERROR {
            // SAFETY: nginx has added one to the request's count. This takes it away, and frees
            // nothing.
            unsafe { self.finalize(rc::DONE) };
            return rc::DONE;
        }
        rc
    }

    /// The body that was read; empty if there is none.
    pub fn body(self) -> Chain {
        let bufs = self.read_parts().map_or(ptr::null_mut(), |parts| parts.get().bufs);
        // SAFETY: the body's chain lives as long as the request.
        unsafe { Chain::from_ptr(bufs) }
    }

    /// Replaces the body, after [`Self::read_body`], and sets the length that goes upstream. The
    /// new body is in memory up to `client_body_buffer_size`, and in a temporary file beyond that,
    /// or if nginx was told to keep all bodies in files.
    pub fn set_body(self, bytes: &[u8]) -> Result<(), AllocError> {
        self.own_body()?;
        let in_file = bytes.len() > self.core_loc_conf().client_body_buffer_size || self.must_keep_body_in_file();
        if in_file {
            self.write_body_file(bytes)?
        } else {
            self.set_body_in_memory(bytes)?
        }
        self.set_length(bytes.len() as u64)
    }

    /// Puts the body into one buffer, as `client_body_in_single_buffer` and the variable
    /// `$request_body` need it.
    fn set_body_in_memory(self, bytes: &[u8]) -> Result<(), AllocError> {
        let pool = self.pool();
        let mut parts = self.read_parts().ok_or(AllocError)?;
        let body = parts.get_mut();
        body.bufs = ptr::null_mut();
        if !bytes.is_empty() {
            let mut buf = memory_buf(pool.copy(bytes)?);
            buf.set_temporary(1);
            buf.set_last_buf(1);
            body.bufs = pool.chain_of(buf)?;
        }
        // Other modules read the body from the file if there is one. The file of the old body is
        // removed with the pool.
        body.temp_file = ptr::null_mut();
        body.buf = ptr::null_mut();
        Ok(())
    }

    /// nginx's structure of the body that was read.
    pub(crate) fn read_parts(self) -> Option<Live<'r, ngx_http_request_body_t>> {
        // SAFETY: null, or valid as long as the request.
        unsafe { Live::new(self.raw().request_body) }
    }
}
