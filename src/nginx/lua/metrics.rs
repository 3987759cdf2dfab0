//! The page of `wasm_metrics`, for a metrics page of Lua's.

use std::cell::RefCell;
use std::ffi::{c_char, c_int};

use super::current;
use crate::nginx::guard::guard;
use crate::nginx::status;

thread_local! {
    /// What was answered last; Lua copies it before it calls again.
    static PAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Tells where the page is; -1 if there is none.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_metrics(text: *mut *const c_char, len: *mut usize) -> c_int {
    guard(-1, || {
        let Some(page) = current().and_then(status::metrics) else { return -1 };
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
