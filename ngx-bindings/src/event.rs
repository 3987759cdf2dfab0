//! `ngx_event.h`, `ngx_event_timer.h`, `ngx_event_posted.h`: to be called later.

use std::sync::atomic::{AtomicBool, Ordering};

use nginx_sys::{self as sys, ngx_event_t, ngx_msec_t};

use crate::Log;

/// Whether this process has an event loop: a master that reads its configuration has none, and no event may be armed there.
pub fn is_looping() -> bool {
    // SAFETY: a plain global of nginx, all zero until the loop is prepared.
    unsafe { !sys::ngx_event_timer_rbtree.root.is_null() }
}

static LOOP_RUNS: AtomicBool = AtomicBool::new(false);

/// To be called by handlers of events that may have been posted before the loop ran.
pub fn set_loop_runs() {
    LOOP_RUNS.store(true, Ordering::Relaxed);
}

/// Has nginx take the signal that is being handled for the alarm of `timer_resolution`: a wait for events that it ends is no fault.
pub fn set_timer_alarm() {
    // SAFETY: a plain global of nginx, which its own signal handler sets in the same way.
    unsafe { sys::ngx_event_timer_alarm = 1 }
}

/// An event of our own: a timer, or something to do once nginx is back in its loop.
///
/// It must not move once armed: keep it boxed or in a pool. Dropping it disarms it.
pub struct Event(ngx_event_t);

impl Event {
    /// An event that calls `handler`, with `data` in the event's `data`.
    pub fn new(handler: unsafe extern "C" fn(*mut ngx_event_t), data: *mut std::ffi::c_void, log: Log) -> Self {
        // SAFETY: all zero is nginx's own way to start an event.
        let mut event: ngx_event_t = unsafe { std::mem::zeroed() };
        event.handler = Some(handler);
        event.data = data;
        event.log = log.as_ptr();
        Self(event)
    }

    /// Calls the handler in `milliseconds`, in place of an earlier time.
    pub fn set_timer(&mut self, milliseconds: u32) {
        // SAFETY: the event is initialized and, by this type's contract, does not move.
        unsafe { sys::ngx_add_timer(&raw mut self.0, milliseconds as ngx_msec_t) }
    }

    /// Lets the event's timer not keep a worker from shutting down.
    pub fn set_cancelable(&mut self) {
        self.0.set_cancelable(1);
    }

    /// Forgets the timer.
    pub fn cancel_timer(&mut self) {
        if self.0.timer_set() != 0 {
            // SAFETY: the event is in the timer tree.
            unsafe { sys::ngx_del_timer(&raw mut self.0) }
        }
    }

    /// Whether the timer ran out since this was last asked.
    pub fn take_timed_out(&mut self) -> bool {
        let timed_out = self.0.timedout() != 0;
        self.0.set_timedout(0);
        timed_out
    }

    /// Calls the handler as soon as nginx is back in its event loop.
    pub fn post(&mut self) {
        // Before the loop's first round (`init_process`, `init_worker_by_lua`) nginx would wait for something to happen before it
        // looks at what is posted; for the next round's events it does not wait.
        let queue = if LOOP_RUNS.load(Ordering::Relaxed) {
            &raw mut sys::ngx_posted_events
        } else {
            &raw mut sys::ngx_posted_next_events
        };
        // SAFETY: the event is initialized and does not move; the queue is nginx's.
        unsafe { sys::ngx_post_event(&raw mut self.0, queue) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        self.cancel_timer();
        if self.0.posted() != 0 {
            // SAFETY: the event is in a queue of posted events.
            unsafe { sys::ngx_delete_posted_event(&raw mut self.0) }
        }
    }
}
