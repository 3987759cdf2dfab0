//! `ngx_http_parse.c`: a request's URI that does not come from the client.

use nginx_sys::{self as sys, ngx_http_core_srv_conf_t, ngx_http_request_t, ngx_str_t};

use crate::live::zeroed;
use crate::pool::AllocError;
use crate::{Request, modules, rc};

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

impl Request<'_> {
    /// Sets path and arguments. `target` must begin with a slash and have neither spaces nor
    /// control characters. Returns false, and changes nothing, if nginx would refuse it from a
    /// client.
    ///
    /// nginx treats a new path as after `rewrite … break`: the location keeps the request, but its
    /// prefix is no longer cut off the path, and the path is escaped again when it is sent. If only
    /// the arguments are new, nginx treats them as after `set $args`.
    pub fn set_target(mut self, target: &[u8]) -> Result<bool, AllocError> {
        let Some(target) = self.parse_target(target)? else {
            return Ok(false);
        };
        let path_stays = path(target.unparsed.as_bytes()) == path(&self.target());
        self.raw_mut().unparsed_uri = target.unparsed;
        self.raw_mut().args = target.args;
        self.set_valid_unparsed_uri_bit(0);
        if path_stays {
            return Ok(true);
        }
        self.raw_mut().uri = target.uri;
        self.set_exten();
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
        let mut scratch: ngx_http_request_t = zeroed();
        scratch.connection = self.raw().connection;
        scratch.pool = self.pool().as_ptr();
        scratch.uri_start = unparsed.data;
        scratch.uri_end = unparsed.data.wrapping_add(unparsed.len);
        // SAFETY: nginx's parsers use only those parts of a request that are set here, and read one
        // byte behind the URI, which is the NUL.
        let parsed = unsafe { Request::from_nginx(&raw mut scratch) };
        if !parsed.split_target(self.merges_slashes())? {
            return Ok(None);
        }
        let (quoted, plus) = (parsed.quoted_uri_bit() != 0, parsed.plus_in_uri_bit() != 0);
        Ok(Some(Target { unparsed, uri: parsed.raw().uri, args: parsed.raw().args, quoted, plus }))
    }

    /// Does what nginx does with a request line and `ngx_http_process_request_uri` behind it, but
    /// does not end the request on an error: returns false.
    fn split_target(mut self, merge_slashes: bool) -> Result<bool, AllocError> {
        // SAFETY: the request is valid, and has a URI to parse.
        if unsafe { sys::ngx_http_parse_uri(self.as_ptr()) } != rc::OK {
            return Ok(false);
        }
        let (start, end, args) = (self.raw().uri_start, self.raw().uri_end, self.raw().args_start);
        // The parser leaves the arguments null, or points behind the question mark.
        let path_end = if args.is_null() { end } else { args.wrapping_sub(1) };
        self.raw_mut().uri = between(start, path_end);
        if self.complex_uri_bit() != 0 || self.quoted_uri_bit() != 0 {
            let decoded = self.pool().alloc_bytes(self.raw().uri.len)?;
            self.raw_mut().uri.data = decoded.as_mut_ptr().cast();
            // SAFETY: nginx writes no more bytes than the URI has.
            if unsafe { sys::ngx_http_parse_complex_uri(self.as_ptr(), merge_slashes.into()) } != rc::OK {
                return Ok(false);
            }
        }
        let args = self.raw().args_start;
        if !args.is_null() && end > args {
            self.raw_mut().args = between(args, end);
        }
        Ok(true)
    }

    fn merges_slashes(self) -> bool {
        // SAFETY: every server has a configuration of the core module.
        let server: &ngx_http_core_srv_conf_t = unsafe { modules::http_core().entry(self.raw().srv_conf) };
        server.merge_slashes != 0
    }
}

/// The string from one place to another one behind it.
fn between(start: *mut u8, end: *mut u8) -> ngx_str_t {
    ngx_str_t { len: end as usize - start as usize, data: start }
}

/// The path of a URI that has not been decoded.
fn path(unparsed: &[u8]) -> &[u8] {
    let end = unparsed.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(unparsed.len());
    &unparsed[..end]
}
