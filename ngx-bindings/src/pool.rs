//! `ngx_palloc.h`: memory that lives as long as a request, a connection or a configuration.

use std::ffi::c_void;
use std::ptr::NonNull;

use nginx_sys::{
    ngx_chain_t, ngx_int_t, ngx_palloc, ngx_pnalloc, ngx_pool_cleanup_add, ngx_pool_large_t, ngx_pool_t, ngx_str_t,
};

/// The pool has no memory left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocError;

/// The result of [`Pool::mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    current: *mut ngx_pool_t,
    last: *mut u8,
    next: *mut ngx_pool_t,
    large: *mut ngx_pool_large_t,
}

/// A pool of nginx.
#[derive(Clone, Copy, Debug)]
pub struct Pool(NonNull<ngx_pool_t>);

impl Pool {
    /// # Safety
    ///
    /// `pool` is a pool of nginx that outlives every use of the handle.
    pub unsafe fn from_ptr(pool: *mut ngx_pool_t) -> Option<Self> {
        NonNull::new(pool).map(Self)
    }

    /// The pointer that nginx's functions take.
    pub fn as_ptr(self) -> *mut ngx_pool_t {
        self.0.as_ptr()
    }

    /// Copies bytes into the pool.
    pub fn copy(self, bytes: &[u8]) -> Result<ngx_str_t, AllocError> {
        if bytes.is_empty() {
            return Ok(ngx_str_t::empty());
        }
        let data = self.alloc_bytes(bytes.len())?;
        // SAFETY: `data` points at `bytes.len()` fresh bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len()) };
        Ok(ngx_str_t { len: bytes.len(), data })
    }

    /// Does the same as [`Self::copy`], and adds a NUL that is not counted in the length.
    pub fn copy_terminated(self, bytes: &[u8]) -> Result<ngx_str_t, AllocError> {
        let data = self.alloc_bytes(bytes.len() + 1)?;
        // SAFETY: `data` points at that many fresh bytes.
        unsafe { crate::string::write_terminated(data, bytes) };
        Ok(ngx_str_t { len: bytes.len(), data })
    }

    /// Allocates `size` bytes, unaligned and not initialized.
    pub fn alloc_bytes(self, size: usize) -> Result<*mut u8, AllocError> {
        // SAFETY: the pool is valid by the handle's contract.
        let data: *mut u8 = unsafe { ngx_pnalloc(self.as_ptr(), size) }.cast();
        if data.is_null() { Err(AllocError) } else { Ok(data) }
    }

    /// Allocates room for a `T`, aligned and not initialized. Nothing will drop the value.
    pub fn alloc<T>(self) -> Result<*mut T, AllocError> {
        const { assert!(align_of::<T>() <= nginx_sys::NGX_ALIGNMENT) };
        // SAFETY: the pool is valid by the handle's contract.
        let data: *mut T = unsafe { ngx_palloc(self.as_ptr(), size_of::<T>()) }.cast();
        if data.is_null() { Err(AllocError) } else { Ok(data) }
    }

    /// Where the pool's free memory begins. If nothing is allocated in between, the mark stays the
    /// same.
    pub fn mark(self) -> Mark {
        // SAFETY: the pool is valid by the handle's contract, and so is the block that it takes
        // from.
        unsafe {
            let pool = self.as_ptr();
            let current = (*pool).current;
            Mark { current, last: (*current).d.last, next: (*current).d.next, large: (*pool).large }
        }
    }

    /// Allocates a link of a chain; not initialized. Uses a link that was given back to the pool,
    /// if there is one.
    pub fn alloc_link(self) -> Result<*mut ngx_chain_t, AllocError> {
        // SAFETY: the pool is valid by the handle's contract.
        let link = unsafe { nginx_sys::ngx_alloc_chain_link(self.as_ptr()) };
        if link.is_null() { Err(AllocError) } else { Ok(link) }
    }

    /// Moves a value into the pool, which drops it when it is destroyed.
    pub fn own<T>(self, value: T) -> Result<NonNull<T>, AllocError> {
        extern "C" fn drop_value<T>(data: *mut c_void) {
            // SAFETY: `own` wrote a `T` there, and nginx runs a cleanup once.
            unsafe { data.cast::<T>().drop_in_place() }
        }
        let data = self.alloc::<T>()?;
        self.on_destroy(drop_value::<T>, data.cast())?;
        // SAFETY: fresh, aligned memory of the right size.
        unsafe { data.write(value) };
        // SAFETY: `alloc` never returns a null pointer.
        Ok(unsafe { NonNull::new_unchecked(data) })
    }

    /// Calls `handler` with `data` when the pool is destroyed; the handler that was added last is
    /// called first.
    pub fn on_destroy(self, handler: extern "C" fn(*mut c_void), data: *mut c_void) -> Result<(), AllocError> {
        // SAFETY: the pool is valid by the handle's contract.
        let cleanup = unsafe { ngx_pool_cleanup_add(self.as_ptr(), 0) };
        if cleanup.is_null() {
            return Err(AllocError);
        }
        // SAFETY: nginx returned a cleanup that lives in the pool.
        unsafe {
            (*cleanup).handler = Some(handler);
            (*cleanup).data = data;
        }
        Ok(())
    }

    /// Returns whether the pool has cleanups.
    #[inline]
    pub fn has_on_destroy(self) -> bool {
        // SAFETY: the pool is valid by the handle's contract.
        unsafe { !(*self.as_ptr()).cleanup.is_null() }
    }

    /// Finds the data that was registered with `handler` and that `wanted` accepts.
    pub fn find_on_destroy(
        self,
        handler: extern "C" fn(*mut c_void),
        wanted: impl Fn(NonNull<c_void>) -> bool,
    ) -> Option<NonNull<c_void>> {
        // SAFETY: the loop walks the list of a valid pool.
        unsafe {
            let mut cleanup = (*self.as_ptr()).cleanup;
            while !cleanup.is_null() {
                if (*cleanup).handler.is_some_and(|other| other as usize == handler as usize)
                    && let Some(data) = NonNull::new((*cleanup).data).filter(|&data| wanted(data))
                {
                    return Some(data);
                }
                cleanup = (*cleanup).next;
            }
        }
        None
    }
}

impl From<AllocError> for ngx_int_t {
    fn from(_: AllocError) -> Self {
        crate::rc::ERROR
    }
}
