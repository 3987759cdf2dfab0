//! Properties of a request for Lua. They are the same that plugins see.

use std::ffi::{c_char, c_int};

use ngx_bindings::Request;
use ngx_bindings::variables::SetError;
use proxy_wasm_host::property::PropertyPath;

use super::answer::answer;
use super::bytes;
use super::requests::{Outcome, is_real};
use crate::guard::guard;
use crate::host::property;

/// Answers 1 with the value, or 0 if the property does not exist.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_get_property(
    r: Option<Request<'_>>,
    path: *const c_char,
    path_len: usize,
    value: &mut *const c_char,
    value_len: &mut usize,
) -> c_int {
    // SAFETY: Lua passes a string of its own with its length.
    let path = unsafe { bytes(path, path_len) };
    guard(Outcome::Error as c_int, || get(r, path, value, value_len))
}

fn get(r: Option<Request>, path: &[u8], value: &mut *const c_char, value_len: &mut usize) -> c_int {
    let Some(request) = r.filter(is_real) else { return Outcome::NoRequest as c_int };
    let Some(found) = property(request, PropertyPath::new(path)) else { return 0 };
    answer(found.into_owned(), value, value_len);
    1
}

/// Sets a property. Answers 0 on success, 1 if the variable does not exist, 2 if it cannot be
/// changed, 3 if the value holds CR, LF or NUL.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_set_property(
    r: Option<Request<'_>>,
    name: *const c_char,
    name_len: usize,
    value: *const c_char,
    value_len: usize,
) -> c_int {
    // SAFETY: Lua passes a string of its own with its length.
    let name = unsafe { bytes(name, name_len) };
    // SAFETY: as above.
    let value = unsafe { bytes(value, value_len) };
    guard(Outcome::Error as c_int, || set(r, name, value))
}

fn set(r: Option<Request>, name: &[u8], value: &[u8]) -> c_int {
    let Some(request) = r.filter(is_real) else { return Outcome::NoRequest as c_int };
    match request.set_variable(name, value) {
        Ok(()) => 0,
        Err(SetError::NotFound) => 1,
        Err(SetError::NotChangeable) => 2,
        Err(SetError::Unsafe) => 3,
        Err(SetError::Alloc) => Outcome::Error as c_int,
    }
}
