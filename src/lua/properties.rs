//! Properties of a request for Lua. They are the same that plugins see.

use std::ffi::{c_char, c_int};

use ngx_bindings::Request;
use ngx_bindings::sys::ngx_http_request_t;
use ngx_bindings::variables::SetError;
use proxy_wasm_host::property::PropertyPath;

use super::answer::answer;
use super::bytes;
use super::requests::Outcome;
use crate::guard::guard;
use crate::host::property;

/// Answers 1 with the value, or 0 if the property does not exist.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_get_property(
    r: *mut ngx_http_request_t,
    path: *const c_char,
    path_len: usize,
    value: *mut *const c_char,
    value_len: *mut usize,
) -> c_int {
    // SAFETY: Lua passes the running request, and a string of its own with its length.
    let (request, path) = unsafe { (request(r), bytes(path, path_len)) };
    guard(Outcome::Error as c_int, || {
        let Some(request) = request else { return Outcome::NoRequest as c_int };
        let Some(found) = property(request, PropertyPath::new(path)) else { return 0 };
        // SAFETY: Lua passes places for both.
        unsafe { answer(found.into_owned(), value, value_len) };
        1
    })
}

/// Sets a property. Answers 0 on success, 1 if the variable does not exist, 2 if it cannot be
/// changed, 3 if the value holds CR, LF or NUL.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_set_property(
    r: *mut ngx_http_request_t,
    name: *const c_char,
    name_len: usize,
    value: *const c_char,
    value_len: usize,
) -> c_int {
    // SAFETY: Lua passes the running request, and strings of its own with their lengths.
    let (request, name, value) = unsafe { (request(r), bytes(name, name_len), bytes(value, value_len)) };
    guard(Outcome::Error as c_int, || {
        let Some(request) = request else { return Outcome::NoRequest as c_int };
        match request.set_variable(name, value) {
            Ok(()) => 0,
            Err(SetError::NotFound) => 1,
            Err(SetError::NotChangeable) => 2,
            Err(SetError::Unsafe) => 3,
            Err(SetError::Alloc) => Outcome::Error as c_int,
        }
    })
}

/// Returns the request, unless it is a fake one in which Lua runs timers.
///
/// # Safety
///
/// `r` is null or a valid request.
unsafe fn request(r: *mut ngx_http_request_t) -> Option<Request> {
    // SAFETY: by this function's contract.
    unsafe { Request::from_ptr(r) }.filter(|request| !request.is_fake())
}
