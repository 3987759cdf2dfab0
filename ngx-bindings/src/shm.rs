//! `ngx_cycle.h`, `ngx_slab.h`, `ngx_shmtx.h`: zones of shared memory.
//!
//! A zone is one slab pool. When the zone is fresh, it is asked once for all its pages, and this
//! module manages their content from then on. The pool's own lists are never touched while workers
//! run, so a worker that dies cannot leave them torn. The pool's mutex is used, too: nginx's master
//! opens it when the worker that holds it dies.

use std::mem::{MaybeUninit, offset_of};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::AtomicU64;

use nginx_sys::{self as sys, ngx_int_t, ngx_shm_zone_t, ngx_shmtx_t, ngx_slab_pool_t};

use crate::guard::guard;
use crate::modules::HttpModule;
use crate::pool::AllocError;
use crate::{Conf, globals, rc, string};

/// The least size that nginx's slab pools, and the structures in them, need.
pub const MIN_SIZE: usize = 64 << 10;

/// Words before those that are given out; the first holds the number of words. They fill a cache
/// line, so that an index that is a multiple of a cache line is one in memory, too.
const HEADER: usize = 8;

/// A zone of shared memory. nginx makes it after it has read the whole configuration. A zone that
/// had the same name, size and module in the previous configuration is kept with its contents.
#[derive(Clone, Copy, Debug)]
pub struct ShmZone(NonNull<ngx_shm_zone_t>);

// SAFETY: the zone's description does not change after it was made, its words are atomic, and its
// mutex excludes processes, and threads of one process as well.
unsafe impl Send for ShmZone {}
// SAFETY: the same.
unsafe impl Sync for ShmZone {}

impl Conf<'_> {
    /// Requests a zone. All modules share one set of names.
    pub fn add_shared_memory(
        self,
        name: &'static [u8],
        size: usize,
        module: HttpModule,
    ) -> Result<ShmZone, AllocError> {
        let mut name = string::borrowed(name);
        // SAFETY: `cf` is valid; nginx copies the name's pointer, which is static, and compares the
        // module's.
        let zone = unsafe {
            sys::ngx_shared_memory_add(self.as_ptr(), &raw mut name, size, module.as_ptr().cast_mut().cast())
        };
        // SAFETY: null, or a zone that nginx keeps in the cycle's pool.
        let zone = unsafe { zone.as_mut() }.ok_or(AllocError)?;
        zone.init = Some(init);
        Ok(ShmZone(NonNull::from(zone)))
    }
}

/// Takes all pages of a fresh zone, which are zero. A kept zone has its pages in the pool's `data`
/// already.
unsafe extern "C" fn init(zone: *mut ngx_shm_zone_t, _: *mut std::ffi::c_void) -> ngx_int_t {
    // SAFETY: nginx passes a zone that it has made.
    let pool: *mut ngx_slab_pool_t = unsafe { (*zone).shm.addr }.cast();
    // SAFETY: nginx has mapped the zone, with a slab pool at its start, and no worker knows it yet.
    let pool = unsafe { &mut *pool };
    guard(rc::ERROR, || take_pages(pool).map_or_else(Into::into, |()| rc::OK))
}

fn take_pages(pool: &mut ngx_slab_pool_t) -> Result<(), AllocError> {
    if !pool.data.is_null() {
        return Ok(());
    }
    let size = pool.pfree << globals::pagesize_shift();
    // SAFETY: the pool is valid.
    let pages: *mut usize = unsafe { sys::ngx_slab_alloc(pool, size) }.cast();
    if pages.is_null() {
        return Err(AllocError);
    }
    // SAFETY: the pages are of that size, and nobody else's.
    let words = unsafe { slice::from_raw_parts_mut(pages.cast::<MaybeUninit<usize>>(), size / size_of::<usize>()) };
    words.fill(MaybeUninit::new(0));
    // The number of words is stored in the header, because `pfree` is 0 now.
    words[0].write(size / size_of::<AtomicU64>() - HEADER);
    pool.data = pages.cast();
    Ok(())
}

impl ShmZone {
    /// The zone's memory, which is zero in a fresh zone; empty before nginx has made the zone.
    ///
    /// # Safety
    ///
    /// The memory is used in a worker, which keeps the zone mapped for as long as it lives, or no
    /// longer than the configuration that asked for the zone.
    pub unsafe fn words(self) -> &'static [AtomicU64] {
        // SAFETY: null, or a pool that nginx has made.
        let data: *const usize = unsafe { self.pool().as_ref() }.map_or(ptr::null(), |pool| pool.data.cast());
        // SAFETY: null before `init`, which stored the number of words there.
        let Some(&count) = (unsafe { data.as_ref() }) else {
            return &[];
        };
        // SAFETY: so many words are behind the header, and stay by this function's contract.
        unsafe { slice::from_raw_parts(data.wrapping_add(HEADER).cast(), count) }
    }

    /// Waits for the zone's mutex.
    pub fn lock(self) {
        if let Some(mutex) = self.mutex() {
            // SAFETY: nginx has made the mutex.
            unsafe { sys::ngx_shmtx_lock(mutex) }
        }
    }

    /// Opens the zone's mutex, which this process holds.
    pub fn unlock(self) {
        if let Some(mutex) = self.mutex() {
            // SAFETY: as above.
            unsafe { sys::ngx_shmtx_unlock(mutex) }
        }
    }

    /// The mutex of the zone's pool; `None` before nginx has made the zone.
    fn mutex(self) -> Option<*mut ngx_shmtx_t> {
        let pool = self.pool();
        (!pool.is_null()).then(|| pool.wrapping_byte_add(offset_of!(ngx_slab_pool_t, mutex)).cast())
    }

    fn pool(self) -> *mut ngx_slab_pool_t {
        // SAFETY: the description lives in the pool of the cycle that asked for it; `addr` is null
        // until nginx has mapped it.
        unsafe { self.0.as_ref() }.shm.addr.cast()
    }
}
