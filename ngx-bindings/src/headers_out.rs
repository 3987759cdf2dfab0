//! `ngx_http_headers_out_t`: the fields of the response, including those that nginx does not keep
//! in the list.

use std::mem::offset_of;
use std::ptr;

use nginx_sys::{ngx_http_headers_out_t as HeadersOut, ngx_http_request_t, ngx_http_time, ngx_str_t};

use crate::Request;
use crate::headers::{Field, HeaderList};
use crate::pool::AllocError;

/// Names for which nginx keeps a pointer to the field. If the pointer is set, nginx does not write
/// a field of its own, or a filter reads the field.
const POINTERS: &[(&[u8], usize)] = &[
    (b"server", offset_of!(HeadersOut, server)),
    (b"date", offset_of!(HeadersOut, date)),
    (b"content-encoding", offset_of!(HeadersOut, content_encoding)),
    (b"location", offset_of!(HeadersOut, location)),
    (b"refresh", offset_of!(HeadersOut, refresh)),
    (b"last-modified", offset_of!(HeadersOut, last_modified)),
    (b"content-range", offset_of!(HeadersOut, content_range)),
    (b"accept-ranges", offset_of!(HeadersOut, accept_ranges)),
    (b"www-authenticate", offset_of!(HeadersOut, www_authenticate)),
    (b"expires", offset_of!(HeadersOut, expires)),
    (b"etag", offset_of!(HeadersOut, etag)),
    (b"cache-control", offset_of!(HeadersOut, cache_control)),
    (b"link", offset_of!(HeadersOut, link)),
];

/// The letters that names in [`POINTERS`] begin with, by the low five bits of a letter.
const LETTERS: u32 = {
    let (mut letters, mut index) = (0, 0);
    while index < POINTERS.len() {
        letters |= 1 << (POINTERS[index].0[0] & 0x1f);
        index += 1;
    }
    letters
};

/// Finds a name in [`POINTERS`]. Most names that plugins add begin with another letter.
#[inline]
fn pointer_of(name: &[u8]) -> Option<&'static (&'static [u8], usize)> {
    let letter = name.first()? & 0x1f;
    if LETTERS & 1 << letter == 0 { None } else { find_pointer(name) }
}

fn find_pointer(name: &[u8]) -> Option<&'static (&'static [u8], usize)> {
    POINTERS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
}

