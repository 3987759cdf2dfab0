//! How long a worker that is told to quit waits for calls that no request waits for: until they
//! have ended, but not longer than [`limits::QUIT_TIME`] or nginx's `worker_shutdown_timeout`.
//!
//! Calls of requests are counted when the request is over: before, the worker waits for the
//! request.

use std::cell::RefCell;

use ngx_bindings::cycle;
use ngx_bindings::event::Event;
use ngx_bindings::shutdown::{Shutdown, ShutdownWatch, shutdown};
use ngx_bindings::sys::ngx_event_t;
use proxy_wasm_host::limits::calls as limits;

use crate::guard::guard;

thread_local! {
    /// nginx runs in one thread.
    static QUIT: RefCell<Quit> = RefCell::default();
}

#[derive(Default)]
struct Quit {
    /// How many calls the worker waits for.
    awaited: usize,
    /// Tells when the worker is told to quit.
    watch: Option<ShutdownWatch>,
    /// Runs from the moment the worker is told to quit. nginx continues while a timer exists that
    /// is not cancelable.
    timer: Option<Box<Event>>,
}

impl Quit {
    fn count(&mut self, awaited: usize) {
        self.awaited = awaited;
        if let Some(timer) = &mut self.timer {
            timer.set_cancelable(awaited == 0);
        }
    }

    fn extend(&mut self) {
        if let Some(timer) = &mut self.timer {
            timer.set_timer(limits::QUIT_TIME);
        }
    }

    fn go_on(&mut self, shutdown: Shutdown) {
        match shutdown {
            Shutdown::Begun => self.begin(),
            Shutdown::TimedOut => self.timer = None,
        }
    }

    fn begin(&mut self) {
        let Some(mut timer) = Event::of_worker(on_timer).map(Box::new) else { return };
        timer.set_cancelable(self.awaited == 0);
        timer.set_timer(limits::QUIT_TIME);
        self.timer = Some(timer);
    }
}

/// Keeps the worker for one call: a call that ends by itself, and for which nothing else keeps the
/// worker.
#[derive(Debug)]
pub struct Awaited(());

impl Awaited {
    pub fn new() -> Self {
        watch();
        QUIT.with_borrow_mut(|quit| quit.count(quit.awaited + 1));
        Self(())
    }

    /// As [`Self::new`], for the call of a request that is over. If the worker has been told to quit,
    /// it waits for this call as long as for one that was under way then.
    pub fn of_request() -> Self {
        let awaited = Self::new();
        QUIT.with_borrow_mut(Quit::extend);
        awaited
    }
}

/// Begins to watch for the worker's end. If no connection is free for that, the worker waits for no
/// call. A plugin's instance does this when it starts: the first call may be one of a request that
/// ends with the worker, when it is too late to watch.
pub fn watch() {
    if QUIT.with_borrow(|quit| quit.watch.is_some()) || cycle::exiting() {
        return;
    }
    // Made outside the borrow: nginx may close another connection to get one for the watch.
    let watch = ShutdownWatch::new(on_shutdown).ok();
    QUIT.with_borrow_mut(|quit| quit.watch = watch);
}

impl Drop for Awaited {
    fn drop(&mut self) {
        // While the process exits, the count may be gone already.
        let _ = QUIT.try_with(|quit| {
            let mut quit = quit.borrow_mut();
            let awaited = quit.awaited.saturating_sub(1);
            quit.count(awaited);
        });
    }
}

/// Gives the watch's connection back. Called when the worker exits.
pub fn stop() {
    drop(QUIT.take());
}

unsafe extern "C" fn on_shutdown(event: *mut ngx_event_t) {
    // SAFETY: nginx passes the read event of the watch.
    let shutdown = unsafe { shutdown(event) };
    guard((), || QUIT.with_borrow_mut(|quit| quit.go_on(shutdown)));
}

/// Does nothing: when the timer expires, nginx has no timer left to wait for.
unsafe extern "C" fn on_timer(_: *mut ngx_event_t) {}
