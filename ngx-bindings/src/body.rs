//! `ngx_http_request_body.c`: the request's body.

use nginx_sys::{self as sys, ngx_buf_t, ngx_chain_t, ngx_http_core_loc_conf_t, ngx_http_request_t, ngx_int_t};

use crate::chain::Chain;
use crate::pool::AllocError;
use crate::{Request, rc};

impl Request {
    /// Reads the whole body, into memory or a file as nginx is configured, and then calls
    /// `handler`. Call it in a phase handler, which must return `DONE`, unless this returns a
    /// status to finish with.
    pub fn read_body(self, handler: unsafe extern "C" fn(*mut ngx_http_request_t)) -> ngx_int_t {
        if self.may_need_named_body_file() {
            self.ask_for_named_body_file();
        }
        // SAFETY: the request is valid. nginx adds one to the request's count here, and takes it
        // away when the caller returns `DONE`.
        unsafe {
            let rc = sys::ngx_http_read_client_request_body(self.as_ptr(), Some(handler));
            if rc < sys::NGX_HTTP_SPECIAL_RESPONSE as ngx_int_t && rc != rc::ERROR {
                sys::ngx_http_finalize_request(self.as_ptr(), rc::DONE);
                return rc::DONE;
            }
            rc
        }
    }

    /// The body that was read; empty if there is none.
    pub fn body(self) -> Chain {
        // SAFETY: the request is valid; `request_body` is null or valid.
        unsafe {
            let body = (*self.as_ptr()).request_body;
            Chain::from_ptr(if body.is_null() { std::ptr::null_mut() } else { (*body).bufs })
        }
    }

    /// Replaces the body, after [`Self::read_body`], and sets the length that goes upstream. The
    /// new body is in memory up to `client_body_buffer_size`, and in a temporary file beyond that,
    /// or if nginx was told to keep all bodies in files.
    pub fn set_body(self, bytes: &[u8]) -> Result<(), AllocError> {
        // SAFETY: the request is valid; the location's configuration is the core module's.
        let limit = unsafe {
            let core: *mut ngx_http_core_loc_conf_t = self.loc_conf(&raw const sys::ngx_http_core_module);
            (*core).client_body_buffer_size
        };
        let in_file = bytes.len() > limit || self.must_keep_body_in_file();
        if in_file {
            self.write_body_file(bytes)?
        } else {
            self.set_body_in_memory(bytes)?
        }
        let r = self.as_ptr();
        // SAFETY: the request is valid.
        unsafe {
            (*r).headers_in.content_length_n = bytes.len() as _;
            (*r).headers_in.set_chunked(0);
        }
        self.remove_header_in(b"transfer-encoding")?;
        self.set_header_in(b"content-length", bytes.len().to_string().as_bytes())
    }

    /// Puts the body into one buffer, as `client_body_in_single_buffer` and the variable
    /// `$request_body` need it.
    fn set_body_in_memory(self, bytes: &[u8]) -> Result<(), AllocError> {
        let pool = self.pool();
        // SAFETY: the request is valid; `request_body` is null or valid; the memory is fresh.
        unsafe {
            let body = (*self.as_ptr()).request_body.as_mut().ok_or(AllocError)?;
            body.bufs = std::ptr::null_mut();
            if !bytes.is_empty() {
                let text = pool.copy(bytes)?;
                let buf: *mut ngx_buf_t = pool.alloc()?;
                let chain: *mut ngx_chain_t = pool.alloc()?;
                buf.write(std::mem::zeroed());
                (*buf).start = text.data;
                (*buf).pos = text.data;
                (*buf).last = text.data.add(text.len);
                (*buf).end = (*buf).last;
                (*buf).set_temporary(1);
                (*buf).set_last_buf(1);
                chain.write(ngx_chain_t { buf, next: std::ptr::null_mut() });
                body.bufs = chain;
            }
            // Other modules read the body from the file if there is one. The file of the old body
            // is removed with the pool.
            body.temp_file = std::ptr::null_mut();
            body.buf = std::ptr::null_mut();
        }
        Ok(())
    }
}
