//! `ngx_http_parse.c`: the URI of a request, when it is not the client who says it.

use nginx_sys::{self as sys, ngx_http_core_srv_conf_t, ngx_http_request_t, ngx_str_t};

use crate::pool::AllocError;
use crate::{Request, rc, string};

/// What nginx makes of a path with arguments.
struct Target {
    /// As it was written.
    unparsed: ngx_str_t,
    /// The path: decoded, without `.`, `..` and repeated slashes.
    uri: ngx_str_t,
    args: ngx_str_t,
    quoted: bool,
    plus: bool,
}

impl Request {
    /// Sets path and arguments, which begin with a slash and hold neither spaces nor control
    /// characters. Answers false, and changes nothing, where nginx would refuse them of a client.
    ///
    /// A new path is for nginx what `rewrite … break` makes it: the location keeps the request, but
    /// its prefix is not cut off the path any more, and the path is escaped again where it is sent.
    /// New arguments behind the path that there was are what `set $args` makes them.
    pub fn set_target(self, target: &[u8]) -> Result<bool, AllocError> {
        let Some(target) = self.parse_target(target)? else {
            return Ok(false);
        };
        let r = self.as_ptr();
        // SAFETY: the request is valid; the strings are in its pool.
        unsafe {
            let path_stays = path(string::bytes(target.unparsed)) == path(self.unparsed_uri());
            (*r).unparsed_uri = target.unparsed;
            (*r).args = target.args;
            self.set_valid_unparsed_uri_bit(0);
            if path_stays {
                return Ok(true);
            }
            (*r).uri = target.uri;
            sys::ngx_http_set_exten(r);
        }
        self.set_internal_bit(1);
        self.set_valid_location_bit(0);
        self.set_uri_changed_bit(0);
        self.set_quoted_uri_bit(target.quoted.into());
        self.set_plus_in_uri_bit(target.plus.into());
        Ok(true)
    }

    /// Parses as nginx does a request line's, in a request of its own: what nginx refuses leaves no trace.
    fn parse_target(self, target: &[u8]) -> Result<Option<Target>, AllocError> {
        let unparsed = self.pool().copy_terminated(target)?;
        // SAFETY: all zero is a request that nothing was read of.
        let mut scratch: ngx_http_request_t = unsafe { std::mem::zeroed() };
        // SAFETY: the request is valid; nginx's parsers use no more of `scratch` than is set here, and
        // read one byte behind the URI, which is the NUL.
        unsafe {
            scratch.connection = (*self.as_ptr()).connection;
            scratch.pool = self.pool().as_ptr();
            scratch.uri_start = unparsed.data;
            scratch.uri_end = unparsed.data.add(unparsed.len);
            let parsed = Self::from_nginx(&raw mut scratch);
            if sys::ngx_http_parse_uri(parsed.as_ptr()) != rc::OK || !parsed.split_target(self.merges_slashes())? {
                return Ok(None);
            }
            let (quoted, plus) = (parsed.quoted_uri_bit() != 0, parsed.plus_in_uri_bit() != 0);
            Ok(Some(Target { unparsed, uri: scratch.uri, args: scratch.args, quoted, plus }))
        }
    }

    /// As `ngx_http_process_request_uri`, which would end the request of a client.
    ///
    /// # Safety
    ///
    /// `ngx_http_parse_uri` has read the request's URI, and found it good.
    unsafe fn split_target(self, merge_slashes: bool) -> Result<bool, AllocError> {
        // SAFETY: by this function's contract, the pointers are null or into the URI.
        unsafe {
            let r = self.as_ptr();
            let end = if (*r).args_start.is_null() { (*r).uri_end } else { (*r).args_start.sub(1) };
            (*r).uri = ngx_str_t { len: end.offset_from((*r).uri_start) as usize, data: (*r).uri_start };
            if self.complex_uri_bit() != 0 || self.quoted_uri_bit() != 0 {
                (*r).uri.data = self.pool().alloc_bytes((*r).uri.len)?;
                if sys::ngx_http_parse_complex_uri(r, merge_slashes.into()) != rc::OK {
                    return Ok(false);
                }
            }
            if !(*r).args_start.is_null() && (*r).uri_end > (*r).args_start {
                let len = (*r).uri_end.offset_from((*r).args_start) as usize;
                (*r).args = ngx_str_t { len, data: (*r).args_start };
            }
        }
        Ok(true)
    }

    fn merges_slashes(self) -> bool {
        // SAFETY: `T` is the type of that module's configuration, which every server has.
        unsafe {
            let index = sys::ngx_http_core_module.ctx_index as usize;
            let server: *const ngx_http_core_srv_conf_t = (*(*self.as_ptr()).srv_conf.add(index)).cast();
            (*server).merge_slashes != 0
        }
    }
}

/// The path of a URI that was not decoded.
fn path(unparsed: &[u8]) -> &[u8] {
    let end = unparsed.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(unparsed.len());
    &unparsed[..end]
}
