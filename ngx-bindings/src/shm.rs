//! `ngx_cycle.h`, `ngx_slab.h`, `ngx_shmtx.h`: zones of shared memory.
//!
//! A zone is one slab pool. It is asked once, when the zone is fresh, for all the pages it has, and what is in them is ours from
//! then on: the pool's own lists are never touched while workers run, so none of them can leave these torn. What else the pool has
//! is its mutex, which nginx's master opens when the worker that holds it dies.

use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nginx_sys::{self as sys, ngx_int_t, ngx_module_t, ngx_shm_zone_t, ngx_slab_pool_t};

use crate::pool::AllocError;
use crate::{Conf, rc, string};

/// The least that nginx's slab pools, and what is kept in ours, need.
pub const MIN_SIZE: usize = 64 << 10;

/// Words before those that are given out, the first of which says how many these are: a cache line, so that what begins at a
/// multiple of one in the words does so in memory.
const HEADER: usize = 8;

/// A zone of shared memory. nginx makes it when all of the configuration has been read; a zone of the same name, size and
/// module in the configuration before is kept with its contents.
#[derive(Clone, Copy, Debug)]
pub struct ShmZone(NonNull<ngx_shm_zone_t>);

// SAFETY: the zone's description is not changed after it was made, its words are atomic, and its mutex is one between processes,
// which threads of one process exclude each other by as well.
unsafe impl Send for ShmZone {}
// SAFETY: as above.
unsafe impl Sync for ShmZone {}

impl Conf {
    /// Asks for a zone. Names are one set for all modules.
    pub fn add_shared_memory(
        self,
        name: &'static [u8],
        size: usize,
        module: *const ngx_module_t,
    ) -> Result<ShmZone, AllocError> {
        let mut name = string::borrowed(name);
        // SAFETY: `cf` is valid; nginx copies the name's pointer, which is static, and compares the module's.
        let zone = unsafe { sys::ngx_shared_memory_add(self.as_ptr(), &raw mut name, size, module.cast_mut().cast()) };
        let zone = NonNull::new(zone).ok_or(AllocError)?;
        // SAFETY: a zone that nginx keeps in the cycle's pool.
        unsafe { (*zone.as_ptr()).init = Some(init) };
        Ok(ShmZone(zone))
    }
}

/// Takes all pages of a fresh zone; what they hold is zero. A kept zone has its pages in the pool's `data` already.
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
            // How much it is stands beside it: `pfree` is 0 now.
            pages.cast::<usize>().write(size / size_of::<AtomicU64>() - HEADER);
            (*pool).data = pages;
        }
        rc::OK
    }
}

impl ShmZone {
    /// The zone's memory, zero when fresh; nothing before nginx has made it.
    pub fn words(self) -> &'static [AtomicU64] {
        // SAFETY: `init` put the words' number and then the words there. A worker keeps a zone mapped for as long as it lives;
        // the master lets go of one only with the configuration that asked for it.
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
        // SAFETY: the description lives in the pool of the cycle that asked for it; `addr` is null until nginx has mapped it.
        unsafe { (*self.0.as_ptr()).shm.addr.cast() }
    }
}