impl<'r> Request<'r> {
    /// The response's header fields, except those that nginx keeps elsewhere (status, content type
    /// and length, connection).
    #[inline]
    pub fn headers_out(self) -> HeaderList<'r> {
        // SAFETY: the list of the response's fields.
        unsafe { HeaderList::at(self, offset_of!(ngx_http_request_t, headers_out.headers)) }
    }

    /// Appends a response field.
    pub fn add_header_out(self, name: &[u8], value: &[u8]) -> Result<(), AllocError> {
        let field = self.headers_out().push_response_field(self.pool(), name, value)?;
        match pointer_of(name) {
            Some(known) => self.index_known_header_out(known, name, Some(field)),
            None => Ok(()),
        }
    }

    /// Appends response fields, as [`Self::add_headers_in`] does for a request.
    pub fn add_headers_out<'a>(self, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<(), AllocError> {
        let mut known = [false; POINTERS.len()];
        for (name, value) in fields {
            self.headers_out().push_response_field(self.pool(), name, value)?;
            if let Some(i) = POINTERS.iter().position(|(pointer, _)| pointer.eq_ignore_ascii_case(name)) {
                known[i] = true;
            }
        }
        let mut known = POINTERS.iter().zip(known).filter_map(|((name, _), known)| known.then_some(name));
        known.try_for_each(|name| self.index_header_out(name))
    }

    /// Removes all response fields of that name.
    pub fn remove_header_out(self, name: &[u8]) -> Result<(), AllocError> {
        let mut found = false;
        for field in self.headers_out().iter().filter(|field| field.is(name)) {
            field.hide();
            found = true;
        }
        // For a file, nginx only keeps the time, and writes the field at the end.
        found |= name.eq_ignore_ascii_case(b"last-modified");
        if found { self.index_header_out(name) } else { Ok(()) }
    }

    /// Removes all response fields in the list.
    pub fn clear_headers_out(self) -> Result<(), AllocError> {
        for field in self.headers_out().iter() {
            field.hide();
        }
        POINTERS.iter().try_for_each(|(name, _)| self.index_header_out(name))
    }

    /// The fields that follow the response's body.
    pub fn trailers_out(self) -> HeaderList<'r> {
        // SAFETY: the list of the response's trailers.
        unsafe { HeaderList::at(self, offset_of!(ngx_http_request_t, headers_out.trailers)) }
    }

    /// nginx's structure of the response's header, to change it as [`Self::raw_mut`] does.
    #[inline]
    fn out(&mut self) -> &mut HeadersOut {
        &mut self.raw_mut().headers_out
    }

    /// Lets the response have trailers: over HTTP/1.1 it is then sent in chunks. Has no effect once
    /// the header is sent.
    pub fn expect_trailers(self) {
        self.set_expect_trailers_bit(1)
    }

    /// Points nginx's own field for `name`, if there is one, at the field that the list holds now.
    fn index_header_out(self, name: &[u8]) -> Result<(), AllocError> {
        pointer_of(name).map_or(Ok(()), |known| self.index_known_header_out(known, name, None))
    }

    /// Does so for a name that is known. If `added` is given, it is the only new field in the list.
    fn index_known_header_out(
        mut self,
        (known, offset): &(&[u8], usize),
        name: &[u8],
        added: Option<Field<'r>>,
    ) -> Result<(), AllocError> {
        let repeated = cfg!(not(nginx_linked_headers)) && matches!(*known, b"cache-control" | b"link");
        let slot = self.as_ptr().wrapping_byte_add(offset_of!(ngx_http_request_t, headers_out) + offset);
        // SAFETY: `offset` is the offset of a field of `headers_out` of the right kind.
        unsafe { self.headers_out().index(self.pool(), name, slot.cast(), repeated, added) }?;
        match *known {
            b"last-modified" => self.out().last_modified_time = -1,
            b"location" => {
                let location = self.field(|r| r.headers_out.location);
                // With this pointer nginx would write its own scheme, host and port in front of the
                // value. nginx does not keep the pointer for values from upstreams either.
                if location.is_some_and(|location| location.value().starts_with(b"/")) {
                    self.out().location = ptr::null_mut();
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The status code that will be sent, or has been sent.
    pub fn status(self) -> u32 {
        self.raw().headers_out.status as u32
    }

    /// Sets the status code.
    pub fn set_status(mut self, status: u32) {
        self.out().status = status as _;
        self.out().status_line = ngx_str_t::empty();
    }

    /// The content type, with its parameters.
    #[inline]
    pub fn content_type(self) -> &'r [u8] {
        self.raw().headers_out.content_type.as_bytes()
    }

    /// Sets the content type; an empty value removes it. nginx then adds no charset of its own.
    pub fn set_content_type(mut self, value: &[u8]) -> Result<(), AllocError> {
        let content_type = self.pool().copy(value)?;
        let bare = value.iter().position(|&c| c == b';').unwrap_or(value.len());
        let out = self.out();
        out.content_type = content_type;
        out.content_type_len = value[..bare].trim_ascii_end().len();
        out.content_type_lowcase = ptr::null_mut();
        out.content_type_hash = 0;
        out.charset = ngx_str_t::empty();
        Ok(())
    }

    /// Returns whether the response has a time that nginx will write as a Last-Modified field.
    #[inline]
    pub fn has_last_modified_time(self) -> bool {
        let out = &self.raw().headers_out;
        out.last_modified_time != -1 && out.last_modified.is_null()
    }

    /// The value of the Last-Modified field that nginx will write, if nginx knows the time and the
    /// list does not have such a field.
    pub fn last_modified(self) -> Option<Vec<u8>> {
        let mut text = [0; b"Mon, 28 Sep 1970 06:00:00 GMT".len()];
        if !self.has_last_modified_time() {
            return None;
        }
        // SAFETY: nginx writes as many bytes as `text` has.
        unsafe { ngx_http_time(text.as_mut_ptr(), self.raw().headers_out.last_modified_time) };
        Some(text.to_vec())
    }

    /// The length of the body, if it is known.
    #[inline]
    pub fn content_length(self) -> Option<u64> {
        u64::try_from(self.raw().headers_out.content_length_n).ok()
    }

    /// Sets or forgets the length of the body.
    pub fn set_content_length(mut self, length: Option<u64>) {
        self.out().content_length_n = length.map_or(-1, |n| n as _);
        if let Some(field) = self.field(|r| r.headers_out.content_length) {
            field.hide();
            self.out().content_length = ptr::null_mut();
        }
    }
}
