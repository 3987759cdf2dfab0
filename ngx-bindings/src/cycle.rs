//! `ngx_cycle.h`, `ngx_process_cycle.h`: the kind of this process, its number and its log.

use std::sync::atomic::{AtomicBool, Ordering};

use nginx_sys::{
    self as sys, ngx_connection_t, ngx_core_conf_t, ngx_cycle_t, ngx_http_conf_ctx_t, ngx_module_t, ngx_uint_t,
};

use crate::live::Live;
use crate::modules::HttpModule;
use crate::{Log, globals};

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
    match globals::process() as u32 {
        sys::NGX_PROCESS_SINGLE => Process::Single,
        sys::NGX_PROCESS_WORKER => Process::Worker,
        sys::NGX_PROCESS_HELPER => Process::Helper,
        sys::NGX_PROCESS_SIGNALLER => Process::Signaller,
        _ => Process::Master,
    }
}

/// Returns whether the worker has been told to stop.
pub fn exiting() -> bool {
    globals::exiting() != 0 || globals::terminate() != 0
}

/// Uses the log of the cycle that is running. Answers `None` before there is one.
pub fn with_log<R>(use_log: impl FnOnce(Log<'_>) -> R) -> Option<R> {
    with_current(|cycle| log_of(cycle).map(use_log))
}

fn log_of(cycle: &ngx_cycle_t) -> Option<Log<'_>> {
    // SAFETY: a cycle's log lives as long as the cycle.
    unsafe { Log::from_ptr(cycle.log) }
}

/// A cycle that nginx passes to a hook of this module: the one that is being made, or that runs.
#[derive(Clone, Copy)]
pub struct Cycle<'c>(Live<'c, ngx_cycle_t>);

impl<'c> Cycle<'c> {
    /// # Safety
    ///
    /// `cycle` is what nginx passed to a hook, which `'c` does not outlive. nginx has read the
    /// cycle's configuration.
    pub unsafe fn from_nginx(cycle: *mut ngx_cycle_t) -> Self {
        // SAFETY: by this function's contract.
        Self(unsafe { Live::of(cycle) })
    }

    /// The pointer that nginx's functions take.
    pub(crate) fn as_ptr(self) -> *mut ngx_cycle_t {
        self.0.as_ptr()
    }

    /// nginx's structure, to read it as [`Live`] says.
    pub(crate) fn raw(self) -> &'c ngx_cycle_t {
        self.0.get()
    }

    /// The cycle's log. It follows the new configuration, while [`with_log`] still uses that of the
    /// previous one.
    pub fn log(self) -> Option<Log<'c>> {
        log_of(self.raw())
    }

    /// The number of the user that workers run as. `None` if the master is not root: workers then
    /// run as the master's user.
    pub fn worker_user(self) -> Option<u32> {
        let module = &raw const sys::ngx_core_module;
        // SAFETY: nginx's core module has a configuration of that type.
        let core = unsafe { conf_of::<ngx_core_conf_t>(self.raw(), module) }?;
        // `NGX_CONF_UNSET_UINT`, converted to the type of a user's number.
        (core.user != u32::MAX).then_some(core.user)
    }

    /// The number of the group that workers run as, where [`Self::worker_user`] has a number.
    pub fn worker_group(self) -> Option<u32> {
        let module = &raw const sys::ngx_core_module;
        // SAFETY: nginx's core module has a configuration of that type.
        let core = unsafe { conf_of::<ngx_core_conf_t>(self.raw(), module) }?;
        // As the user's number.
        (core.group != u32::MAX).then_some(core.group)
    }

    /// `worker_processes`.
    pub fn workers(self) -> usize {
        let module = &raw const sys::ngx_core_module;
        // SAFETY: nginx's core module has a configuration of that type.
        let core = unsafe { conf_of::<ngx_core_conf_t>(self.raw(), module) };
        core.and_then(|core| usize::try_from(core.worker_processes).ok()).unwrap_or(1)
    }

    /// A module's configuration of `http`. `None` without an `http` block.
    pub fn main_conf<M, L, C>(self, module: HttpModule<M, L, C>) -> Option<&'c M> {
        main_conf_of(self.raw(), module)
    }

    /// Does the same as [`Self::main_conf`], to change it.
    ///
    /// # Safety
    ///
    /// Nothing else refers to the configuration meanwhile.
    pub unsafe fn main_conf_mut<M, L, C>(self, module: HttpModule<M, L, C>) -> Option<&'c mut M> {
        let () = HttpModule::<M, L, C>::HAS_MAIN;
        // SAFETY: a context of `http` has an entry for each of its modules.
        Some(unsafe { module.entry(http(self.raw())?.main_conf) })
    }
}

/// Uses a module's configuration of `http`, of the cycle that is running. Answers `None` without
/// an `http` block.
pub(crate) fn with_main_conf<M, L, C, R>(module: HttpModule<M, L, C>, read: impl FnOnce(&M) -> Option<R>) -> Option<R> {
    with_current(|cycle| read(main_conf_of(cycle, module)?))
}

/// Uses a module's configuration of a location that `http` itself has. Answers `None` without an
/// `http` block.
pub(crate) fn with_loc_conf<M, L, C, R>(module: HttpModule<M, L, C>, read: impl FnOnce(&L) -> Option<R>) -> Option<R> {
    let () = HttpModule::<M, L, C>::HAS_LOC;
    // SAFETY: a context of `http` has an entry for each of its modules.
    with_current(|cycle| read(unsafe { module.entry(http(cycle)?.loc_conf) }))
}

fn main_conf_of<M, L, C>(cycle: &ngx_cycle_t, module: HttpModule<M, L, C>) -> Option<&M> {
    let () = HttpModule::<M, L, C>::HAS_MAIN;
    // SAFETY: as above.
    Some(unsafe { module.entry(http(cycle)?.main_conf) })
}

/// Reads the cycle that is running.
fn with_current<R>(read: impl FnOnce(&ngx_cycle_t) -> Option<R>) -> Option<R> {
    // SAFETY: null, or the cycle that is running.
    unsafe { globals::cycle().as_ref() }.and_then(read)
}

/// The `http` context of a cycle.
pub(crate) fn http(cycle: &ngx_cycle_t) -> Option<&ngx_http_conf_ctx_t> {
    let module = &raw const sys::ngx_http_module;
    // SAFETY: what `ngx_http_module` keeps is that context.
    unsafe { conf_of(cycle, module) }
}

/// The configuration in a cycle of a module that is not in a block; `None` if it has none.
///
/// # Safety
///
/// nginx has loaded the module, whose configuration is a `T`.
unsafe fn conf_of<T>(cycle: &ngx_cycle_t, module: *const ngx_module_t) -> Option<&T> {
    if cycle.conf_ctx.is_null() {
        return None;
    }
    // SAFETY: by this function's contract.
    let index = unsafe { (*module).index };
    // SAFETY: the cycle has an entry for each module, null or the module's configuration.
    unsafe { *cycle.conf_ctx.cast::<Option<&T>>().wrapping_add(index) }
}

/// The most connections that this process may have: `worker_connections`.
pub fn connections() -> usize {
    with_current(|cycle| Some(cycle.connection_n)).unwrap_or(0)
}

/// The connection of the first descriptor, in nginx's table by descriptors. `None` where the event
/// method needs no such table.
pub(crate) fn first_file() -> Option<Live<'static, *mut ngx_connection_t>> {
    // SAFETY: null, or a table that the worker keeps until it ends.
    with_current(|cycle| unsafe { Live::new(cycle.files) })
}

/// The number of this worker.
pub fn worker() -> ngx_uint_t {
    globals::worker()
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
