//! Returns bytes to Lua, which copies them.

use std::cell::RefCell;
use std::ffi::c_char;

thread_local! {
    /// The last answer. It stays valid until the next one.
    static ANSWER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Tells Lua where the bytes are.
pub fn answer(bytes: Vec<u8>, data: &mut *const c_char, len: &mut usize) {
    ANSWER.with_borrow_mut(|kept| {
        *kept = bytes;
        *data = kept.as_ptr().cast();
        *len = kept.len();
    });
}
