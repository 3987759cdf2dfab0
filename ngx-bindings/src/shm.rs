//! `ngx_cycle.h`, `ngx_slab.h`, `ngx_shmtx.h`: zones of shared memory.
//!
//! A zone is one slab pool. When the zone is fresh, it is asked once for all its pages, and this
//! module manages their content from then on. The pool's own lists are never touched while workers
//! run, so a worker that dies cannot leave them torn. The pool's mutex is used, too: nginx's master
//! opens it when the worker that holds it dies.

use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nginx_sys::{self as sys, ngx_int_t, ngx_module_t, ngx_shm_zone_t, ngx_slab_pool_t};

use crate::pool::AllocError;
use crate::{Conf, rc, string};

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

impl Conf {
    /// Requests a zone. All modules share one set of names.
    pub fn add_shared_memory(
        self,
        name: &'static [u8],
        size: usize,
        module: *const ngx_module_t,
    ) -> Result<ShmZone, AllocError> {
        let mut name = string::borrowed(name);
        // SAFETY: `cf` is valid; nginx copies the name's pointer, which is static, and compares the
        // module's.
        let zone = unsafe { sys::ngx_shared_memory_add(self.as_ptr(), &raw mut name, size, module.cast_mut().cast()) };
        let zone = NonNull::new(zone).ok_or(AllocError)?;
        // SAFETY: nginx keeps the zone in the cycle's pool.
        unsafe { (*zone.as_ptr()).init = Some(init) };
        Ok(ShmZone(zone))
    }
}

/// Takes all pages of a fresh zone, which are zero. A kept zone has its pages in the pool's `data`
/// already.
unsafe extern "C" fn init(zone: *mut ngx_shm_zone_t, _: *mut std::ffi::c_void) -> ngx_int_t {
    // SAFETY: nginx has mapped the zone, with a slab pool at its start, and no worker knows it yet.
    unsafe {
        let pool: *mut ngx_slab_pool_t = (*zone).shm.addr.cast();
        if (*pool).data.is_null() {
            let size = (*pool).pfree << sys::ngx_pagesize_shift;
            let pages = sys::ngx_slab_alloc(pool, size);
            if pages.is_null() {
                return rc::ERROR;
            }
            pages.cast::<u8>().write_bytes(0, size);
            // The number of words is stored in the header, because `pfree` is 0 now.
            pages.cast::<usize>().write(size / size_of::<AtomicU64>() - HEADER);
            (*pool).data = pages;
        }
        rc::OK
    }
}

impl ShmZone {
    /// The zone's memory, which is zero in a fresh zone; empty before nginx has made the zone.
    pub fn words(self) -> &'static [AtomicU64] {
        // SAFETY: `init` stored the number of words and then the words there. A worker keeps a zone
        // mapped for as long as it lives; the master unmaps a zone only with the configuration that
        // asked for it.
        unsafe {
            let pool = self.pool();
            if pool.is_null() || (*pool).data.is_null() {
                return &[];
            }
            let start: *const usize = (*pool).data.cast();
            std::slice::from_raw_parts(start.add(HEADER).cast(), *start)
        }
    }

    /// Waits for the zone's mutex.
    pub fn lock(self) {
        let pool = self.pool();
        if !pool.is_null() {
            // SAFETY: nginx has made the pool, and its mutex with it.
            unsafe { sys::ngx_shmtx_lock(&raw mut (*pool).mutex) }
        }
    }

    /// Opens the zone's mutex, which this process holds.
    pub fn unlock(self) {
        let pool = self.pool();
        if !pool.is_null() {
            // SAFETY: as above.
            unsafe { sys::ngx_shmtx_unlock(&raw mut (*pool).mutex) }
        }
    }

    fn pool(self) -> *mut ngx_slab_pool_t {
        // SAFETY: the description lives in the pool of the cycle that asked for it; `addr` is null
        // until nginx has mapped it.
        unsafe { (*self.0.as_ptr()).shm.addr.cast() }
    }
}
