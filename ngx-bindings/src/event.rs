//! `ngx_event.h`, `ngx_event_timer.h`, `ngx_event_posted.h`: calls a handler later.

use std::ffi::c_void;
use std::ptr;

use nginx_sys::{self as sys, ngx_event_t, ngx_int_t, ngx_msec_t};

use crate::live::{Live, zeroed};
use crate::{Log, cycle};

impl Live<'_, ngx_event_t> {
    /// Makes nginx report that a connection can be read from, as its event method needs it.
    pub(crate) fn handle_read(self) -> ngx_int_t {
        // SAFETY: the event is valid by the handle's contract.
        unsafe { sys::ngx_handle_read_event(self.as_ptr(), 0) }
    }

    /// Makes nginx report that a connection can be written to.
    pub(crate) fn handle_write(self) -> ngx_int_t {
        // SAFETY: as above.
        unsafe { sys::ngx_handle_write_event(self.as_ptr(), 0) }
    }
}

/// The data of an event.
///
/// # Safety
///
/// The event was made with a pointer to a `T` that is valid for `'a`. nginx makes the events of a
/// connection with a pointer to the connection.
pub unsafe fn data<'a, T>(event: *mut ngx_event_t) -> &'a T {
    // SAFETY: by this function's contract.
    let data = unsafe { (*event).data };
    // SAFETY: as above.
    unsafe { &*data.cast() }
}

/// Returns whether this process has an event loop. A master that reads its configuration has none,
/// and an event must not be armed there.
pub fn is_looping() -> bool {
    // SAFETY: a plain global of nginx, all zero until the loop is prepared.
    unsafe { !sys::ngx_event_timer_rbtree.root.is_null() }
}

/// The data of an event without a connection. When nginx logs timers (`debug`), it takes the data
/// for a connection, and reads the descriptor behind its first three words.
static NO_CONNECTION: [usize; 4] = [0; 4];

/// Makes nginx take the current signal for the alarm of `timer_resolution`, so that a wait for
/// events that it interrupts is not an error.
pub fn set_timer_alarm() {
    // SAFETY: a plain global of nginx, which its own signal handler sets in the same way.
    unsafe { sys::ngx_event_timer_alarm = 1 }
}

/// Called when an event's timer expires, or in the round of nginx's loop that the event was posted
/// for.
pub type Handler = unsafe extern "C" fn(*mut ngx_event_t);

/// How long a posted event keeps a worker that is told to quit, in milliseconds. The event's
/// handler runs in the loop's next round, which is much sooner.
const POSTED: ngx_msec_t = 60_000;

/// An event of this module: a timer, or work to do when nginx is back in its loop.
///
/// The event must not move once it is armed: keep it boxed or in a pool. Dropping it disarms it.
#[repr(C)]
pub struct Event {
    // The first field, because nginx passes its address to `on_event`.
    raw: ngx_event_t,
    handler: Handler,
    /// Whether the timer was only set because of a posted event.
    keeps_worker: bool,
}

impl Event {
    /// Makes an event that calls `handler`. `data` becomes the event's data.
    ///
    /// # Safety
    ///
    /// `data` is null, or points at what is as large as `NO_CONNECTION`, and that the handler can
    /// use. That and the log are valid as long as the event, which does not move once it is armed.
    pub unsafe fn new(handler: Handler, data: *mut c_void, log: Log) -> Self {
        let mut raw: ngx_event_t = zeroed();
        raw.handler = Some(on_event);
        raw.data = if data.is_null() { (&raw const NO_CONNECTION).cast_mut().cast() } else { data };
        raw.log = log.as_ptr();
        Self { raw, handler, keeps_worker: false }
    }

    /// Makes an event without data for a process that serves; `None` where nginx has no cycle yet.
    pub fn of_worker(handler: Handler) -> Option<Self> {
        // SAFETY: the log is that of the cycle that the process serves until it ends.
        cycle::with_log(|log| unsafe { Self::new(handler, ptr::null_mut(), log) })
    }

    /// Calls the handler in `milliseconds`, instead of at an earlier set time.
    pub fn set_timer(&mut self, milliseconds: u32) {
        self.release_worker();
        self.add_timer(milliseconds as ngx_msec_t);
    }

    fn add_timer(&mut self, milliseconds: ngx_msec_t) {
        // SAFETY: the event is initialized and, by the contract of `new`, does not move.
        unsafe { sys::ngx_add_timer(&raw mut self.raw, milliseconds) }
    }

    /// Sets whether a worker may shut down before the timer expires.
    pub fn set_cancelable(&mut self, is_cancelable: bool) {
        self.raw.set_cancelable(is_cancelable.into());
    }

    /// Cancels the timer.
    pub fn cancel_timer(&mut self) {
        self.keeps_worker = false;
        if self.raw.timer_set() != 0 {
            // SAFETY: the event is in the timer tree.
            unsafe { sys::ngx_del_timer(&raw mut self.raw) }
        }
    }

    /// Returns whether the timer has expired since the last call.
    pub fn take_timed_out(&mut self) -> bool {
        let timed_out = self.raw.timedout() != 0;
        self.raw.set_timedout(0);
        timed_out
    }

    /// Calls the handler in the next round of nginx's event loop.
    ///
    /// The handler never runs in this round. nginx runs `ngx_posted_events` until the queue is
    /// empty, so handlers that post to it again and again would keep nginx from its loop for good.
    /// For events of the next round nginx does not wait; but a worker that quits forgets them,
    /// unless a timer is left, so a timer is set as well.
    pub fn post(&mut self) {
        if self.raw.timer_set() == 0 {
            self.keeps_worker = true;
            self.add_timer(POSTED);
        }
        let queue = &raw mut sys::ngx_posted_next_events;
        // SAFETY: the event is initialized and does not move; the queue is nginx's.
        unsafe { sys::ngx_post_event(&raw mut self.raw, queue) }
    }

    fn release_worker(&mut self) {
        if self.keeps_worker {
            self.cancel_timer();
            self.raw.set_timedout(0);
        }
    }
}

/// The handler that nginx calls for every [`Event`]. It has no guard: what it calls has one.
unsafe extern "C" fn on_event(event: *mut ngx_event_t) {
    // SAFETY: nginx passes the first field of an `Event`.
    let this = unsafe { &mut *event.cast::<Event>() };
    this.release_worker();
    let handler = this.handler;
    // SAFETY: the event is valid; the handler may drop it.
    unsafe { handler(event) };
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
