//! `ngx_http_headers_in_t`: the fields of the request, and nginx's own fields that point at them.

use std::mem::offset_of;

use nginx_sys::{ngx_http_header_t, ngx_http_request_t, ngx_str_t, ngx_table_elt_t, ngx_uint_t};

use crate::headers::{Field, HeaderList};
use crate::pool::AllocError;
use crate::{Request, hash};

impl<'r> Request<'r> {
    /// The request's header fields.
    #[inline]
    pub fn headers_in(self) -> HeaderList<'r> {
        // SAFETY: the list of the request's fields.
        unsafe { HeaderList::at(self, offset_of!(ngx_http_request_t, headers_in.headers)) }
    }

    /// Appends a request field.
    pub fn add_header_in(self, name: &[u8], value: &[u8]) -> Result<(), AllocError> {
        let field = self.headers_in().push_request_field(self.pool(), name, value)?;
        self.index_header_in(name, Some(field))
    }

    /// Appends request fields. Appending them one by one would walk through all fields of the name
    /// each time, because nginx 1.23 and newer link them.
    pub fn add_headers_in<'a>(self, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<(), AllocError> {
        let mut names = Vec::new();
        for (name, value) in fields {
            self.headers_in().push_request_field(self.pool(), name, value)?;
            names.push(name);
        }
        self.index_headers_in(&names)
    }

    /// Points nginx's own fields for these names at the fields that the list holds now, each of them once.
    fn index_headers_in(self, names: &[&[u8]]) -> Result<(), AllocError> {
        let mut known: Vec<(ngx_uint_t, &[u8])> = Vec::new();
        for name in names {
            if let Some(offset) = self.offset_of_header_in(name)
                && known.iter().all(|&(seen, _)| seen != offset)
            {
                known.push((offset, name));
            }
        }
        known.into_iter().try_for_each(|(_, name)| self.index_header_in(name, None))
    }

    /// Sets a request field in place of all fields of that name.
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
        self.headers_in().clear(self.pool())?;
        names.into_iter().try_for_each(|name| self.index_header_in(name, None))
    }

    /// Gives a subrequest its own fields, and its own pointers to them: it begins with those of the request
    /// that it is in.
    ///
    /// # Errors
    ///
    /// If nginx has no memory.
    pub(crate) fn own_headers_in(mut self) -> Result<(), AllocError> {
        let (fields, server) = (self.headers_in(), self.raw().headers_in.server);
        let names: Vec<_> = fields.iter().map(Field::name).collect();
        fields.copy(self.pool())?;
        #[cfg(not(nginx_linked_headers))]
        self.forget_arrays();
        self.index_headers_in(&names)?;
        // The host of the request line goes before the field.
        self.raw_mut().headers_in.server = server;
        Ok(())
    }

    /// Forgets the arrays of fields, which belong to the request that a subrequest is in.
    #[cfg(not(nginx_linked_headers))]
    fn forget_arrays(mut self) {
        let headers = &mut self.raw_mut().headers_in;
        headers.cookies = NO_FIELDS;
        #[cfg(ngx_feature = "http_x_forwarded_for")]
        {
            headers.x_forwarded_for = NO_FIELDS;
        }
    }

    /// Points nginx's own field for `name` at the field that the list holds now. If `added` is
    /// given, it is the only new field in the list.
    ///
    /// Only pointers change. The framing of the body that is still to be read (`content_length_n`,
    /// `chunked`) was decided when the request was parsed; a plugin that could change it could
    /// smuggle requests.
    fn index_header_in(mut self, name: &[u8], added: Option<Field<'r>>) -> Result<(), AllocError> {
        let Some(offset) = self.offset_of_header_in(name) else {
            return Ok(());
        };
        let is = |known: &[u8]| known.eq_ignore_ascii_case(name);
        let repeated = cfg!(not(nginx_linked_headers)) && (is(b"cookie") || is(b"x-forwarded-for"));
        let slot = self.as_ptr().wrapping_byte_add(offset_of!(ngx_http_request_t, headers_in) + offset as usize);
        // SAFETY: `offset` is the offset of a field of `headers_in` of the right kind.
        unsafe { self.headers_in().index(self.pool(), name, slot.cast(), repeated, added) }?;
        if is(b"host") {
            let host = self.field(|r| r.headers_in.host);
            self.raw_mut().headers_in.server = match host {
                Some(host) => self.pool().copy(&server_name(host.value()))?,
                None => ngx_str_t::empty(),
            };
        }
        Ok(())
    }

    /// The field that one of nginx's own fields points at.
    pub(crate) fn field(self, of: impl FnOnce(&ngx_http_request_t) -> *mut ngx_table_elt_t) -> Option<Field<'r>> {
        // SAFETY: null, or a field of the request's lists.
        unsafe { Field::from_ptr(of(self.raw())) }
    }

    /// The offset of nginx's own field for `name` in `headers_in`, if there is one.
    fn offset_of_header_in(self, name: &[u8]) -> Option<ngx_uint_t> {
        let mut lowcase = [0; 64];
        let lowcase = lowcase.get_mut(..name.len())?;
        lowcase.copy_from_slice(name);
        lowcase.make_ascii_lowercase();
        let table = &self.core_main_conf().headers_in_hash;
        // SAFETY: nginx built the table, of descriptions of fields, with the configuration.
        let header = unsafe { hash::find::<ngx_http_header_t>(table, hash::key(lowcase), lowcase) };
        header.map(|header| header.offset)
    }
}

/// An array that nginx has not initialized.
#[cfg(not(nginx_linked_headers))]
const NO_FIELDS: nginx_sys::ngx_array_t =
    nginx_sys::ngx_array_t { elts: std::ptr::null_mut(), nelts: 0, size: 0, nalloc: 0, pool: std::ptr::null_mut() };

/// The part of a Host field that nginx keeps: in lower case, without the port and a last dot.
fn server_name(host: &[u8]) -> Vec<u8> {
    let end = match host.first() {
        Some(b'[') => host.iter().position(|&c| c == b']').map_or(host.len(), |i| i + 1),
        _ => host.iter().position(|&c| c == b':').unwrap_or(host.len()),
    };
    let name = &host[..end];
    name.strip_suffix(b".").unwrap_or(name).to_ascii_lowercase()
}
