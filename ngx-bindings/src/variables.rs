//! `ngx_http_variables.h`: nginx's variables by name.

use std::ffi::c_uint;

use nginx_sys::{
    self as sys, ngx_http_variable_t, ngx_http_variable_value_t, ngx_int_t, ngx_str_t, ngx_uint_t, u_char,
};

use crate::live::zeroed;
use crate::{Request, hash, string};

// Defined in variable_bits.c.
// SAFETY: they need a valid value and nothing else.
unsafe extern "C" {
    safe fn ngx_bindings_variable_has_value(value: &ngx_http_variable_value_t) -> c_uint;
    safe fn ngx_bindings_variable_len(value: &ngx_http_variable_value_t) -> c_uint;
    safe fn ngx_bindings_variable_set_not_found(value: &mut ngx_http_variable_value_t);
    safe fn ngx_bindings_variable_set(value: &mut ngx_http_variable_value_t, len: c_uint, data: *mut u_char);
}

/// A function that evaluates a variable for a request: it gets the place for the value and the
/// variable's whole name.
pub type Handler = for<'r> extern "C" fn(Request<'r>, &'r mut ngx_http_variable_value_t, &'r ngx_str_t) -> ngx_int_t;

/// Gives a variable a value, or none. Returns what a [`Handler`] returns.
pub fn answer(request: Request, into: &mut ngx_http_variable_value_t, value: Option<&[u8]>) -> ngx_int_t {
    let Some(value) = value else {
        ngx_bindings_variable_set_not_found(into);
        return crate::rc::OK;
    };
    match request.pool().copy(value) {
        Ok(text) => {
            ngx_bindings_variable_set(into, text.len as c_uint, text.data);
            crate::rc::OK
        }
        Err(_) => crate::rc::ERROR,
    }
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

/// The place of a variable among those that every request of a configuration has a value for.
#[derive(Clone, Copy, Debug)]
pub struct VariableIndex(pub(crate) ngx_uint_t);

impl<'r> Request<'r> {
    /// The value of a variable that some modules do not let be found by its name.
    ///
    /// # Safety
    ///
    /// The index is of the configuration that the request has.
    pub unsafe fn indexed_variable(self, index: VariableIndex) -> Option<&'r [u8]> {
        // SAFETY: the request is valid, and has a variable at that index.
        let value = unsafe { sys::ngx_http_get_flushed_variable(self.as_ptr(), index.0) };
        // SAFETY: null, or a value in the request's array of values.
        let value = unsafe { value.as_ref() }?;
        Self::bytes_of(value)
    }

    fn bytes_of(value: &ngx_http_variable_value_t) -> Option<&'r [u8]> {
        if ngx_bindings_variable_has_value(value) == 0 {
            return None;
        }
        let len = ngx_bindings_variable_len(value) as usize;
        // SAFETY: a value's bytes live in the request's pool or longer.
        Some(unsafe { string::bytes(ngx_str_t { len, data: value.data }) })
    }

    /// The value of a variable; `None` if there is no such variable, or it has no value now.
    pub fn variable(self, name: &[u8]) -> Option<&'r [u8]> {
        let mut small = [0; 64];
        let mut large = Vec::new();
        let (lowcase, hash) = lowercase(name, &mut small, &mut large);
        let mut key = string::borrowed(lowcase);
        // SAFETY: the request is valid; nginx only reads the name.
        let value = unsafe { sys::ngx_http_get_variable(self.as_ptr(), &raw mut key, hash as _) };
        // SAFETY: null, or a value in the request's pool or in its array of values.
        let value = unsafe { value.as_ref() }?;
        Self::bytes_of(value)
    }

    /// Sets a variable that the configuration, or a module, has declared changeable.
    pub fn set_variable(self, name: &[u8], value: &[u8]) -> Result<(), SetError> {
        let mut small = [0; 64];
        let mut large = Vec::new();
        let (lowcase, hash) = lowercase(name, &mut small, &mut large);
        // SAFETY: nginx built the table, of variables, with the configuration.
        let variable =
            unsafe { hash::find::<ngx_http_variable_t>(&self.core_main_conf().variables_hash, hash, lowcase) };
        let variable = variable.ok_or(SetError::NotFound)?;
        if variable.flags as u32 & sys::NGX_HTTP_VAR_CHANGEABLE == 0 {
            return Err(SetError::NotChangeable);
        }
        if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | b'\0')) {
            return Err(SetError::Unsafe);
        }
        let text = self.pool().copy(value).map_err(|_| SetError::Alloc)?;
        let into = if variable.set_handler.is_some() {
            self.pool().put(zeroed::<ngx_http_variable_value_t>()).map_err(|_| SetError::Alloc)?
        } else if variable.flags as u32 & sys::NGX_HTTP_VAR_INDEXED != 0 {
            // SAFETY: every request has the values of indexed variables.
            unsafe { &mut *self.raw().variables.wrapping_add(variable.index as usize) }
        } else {
            return Err(SetError::NotChangeable);
        };
        ngx_bindings_variable_set(into, text.len as c_uint, text.data);
        if let Some(set) = variable.set_handler {
            // SAFETY: the variable's own handler, with a value and the data that it was made with.
            unsafe { set(self.as_ptr(), into, variable.data) };
        }
        Ok(())
    }
}

/// Writes `name` in lower case, to `small` if it fits there, and returns it with nginx's hash of it
/// (`ngx_hash_key`).
fn lowercase<'a>(name: &[u8], small: &'a mut [u8; 64], large: &'a mut Vec<u8>) -> (&'a [u8], usize) {
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
