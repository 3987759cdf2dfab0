//! `ngx_http_parse.c`: a request's URI that does not come from the client.

use nginx_sys::{self as sys, ngx_http_core_srv_conf_t, ngx_http_request_t, ngx_str_t};

use crate::pool::AllocError;
use crate::{Request, rc, string};

/// The parts of a path with arguments, as nginx parses it.
struct Target {
    /// The target as it was given.
    unparsed: ngx_str_t,
    /// The path: decoded, without `.`, `..` and repeated slashes.
    uri: ngx_str_t,
    args: ngx_str_t,
    quoted: bool,
    plus: bool,
}

impl Request {
    /// Sets path and arguments. `target` must begin with a slash and have neither spaces nor
    /// control characters. Returns false, and changes nothing, if nginx would refuse it from a
    /// client.
    ///
    /// nginx treats a new path as after `rewrite … break`: the location keeps the request, but its
    /// prefix is no longer cut off the path, and the path is escaped again when it is sent. If only
    /// the arguments are new, nginx treats them as after `set $args`.
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

    /// Parses a target as nginx parses a request line, in a separate request: a target that nginx
    /// refuses changes nothing.
    fn parse_target(self, target: &[u8]) -> Result<Option<Target>, AllocError> {
        let unparsed = self.pool().copy_terminated(target)?;
        // SAFETY: an all-zero request is one that nothing has been read into.
        let mut scratch: ngx_http_request_t = unsafe { std::mem::zeroed() };
        // SAFETY: the request is valid; nginx's parsers use only those parts of `scratch` that are
        // set here, and read one byte behind the URI, which is the NUL.
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

    /// Does what `ngx_http_process_request_uri` does, but does not end the request on an error.
    ///
    /// # Safety
    ///
    /// `ngx_http_parse_uri` has parsed the request's URI without an error.
    unsafe fn split_target(self, merge_slashes: bool) -> Result<bool, AllocError> {
        // SAFETY: by this function's contract, the pointers are null or point into the URI.
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

/// The path of a URI that has not been decoded.
fn path(unparsed: &[u8]) -> &[u8] {
    let end = unparsed.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(unparsed.len());
    &unparsed[..end]
}
