//! The Lua thread that waits for a plugin of a request.

use std::cell::Cell;
use std::ffi::{c_int, c_void};

use super::lua_calls::LuaCalls;

/// `ngx_http_lua_ffi_sema_post`. Lua passes its address, because the Lua module may be linked in or
/// loaded, so this library cannot link to it.
pub type Post = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;

/// Which Lua thread waits, and for what.
#[derive(Default)]
pub struct LuaThread {
    /// The semaphore that the thread waits on.
    semaphore: Cell<Option<(*mut c_void, Post)>>,
    /// Whether the thread waits, or waited last, for calls.
    pub for_calls: Cell<bool>,
    pub timed_out: Cell<bool>,
    /// The calls that the thread is to make while it waits.
    pub calls: LuaCalls,
}

impl LuaThread {
    /// From now on the thread waits on this semaphore of Lua's.
    pub fn wait_on(&self, semaphore: *mut c_void, post: Post) {
        self.semaphore.set(Some((semaphore, post)));
    }

    /// Wakes the thread, which then looks at what happened. Answers false if no thread waits.
    pub fn wake(&self, timed_out: bool) -> bool {
        let Some((semaphore, post)) = self.semaphore.take() else {
            return false;
        };
        self.timed_out.set(timed_out);
        // SAFETY: Lua holds the semaphore in the request's `ngx.ctx`, and `forget` is called when the request ends.
        unsafe { post(semaphore, 1) };
        true
    }

    /// Whether a thread waits.
    pub fn any(&self) -> bool {
        self.semaphore.get().is_some()
    }

    /// Forgets the thread: it will not be woken any more.
    pub fn forget(&self) {
        self.semaphore.set(None);
        self.calls.stop();
    }
}
