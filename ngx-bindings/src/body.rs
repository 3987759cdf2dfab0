//! `ngx_http_request_body.c`: the request's body.

use nginx_sys::{
    self as sys, ngx_buf_t, ngx_chain_t, ngx_http_core_loc_conf_t, ngx_http_request_t, ngx_int_t, ngx_temp_file_t,
};

use crate::chain::Chain;
use crate::pool::AllocError;
use crate::{Request, rc};

impl Request {
    /// Reads the whole body, to memory or a file as nginx is configured, and then calls `handler`. To be called in a phase handler,
    /// which answers `DONE` unless this answers a status to finish with.
    pub fn read_body(self, handler: unsafe extern "C" fn(*mut ngx_http_request_t)) -> ngx_int_t {
        // SAFETY: the request is valid; what nginx adds to its count, the caller's `DONE` takes away.
        unsafe {
            self.set_request_body_in_single_buf_bit(0);
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

    /// Replaces the body, after [`Self::read_body`]; what goes upstream gets its length.
    pub fn set_body(self, bytes: &[u8]) -> Result<(), AllocError> {
        let (chain, file) = self.body_chain(bytes)?;
        let r = self.as_ptr();
        // SAFETY: the request is valid.
        unsafe {
            let body = (*r).request_body;
            if body.is_null() {
                return Err(AllocError);
            }
            (*body).bufs = chain;
            // What other modules take the body from, if there is one; the old file goes with the pool.
            (*body).temp_file = file;
            (*body).buf = std::ptr::null_mut();
            (*r).headers_in.content_length_n = bytes.len() as _;
            (*r).headers_in.set_chunked(0);
        }
        self.remove_header_in(b"transfer-encoding")?;
        self.set_header_in(b"content-length", bytes.len().to_string().as_bytes())
    }

    /// Bytes that stay in memory up to `client_body_buffer_size`, and go to a temporary file beyond, as a client's would.
    fn body_chain(self, bytes: &[u8]) -> Result<(*mut ngx_chain_t, *mut ngx_temp_file_t), AllocError> {
        if bytes.is_empty() {
            return Ok((std::ptr::null_mut(), std::ptr::null_mut()));
        }
        let pool = self.pool();
        // SAFETY: fresh memory; the location's configuration is the core module's.
        unsafe {
            let core: *mut ngx_http_core_loc_conf_t = self.loc_conf(&raw const sys::ngx_http_core_module);
            let buf: *mut ngx_buf_t = pool.alloc()?;
            let chain: *mut ngx_chain_t = pool.alloc()?;
            buf.write(std::mem::zeroed());
            chain.write(ngx_chain_t { buf, next: std::ptr::null_mut() });
            (*buf).set_last_buf(1);
            if bytes.len() <= (*core).client_body_buffer_size {
                let text = pool.copy(bytes)?;
                (*buf).start = text.data;
                (*buf).pos = text.data;
                (*buf).last = text.data.add(text.len);
                (*buf).end = (*buf).last;
                (*buf).set_temporary(1);
                return Ok((chain, std::ptr::null_mut()));
            }
            (*buf).pos = bytes.as_ptr().cast_mut();
            (*buf).last = (*buf).pos.add(bytes.len());
            (*buf).set_memory(1);
            let file: *mut ngx_temp_file_t = pool.alloc()?;
            file.write(std::mem::zeroed());
            (*file).file.fd = sys::NGX_INVALID_FILE as _;
            (*file).file.log = self.log().as_ptr();
            (*file).path = (*core).client_body_temp_path;
            (*file).pool = pool.as_ptr();
            (*file).set_clean(1);
            if sys::ngx_write_chain_to_temp_file(file, chain) < 0 {
                return Err(AllocError);
            }
            buf.write(std::mem::zeroed());
            (*buf).set_last_buf(1);
            (*buf).set_in_file(1);
            (*buf).file = &raw mut (*file).file;
            (*buf).file_last = bytes.len() as _;
            Ok((chain, file))
        }
    }
}
