//! `ngx_event.h`, `ngx_event_timer.h`, `ngx_event_posted.h`: to be called later.

use std::ffi::c_void;

use nginx_sys::{self as sys, ngx_event_t, ngx_msec_t};

use crate::Log;

/// Whether this process has an event loop: a master that reads its configuration has none, and no event may be armed there.
pub fn is_looping() -> bool {
    // SAFETY: a plain global of nginx, all zero until the loop is prepared.
    unsafe { !sys::ngx_event_timer_rbtree.root.is_null() }
}

/// The data of an event that has none. When nginx logs timers (`debug`), it takes the data for a
/// connection, and reads the descriptor behind its first three words.
static NO_CONNECTION: [usize; 4] = [0; 4];

/// Has nginx take the signal that is being handled for the alarm of `timer_resolution`: a wait for events that it ends is no fault.
pub fn set_timer_alarm() {
    // SAFETY: a plain global of nginx, which its own signal handler sets in the same way.
    unsafe { sys::ngx_event_timer_alarm = 1 }
}

/// Called when an event's timer runs out, or in the round of nginx's loop that it was posted for.
pub type Handler = unsafe extern "C" fn(*mut ngx_event_t);

/// How long a posted event keeps a worker that is told to quit, in milliseconds: its handler runs
/// in the loop's next round, long before.
const POSTED: ngx_msec_t = 60_000;

/// An event of our own: a timer, or something to do once nginx is back in its loop.
///
/// It must not move once armed: keep it boxed or in a pool. Dropping it disarms it.
#[repr(C)]
pub struct Event {
    // First: nginx passes its address to `on_event`.
    raw: ngx_event_t,
    handler: Handler,
    /// The timer is there for what was posted alone.
    keeps_worker: bool,
}

impl Event {
    /// An event that calls `handler`, with `data` in the event's `data`: null, or at least as large as
    /// [`NO_CONNECTION`].
    pub fn new(handler: Handler, data: *mut c_void, log: Log) -> Self {
        // SAFETY: all zero is nginx's own way to start an event.
        let mut raw: ngx_event_t = unsafe { std::mem::zeroed() };
        raw.handler = Some(on_event);
        raw.data = if data.is_null() { (&raw const NO_CONNECTION).cast_mut().cast() } else { data };
        raw.log = log.as_ptr();
        Self { raw, handler, keeps_worker: false }
    }

    /// Calls the handler in `milliseconds`, in place of an earlier time.
    pub fn set_timer(&mut self, milliseconds: u32) {
        self.release_worker();
        // SAFETY: the event is initialized and, by this type's contract, does not move.
        unsafe { sys::ngx_add_timer(&raw mut self.raw, milliseconds as ngx_msec_t) }
    }

    /// Says whether a worker may shut down before the timer runs out.
    pub fn set_cancelable(&mut self, is_cancelable: bool) {
        self.raw.set_cancelable(is_cancelable.into());
    }

    /// Forgets the timer.
    pub fn cancel_timer(&mut self) {
        self.keeps_worker = false;
        if self.raw.timer_set() != 0 {
            // SAFETY: the event is in the timer tree.
            unsafe { sys::ngx_del_timer(&raw mut self.raw) }
        }
    }

    /// Whether the timer ran out since this was last asked.
    pub fn take_timed_out(&mut self) -> bool {
        let timed_out = self.raw.timedout() != 0;
        self.raw.set_timedout(0);
        timed_out
    }

    /// Calls the handler in the next round of nginx's event loop.
    ///
    /// Never in this round: nginx goes on with `ngx_posted_events` until none is left, so handlers
    /// that post there, each itself or one the other, would keep it from its loop for good. For
    /// events of the next round nginx does not wait, but a worker that quits forgets them, unless a
    /// timer is left.
    pub fn post(&mut self) {
        if self.raw.timer_set() == 0 {
            self.keeps_worker = true;
            // SAFETY: the event is initialized and does not move.
            unsafe { sys::ngx_add_timer(&raw mut self.raw, POSTED) }
        }
        // SAFETY: as above; the queue is nginx's.
        unsafe { sys::ngx_post_event(&raw mut self.raw, &raw mut sys::ngx_posted_next_events) }
    }

    fn release_worker(&mut self) {
        if self.keeps_worker {
            self.cancel_timer();
            self.raw.set_timedout(0);
        }
    }
}

/// The handler of every [`Event`], for nginx.
unsafe extern "C" fn on_event(event: *mut ngx_event_t) {
    let this: *mut Event = event.cast();
    // SAFETY: nginx passes the first field of an `Event`, which the handler may drop.
    unsafe {
        (*this).release_worker();
        ((*this).handler)(event);
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        self.cancel_timer();
        if self.raw.posted() != 0 {
            // SAFETY: the event is in a queue of posted events.
            unsafe { sys::ngx_delete_posted_event(&raw mut self.raw) }
        }
    }
}
