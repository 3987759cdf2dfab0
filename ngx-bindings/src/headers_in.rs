//! `ngx_http_headers_in_t`: the fields of the request, and the fields of nginx that point at them.

use nginx_sys::{self as sys, ngx_hash_find, ngx_http_header_t, ngx_table_elt_t};

use crate::headers::{Field, HeaderList};
use crate::pool::AllocError;
use crate::{Request, string};

impl Request {
    /// The request's header fields.
    #[inline]
    pub fn headers_in(self) -> HeaderList {
        // SAFETY: a request's list is initialized before any module sees the request.
        unsafe { HeaderList::from_ptr(&raw mut (*self.as_ptr()).headers_in.headers) }
    }

    /// Appends a request field.
    pub fn add_header_in(self, name: &[u8], value: &[u8]) -> Result<(), AllocError> {
        let field = self.headers_in().push_request_field(self.pool(), name, value)?;
        self.index_header_in(name, Some(field))
    }

    /// Sets a request field in place of all of that name.
    pub fn set_header_in(self, name: &[u8], value: &[u8]) -> Result<(), AllocError> {
        self.headers_in().take_out(self.pool(), name)?;
        self.headers_in().push_request_field(self.pool(), name, value)?;
        self.index_header_in(name, None)
    }

    /// Removes all request fields of that name.
    pub fn remove_header_in(self, name: &[u8]) -> Result<(), AllocError> {
        if self.headers_in().take_out(self.pool(), name)? {
            self.index_header_in(name, None)?;
        }
        Ok(())
    }

    /// Removes all request fields.
    pub fn clear_headers_in(self) -> Result<(), AllocError> {
        let names: Vec<_> = self.headers_in().iter().map(Field::name).collect();
        self.headers_in().clear()?;
        names.into_iter().try_for_each(|name| self.index_header_in(name, None))
    }

    /// Lets nginx's own field for `name` point at what the list holds now; of which `added`, if there is one, is all that is new.
    ///
    /// Only pointers change: how the body that is still to be read is framed (`content_length_n`, `chunked`) was settled when the
    /// request was parsed, and a plugin that could change it could smuggle requests.
    fn index_header_in(self, name: &[u8], added: Option<Field>) -> Result<(), AllocError> {
        let mut lowcase = [0; 64];
        let Some(lowcase) = lowcase.get_mut(..name.len()) else {
            return Ok(());
        };
        lowcase.copy_from_slice(name);
        lowcase.make_ascii_lowercase();
        let r = self.as_ptr();
        // SAFETY: the hash was built when the configuration was read; an entry's offset is that of a field of `headers_in`.
        unsafe {
            let core = self.core_main_conf();
            let header: *const ngx_http_header_t = ngx_hash_find(
                &raw mut (*core).headers_in_hash,
                string::hash_key(lowcase) as _,
                lowcase.as_mut_ptr(),
                lowcase.len(),
            )
            .cast();
            if header.is_null() {
                return Ok(());
            }
            let slot = (&raw mut (*r).headers_in).cast::<u8>().add((*header).offset as usize);
            let repeated = cfg!(not(nginx_linked_headers)) && matches!(&*lowcase, b"cookie" | b"x-forwarded-for");
            self.headers_in().index(self.pool(), lowcase, slot, repeated, added)?;
            if lowcase == b"host" {
                let host = *slot.cast::<*mut ngx_table_elt_t>();
                (*r).headers_in.server = if host.is_null() {
                    sys::ngx_str_t::empty()
                } else {
                    self.pool().copy(&server_name(string::bytes((*host).value)))?
                };
            }
        }
        Ok(())
    }
}

/// What nginx keeps of a Host field: lower case, without the port.
fn server_name(host: &[u8]) -> Vec<u8> {
    let end = match host.first() {
        Some(b'[') => host.iter().position(|&c| c == b']').map_or(host.len(), |i| i + 1),
        _ => host.iter().position(|&c| c == b':').unwrap_or(host.len()),
    };
    host[..end].to_ascii_lowercase()
}
