//! How long a worker that is told to quit waits for calls made outside requests: while there are
//! any, and no longer than [`limits::QUIT_TIME`] or nginx's `worker_shutdown_timeout`.
//!
//! A call of a request needs none of this: the request keeps the worker, and takes its calls with
//! it when it ends.

use std::cell::RefCell;
use std::ptr;

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
    /// Calls that the worker waits for.
    awaited: usize,
    /// Made for the first of them.
    watch: Option<ShutdownWatch>,
    /// Runs from when the worker was told to quit. nginx goes on as long as there is a timer that
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

    fn begin(&mut self) {
        let Some(log) = cycle::log() else { return };
        let mut timer = Box::new(Event::new(on_timer, ptr::null_mut(), log));
        timer.set_cancelable(self.awaited == 0);
        timer.set_timer(limits::QUIT_TIME);
        self.timer = Some(timer);
    }
}

/// A call under way that comes to an end by itself, and that nothing else keeps the worker for.
#[derive(Debug)]
pub struct Awaited(());

impl Awaited {
    pub fn new() -> Self {
        watch();
        QUIT.with_borrow_mut(|quit| quit.count(quit.awaited + 1));
        Self(())
    }
}

/// Without a free connection the worker waits for no call.
fn watch() {
    if QUIT.with_borrow(|quit| quit.watch.is_some()) || cycle::exiting() {
        return;
    }
    // Not while it is borrowed: to get a connection, nginx may close another.
    let watch = cycle::log().and_then(|log| ShutdownWatch::new(on_shutdown, log).ok());
    QUIT.with_borrow_mut(|quit| quit.watch = watch);
}

impl Drop for Awaited {
    fn drop(&mut self) {
        // While the process exits there may be nothing left to count.
        let _ = QUIT.try_with(|quit| {
            let mut quit = quit.borrow_mut();
            let awaited = quit.awaited.saturating_sub(1);
            quit.count(awaited);
        });
    }
}

/// Gives the connection back; called when the worker exits.
pub fn stop() {
    drop(QUIT.take());
}

unsafe extern "C" fn on_shutdown(event: *mut ngx_event_t) {
    guard((), || {
        // SAFETY: nginx passes the read event of the watch.
        let shutdown = unsafe { shutdown(event) };
        QUIT.with_borrow_mut(|quit| match shutdown {
            Shutdown::Begun => quit.begin(),
            Shutdown::TimedOut => quit.timer = None,
        });
    });
}

/// The time is over: with its timer, what nginx waited for is gone.
unsafe extern "C" fn on_timer(_: *mut ngx_event_t) {}
