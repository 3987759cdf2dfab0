//! What the module says of itself, for Lua.

use std::cell::RefCell;
use std::ffi::{c_char, c_int};

use super::current;
use crate::nginx::guard::guard;
use crate::nginx::status;

thread_local! {
    /// What `ngx_http_proxy_wasm_metrics` answered last.
    static PAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The page of [`status::metrics`], which stays as it is until the next call; Lua copies it.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_metrics(text: *mut *const c_char, len: *mut usize) -> c_int {
    guard(-1, || {
        let Some(page) = current().and_then(status::metrics) else {
            return -1;
        };
        PAGE.with_borrow_mut(|kept| {
            *kept = page;
            // SAFETY: Lua passes places for both.
            unsafe {
                *text = kept.as_ptr().cast();
                *len = kept.len();
            }
        });
        0
    })
}
