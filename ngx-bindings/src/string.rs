//! `ngx_string.h`: bytes with a length.

use std::mem::MaybeUninit;

use nginx_sys::ngx_str_t;

/// A string that points at `bytes`, and is valid as long as they are.
pub fn borrowed(bytes: &[u8]) -> ngx_str_t {
    ngx_str_t { len: bytes.len(), data: bytes.as_ptr().cast_mut() }
}

/// The bytes of a string that nginx keeps for `'a`.
///
/// # Safety
///
/// `s` is empty, or points at `len` bytes that stay unchanged for `'a`.
pub unsafe fn bytes<'a>(s: ngx_str_t) -> &'a [u8] {
    if s.len == 0 || s.data.is_null() {
        return &[];
    }
    // SAFETY: by this function's contract.
    unsafe { std::slice::from_raw_parts(s.data, s.len) }
}

/// Copies bytes to `into`, followed by a NUL, because some of nginx's parsers do not get a length
/// (the one for Range, for example). There must be room for exactly these. Returns the bytes'
/// string.
pub(crate) fn write_terminated(into: &mut [MaybeUninit<u8>], bytes: &[u8]) -> ngx_str_t {
    let (text, end) = into.split_at_mut(bytes.len());
    end.write_copy_of_slice(b"\0");
    borrowed(text.write_copy_of_slice(bytes))
}
