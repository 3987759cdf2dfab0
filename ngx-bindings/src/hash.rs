//! `ngx_hash.h`: nginx's tables by name.

use nginx_sys::{ngx_hash_find, ngx_hash_t};

/// nginx's hash of a name in lower case (`ngx_hash_key`).
pub(crate) fn key(lowcase: &[u8]) -> usize {
    lowcase.iter().fold(0, |key: usize, &c| key.wrapping_mul(31).wrapping_add(c.into()))
}

/// Finds a value by its name, which is in lower case, and the name's [`key`].
///
/// # Safety
///
/// The table is valid, and its values are `T`s.
pub(crate) unsafe fn find<'a, T>(table: &'a ngx_hash_t, key: usize, lowcase: &[u8]) -> Option<&'a T> {
    let table = (&raw const *table).cast_mut();
    // SAFETY: by this function's contract; nginx only reads the table and the name.
    let found: *const T = unsafe { ngx_hash_find(table, key as _, lowcase.as_ptr().cast_mut(), lowcase.len()) }.cast();
    // SAFETY: null, or a value of the table.
    unsafe { found.as_ref() }
}
