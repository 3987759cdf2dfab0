//! `ngx_palloc.h`: memory that lives as long as a request, a connection or a configuration.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::slice;

use nginx_sys::{
    ngx_alloc_chain_link, ngx_buf_t, ngx_chain_t, ngx_int_t, ngx_palloc, ngx_pnalloc, ngx_pool_cleanup_add,
    ngx_pool_large_t, ngx_pool_t, ngx_str_t,
};

use crate::guard::guard;
use crate::live::Live;
use crate::string;

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

/// A pool of nginx, which `'p` does not outlive.
#[derive(Clone, Copy, Debug)]
pub struct Pool<'p>(Live<'p, ngx_pool_t>);

impl<'p> Pool<'p> {
    /// # Safety
    ///
    /// `pool` is a pool of nginx, not null, that is valid for the handle's lifetime.
    #[inline]
    pub(crate) unsafe fn from_nginx(pool: *mut ngx_pool_t) -> Self {
        // SAFETY: by this function's contract.
        Self(unsafe { Live::of(pool) })
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
        Ok(string::borrowed(self.alloc_bytes(bytes.len())?.write_copy_of_slice(bytes)))
    }

    /// Does the same as [`Self::copy`], and adds a NUL that is not counted in the length.
    pub fn copy_terminated(self, bytes: &[u8]) -> Result<ngx_str_t, AllocError> {
        Ok(string::write_terminated(self.alloc_bytes(bytes.len() + 1)?, bytes))
    }

    /// Allocates `size` bytes, unaligned and not initialized.
    #[inline]
    pub fn alloc_bytes(self, size: usize) -> Result<&'p mut [MaybeUninit<u8>], AllocError> {
        // SAFETY: the pool is valid by the handle's contract.
        let data: *mut MaybeUninit<u8> = unsafe { ngx_pnalloc(self.as_ptr(), size) }.cast();
        if data.is_null() {
            return Err(AllocError);
        }
        // SAFETY: fresh memory of that size.
        Ok(unsafe { slice::from_raw_parts_mut(data, size) })
    }

    /// Moves a value into the pool. Nothing will drop it.
    #[inline]
    pub fn put<T>(self, value: T) -> Result<&'p mut T, AllocError> {
        Ok(self.alloc()?.write(value))
    }

    /// Allocates room for a `T`.
    #[inline]
    fn alloc<T>(self) -> Result<&'p mut MaybeUninit<T>, AllocError> {
        const { assert!(align_of::<T>() <= nginx_sys::NGX_ALIGNMENT) };
        // SAFETY: the pool is valid by the handle's contract.
        let data: *mut MaybeUninit<T> = unsafe { ngx_palloc(self.as_ptr(), size_of::<T>()) }.cast();
        // SAFETY: null, or fresh, aligned memory of the right size.
        unsafe { data.as_mut() }.ok_or(AllocError)
    }

    /// Where the pool's free memory begins. If nothing is allocated in between, the mark stays the
    /// same.
    pub fn mark(self) -> Mark {
        let (current, large) = (self.0.get().current, self.0.get().large);
        // SAFETY: a pool's block, from which it allocates.
        let block = unsafe { &(*current).d };
        Mark { current, last: block.last, next: block.next, large }
    }

    /// Puts a link of a chain, with its buffer, into the pool. Uses a link that was given back to
    /// the pool, if there is one.
    pub fn link(self, buf: *mut ngx_buf_t) -> Result<&'p mut ngx_chain_t, AllocError> {
        // SAFETY: the pool is valid by the handle's contract.
        let link: *mut MaybeUninit<ngx_chain_t> = unsafe { ngx_alloc_chain_link(self.as_ptr()) }.cast();
        // SAFETY: null, or memory for a link that nobody else has.
        let link = unsafe { link.as_mut() }.ok_or(AllocError)?;
        Ok(link.write(ngx_chain_t { buf, next: ptr::null_mut() }))
    }

    /// Puts a buffer, and a chain that has it alone, into the pool.
    pub(crate) fn chain_of(self, buf: ngx_buf_t) -> Result<&'p mut ngx_chain_t, AllocError> {
        let buf = self.put(buf)?;
        self.put(ngx_chain_t { buf, next: ptr::null_mut() })
    }

    /// Gives a link back, which nothing uses any more, as `ngx_free_chain` does.
    pub(crate) fn give_back(mut self, link: &mut ngx_chain_t) {
        link.next = std::mem::replace(&mut self.0.get_mut().chain, link);
    }

    /// Moves a value into the pool, which drops it when it is destroyed.
    pub fn own<T>(self, value: T) -> Result<&'p mut T, AllocError> {
        extern "C" fn drop_value<T>(data: *mut c_void) {
            // SAFETY: `own` wrote a `T` there, and nginx runs a cleanup once.
            guard((), || unsafe { data.cast::<T>().drop_in_place() });
        }
        let place = self.alloc::<T>()?;
        self.on_destroy(drop_value::<T>, (&raw mut *place).cast())?;
        Ok(place.write(value))
    }

    /// Calls `handler` with `data` when the pool is destroyed; the handler that was added last is
    /// called first.
    pub fn on_destroy(self, handler: extern "C" fn(*mut c_void), data: *mut c_void) -> Result<(), AllocError> {
        // SAFETY: the pool is valid by the handle's contract.
        let cleanup = unsafe { ngx_pool_cleanup_add(self.as_ptr(), 0) };
        // SAFETY: null, or a cleanup that lives in the pool.
        let cleanup = unsafe { cleanup.as_mut() }.ok_or(AllocError)?;
        cleanup.handler = Some(handler);
        cleanup.data = data;
        Ok(())
    }

    /// Returns whether the pool has cleanups.
    #[inline]
    pub fn has_on_destroy(self) -> bool {
        !self.0.get().cleanup.is_null()
    }

    /// Finds the data that was registered with `handler` and that `wanted` accepts.
    pub fn find_on_destroy(
        self,
        handler: extern "C" fn(*mut c_void),
        wanted: impl Fn(NonNull<c_void>) -> bool,
    ) -> Option<NonNull<c_void>> {
        let mut next = self.0.get().cleanup;
        // SAFETY: null, or a cleanup of a valid pool.
        while let Some(cleanup) = unsafe { next.as_ref() } {
            if cleanup.handler.is_some_and(|other| other as usize == handler as usize)
                && let Some(data) = NonNull::new(cleanup.data).filter(|&data| wanted(data))
            {
                return Some(data);
            }
            next = cleanup.next;
        }
        None
    }
}

impl From<AllocError> for ngx_int_t {
    fn from(_: AllocError) -> Self {
        crate::rc::ERROR
    }
}
