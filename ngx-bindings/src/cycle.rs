//! `ngx_cycle.h`, `ngx_process_cycle.h`: the kind of this process, its number and its log.

use std::sync::atomic::{AtomicBool, Ordering};

use nginx_sys::{self as sys, ngx_cycle_t, ngx_http_conf_ctx_t, ngx_module_t, ngx_uint_t};

use crate::Log;

/// The kinds of processes that nginx has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// `master_process off`.
    Single,
    /// The master, or the process that reads the configuration first.
    Master,
    /// A worker, which serves requests.
    Worker,
    /// A cache manager or loader, or OpenResty's privileged agent.
    Helper,
    /// `nginx -s`.
    Signaller,
}

/// The kind of this process.
pub fn process() -> Process {
    // SAFETY: a plain global of nginx.
    match unsafe { sys::ngx_process } as u32 {
        sys::NGX_PROCESS_SINGLE => Process::Single,
        sys::NGX_PROCESS_WORKER => Process::Worker,
        sys::NGX_PROCESS_HELPER => Process::Helper,
        sys::NGX_PROCESS_SIGNALLER => Process::Signaller,
        _ => Process::Master,
    }
}

/// Returns whether the worker has been told to stop.
pub fn exiting() -> bool {
    // SAFETY: plain globals of nginx.
    unsafe { sys::ngx_exiting != 0 || sys::ngx_terminate != 0 }
}

/// The log of the current cycle.
pub fn log() -> Option<Log> {
    // SAFETY: `ngx_cycle` is null or valid, and so is its log.
    unsafe {
        let cycle = sys::ngx_cycle;
        if cycle.is_null() { None } else { Log::from_ptr((*cycle).log) }
    }
}

/// The log of a cycle that is being made. It follows the new configuration, while [`log`] is still
/// that of the previous one.
///
/// # Safety
///
/// `cycle` is valid and outlives every use of the handle.
pub unsafe fn log_of(cycle: *mut ngx_cycle_t) -> Option<Log> {
    // SAFETY: by this function's contract.
    unsafe { Log::from_ptr((*cycle).log) }
}

/// The number of the user that workers run as. `None` if the master is not root: workers then run
/// as the master's user.
///
/// # Safety
///
/// `cycle` is valid, and its configuration has been read.
pub unsafe fn worker_user(cycle: *mut ngx_cycle_t) -> Option<u32> {
    // SAFETY: by this function's contract; the slot of nginx's core module holds its configuration.
    let user = unsafe {
        let core: *const sys::ngx_core_conf_t = (*(*cycle).conf_ctx.add(sys::ngx_core_module.index)).cast();
        (*core).user
    };
    // `NGX_CONF_UNSET_UINT`, converted to the type of a user's number.
    (user != u32::MAX).then_some(user)
}

/// The `http` configuration of a module in a cycle; null without an `http` block.
///
/// # Safety
///
/// `cycle` is valid, and `T` is what the module's `create_main_conf` returns.
pub unsafe fn main_conf<T>(cycle: *mut ngx_cycle_t, module: *const ngx_module_t) -> *mut T {
    // SAFETY: by this function's contract; `ngx_http_module`'s slot holds the `http` context or
    // null.
    unsafe {
        let http = (*cycle).conf_ctx.add(sys::ngx_http_module.index);
        let ctx: *mut ngx_http_conf_ctx_t = (*http).cast();
        if ctx.is_null() {
            return std::ptr::null_mut();
        }
        (*(*ctx).main_conf.add((*module).ctx_index as usize)).cast()
    }
}

/// Does the same as [`main_conf`] for the cycle that is running.
///
/// # Safety
///
/// `T` is what the module's `create_main_conf` returns.
pub unsafe fn current_main_conf<T>(module: *const ngx_module_t) -> *mut T {
    match http() {
        // SAFETY: a context has a slot for each module of `http`.
        Some(ctx) => unsafe { (*(*ctx).main_conf.add((*module).ctx_index as usize)).cast() },
        None => std::ptr::null_mut(),
    }
}

/// A module's location configuration at the level of `http`; null without an `http` block.
///
/// # Safety
///
/// `T` is what the module's `create_loc_conf` returns.
pub unsafe fn http_loc_conf<T>(module: *const ngx_module_t) -> *mut T {
    match http() {
        // SAFETY: as above.
        Some(ctx) => unsafe { (*(*ctx).loc_conf.add((*module).ctx_index as usize)).cast() },
        None => std::ptr::null_mut(),
    }
}

/// The `http` context of the cycle that is running.
fn http() -> Option<*mut ngx_http_conf_ctx_t> {
    // SAFETY: `ngx_cycle` is null or valid; `ngx_http_module`'s slot holds the `http` context or
    // null.
    unsafe {
        let cycle = sys::ngx_cycle;
        if cycle.is_null() || (*cycle).conf_ctx.is_null() {
            return None;
        }
        let ctx: *mut ngx_http_conf_ctx_t = (*(*cycle).conf_ctx.add(sys::ngx_http_module.index)).cast();
        (!ctx.is_null()).then_some(ctx)
    }
}

/// The most connections that this process may have: `worker_connections`.
pub fn connections() -> usize {
    // SAFETY: `ngx_cycle` is null or valid.
    unsafe { sys::ngx_cycle.cast_const().as_ref() }.map_or(0, |cycle| cycle.connection_n)
}

/// The number of this worker.
pub fn worker() -> ngx_uint_t {
    // SAFETY: a plain global of nginx.
    unsafe { sys::ngx_worker }
}

/// Set by [`set_serving`]. nginx's own variable says "single" while the first configuration is
/// read, whatever kind of process follows.
static SERVING: AtomicBool = AtomicBool::new(false);

/// Returns whether this process has passed `init_process`. From then on it never forks.
pub fn serves() -> bool {
    SERVING.load(Ordering::Relaxed)
}

/// Marks that this process has passed `init_process`, which must call this.
pub fn set_serving() {
    SERVING.store(true, Ordering::Relaxed);
}
