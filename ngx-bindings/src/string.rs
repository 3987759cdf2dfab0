//! `ngx_string.h`: bytes with a length.

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
/// (the one for Range, for example).
///
/// # Safety
///
/// `into` has room for one byte more than `bytes` has.
pub(crate) unsafe fn write_terminated(into: *mut u8, bytes: &[u8]) {
    // SAFETY: by this function's contract.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), into, bytes.len());
        into.add(bytes.len()).write(0);
    }
}

/// nginx's hash of a name in lower case (`ngx_hash_key`).
pub fn hash_key(lowcase: &[u8]) -> usize {
    lowcase.iter().fold(0, |key: usize, &c| key.wrapping_mul(31).wrapping_add(c.into()))
}
