//! `ngx_array.h`: arrays that grow in a pool.

use nginx_sys::{ngx_array_push, ngx_array_t};

use crate::pool::AllocError;

/// The elements of an array that nginx keeps for `'a`.
///
/// # Safety
///
/// `array` is an array of `T` that is valid, and stays unchanged, for `'a`.
pub(crate) unsafe fn elements<'a, T>(array: *const ngx_array_t) -> &'a [T] {
    // SAFETY: by this function's contract.
    let array = unsafe { &*array };
    // SAFETY: by this function's contract.
    unsafe { array.as_slice() }
}

/// Appends an element.
///
/// # Safety
///
/// `array` is a valid array of `T`.
pub(crate) unsafe fn push<T>(array: *mut ngx_array_t, element: T) -> Result<(), AllocError> {
    // SAFETY: by this function's contract.
    let place: *mut T = unsafe { ngx_array_push(array) }.cast();
    if place.is_null() {
        return Err(AllocError);
    }
    // SAFETY: nginx returned the place of a new element.
    unsafe { place.write(element) };
    Ok(())
}
