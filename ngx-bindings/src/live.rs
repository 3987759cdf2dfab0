//! What all handles are made of: a pointer to one of nginx's structures, for as long as it is valid.

use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ptr::NonNull;

use nginx_sys::{
    ngx_buf_t, ngx_conf_t, ngx_event_t, ngx_http_request_t, ngx_http_variable_value_t, ngx_peer_connection_t,
    ngx_ssl_t, ngx_temp_file_t,
};

/// A structure of nginx that stays where it is for `'a`.
///
/// nginx's own code has pointers to it, too, and changes it. So a reference from here is used for a
/// statement or two, and nothing of nginx runs meanwhile; a string or a structure that it leads to
/// may be kept for `'a`.
#[repr(transparent)]
pub(crate) struct Live<'a, T>(NonNull<T>, PhantomData<&'a T>);

impl<'a, T> Live<'a, T> {
    /// A handle of a pointer; `None` for null.
    ///
    /// # Safety
    ///
    /// `pointer` is null, or one of nginx's that is valid for `'a`, in nginx's thread.
    #[inline]
    pub(crate) unsafe fn new(pointer: *mut T) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self(pointer, PhantomData))
    }

    /// Does the same as [`Self::new`] without its check.
    ///
    /// # Safety
    ///
    /// The same as for [`Self::new`], and `pointer` is not null.
    #[inline]
    pub(crate) unsafe fn of(pointer: *mut T) -> Self {
        // SAFETY: by this function's contract.
        Self(unsafe { NonNull::new_unchecked(pointer) }, PhantomData)
    }

    #[inline]
    pub(crate) fn as_ptr(self) -> *mut T {
        self.0.as_ptr()
    }

    /// The pointer, for what is kept longer than `'a`.
    #[inline]
    pub(crate) fn pointer(self) -> NonNull<T> {
        self.0
    }

    /// The structure, to read it.
    #[inline]
    pub(crate) fn get(self) -> &'a T {
        // SAFETY: the pointer is valid for `'a`; this module is in nginx's thread.
        unsafe { self.0.as_ref() }
    }

    /// The structure, to change it.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut T {
        // SAFETY: as above; no other reference is in use.
        unsafe { self.0.as_mut() }
    }
}

/// A structure of nginx for which all zeros are a value: nginx itself starts it so.
///
/// # Safety
///
/// All zeros are a valid value.
pub(crate) unsafe trait Zero {}

macro_rules! zero {
    ($($structure:ty),+ $(,)?) => {
        $(
            // SAFETY: nginx makes these with `ngx_pcalloc`, or with `ngx_memzero`.
            unsafe impl Zero for $structure {}
        )+
    };
}

zero! {
    ngx_buf_t, ngx_conf_t, ngx_event_t, ngx_http_request_t, ngx_http_variable_value_t, ngx_peer_connection_t, ngx_ssl_t,
    ngx_temp_file_t,
}

/// The value that nginx starts with.
pub(crate) fn zeroed<T: Zero>() -> T {
    // SAFETY: by the trait's contract.
    unsafe { mem::zeroed() }
}

impl<'a, T> From<&'a mut T> for Live<'a, T> {
    fn from(structure: &'a mut T) -> Self {
        Self(NonNull::from(structure), PhantomData)
    }
}

impl<T> Clone for Live<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Live<'_, T> {}

impl<T> PartialEq for Live<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for Live<'_, T> {}

impl<T> fmt::Debug for Live<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
