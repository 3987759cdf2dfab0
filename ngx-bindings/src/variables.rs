//! `ngx_http_variables.h`: nginx's variables by name.

use std::ffi::c_uint;

use nginx_sys::{self as sys, ngx_hash_find, ngx_http_variable_t, ngx_http_variable_value_t, u_char};

use crate::{Request, string};

// Defined in variable_bits.c.
unsafe extern "C" {
    fn ngx_bindings_variable_has_value(value: *const ngx_http_variable_value_t) -> c_uint;
    fn ngx_bindings_variable_len(value: *const ngx_http_variable_value_t) -> c_uint;
    fn ngx_bindings_variable_set(value: *mut ngx_http_variable_value_t, len: c_uint, data: *mut u_char);
}

/// Why a variable was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetError {
    /// There is no variable of that name.
    NotFound,
    /// nginx does not allow setting this variable.
    NotChangeable,
    /// The value has CR, LF or NUL, which would end a line if the configuration puts the variable
    /// into a request, a response or a log.
    Unsafe,
    /// Out of memory.
    Alloc,
}

impl Request {
    /// The value of a variable; `None` if there is no such variable, or it has no value now.
    pub fn variable<'a>(self, name: &[u8]) -> Option<&'a [u8]> {
        let mut small = [0; 64];
        let mut large = Vec::new();
        let (lowcase, hash) = lowercase(name, &mut small, &mut large);
        let mut key = string::borrowed(lowcase);
        // SAFETY: the request is valid; nginx only reads the name; a value lives in the request's
        // pool or longer.
        unsafe {
            let value = sys::ngx_http_get_variable(self.as_ptr(), &raw mut key, hash as _);
            if value.is_null() || ngx_bindings_variable_has_value(value) == 0 {
                return None;
            }
            Some(value_bytes(value))
        }
    }

    /// Sets a variable that the configuration, or a module, has declared changeable.
    pub fn set_variable(self, name: &[u8], value: &[u8]) -> Result<(), SetError> {
        if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | b'\0')) {
            return Err(SetError::Unsafe);
        }
        let mut small = [0; 64];
        let mut large = Vec::new();
        let (lowcase, hash) = lowercase(name, &mut small, &mut large);
        let r = self.as_ptr();
        // SAFETY: the request is valid, the hash was built with the configuration, an indexed
        // variable's slot exists.
        unsafe {
            let core = self.core_main_conf();
            let variable: *const ngx_http_variable_t =
                ngx_hash_find(&raw mut (*core).variables_hash, hash as _, lowcase.as_mut_ptr(), lowcase.len()).cast();
            let Some(variable) = variable.as_ref() else {
                return Err(SetError::NotFound);
            };
            if variable.flags as u32 & sys::NGX_HTTP_VAR_CHANGEABLE == 0 {
                return Err(SetError::NotChangeable);
            }
            let text = self.pool().copy(value).map_err(|_| SetError::Alloc)?;
            let into: *mut ngx_http_variable_value_t = if variable.set_handler.is_some() {
                let into = self.pool().alloc::<ngx_http_variable_value_t>().map_err(|_| SetError::Alloc)?;
                into.write(std::mem::zeroed());
                into
            } else if variable.flags as u32 & sys::NGX_HTTP_VAR_INDEXED != 0 {
                (*r).variables.add(variable.index as usize)
            } else {
                return Err(SetError::NotChangeable);
            };
            ngx_bindings_variable_set(into, text.len as c_uint, text.data);
            if let Some(set) = variable.set_handler {
                set(r, into, variable.data);
            }
        }
        Ok(())
    }
}

/// # Safety
///
/// `value` is a valid value of a variable.
unsafe fn value_bytes<'a>(value: *const ngx_http_variable_value_t) -> &'a [u8] {
    // SAFETY: by this function's contract.
    unsafe { string::bytes(sys::ngx_str_t { len: ngx_bindings_variable_len(value) as usize, data: (*value).data }) }
}

/// Writes `name` in lower case, to `small` if it fits there, and returns it with nginx's hash of it
/// (`ngx_hash_key`).
fn lowercase<'a>(name: &[u8], small: &'a mut [u8; 64], large: &'a mut Vec<u8>) -> (&'a mut [u8], usize) {
    let into = match small.get_mut(..name.len()) {
        Some(into) => into,
        None => {
            large.resize(name.len(), 0);
            &mut large[..]
        }
    };
    let mut hash: usize = 0;
    for (to, from) in into.iter_mut().zip(name) {
        *to = from.to_ascii_lowercase();
        hash = hash.wrapping_mul(31).wrapping_add((*to).into());
    }
    (into, hash)
}
