//! Waits, on nginx's timers.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ngx_bindings::cycle;
use ngx_bindings::event::{self, Event};
use ngx_bindings::sys::ngx_event_t;

use crate::guard::guard;

/// A future that is ready after some time. Dropping it disarms its timer.
pub struct Sleep {
    /// The event comes before the clock that it points at, so it is dropped first.
    _event: Option<Box<Event>>,
    clock: Rc<Clock>,
}

#[derive(Default)]
struct Clock {
    rang: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Whether a worker that is told to quit waits for a timer or a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnQuit {
    /// The worker waits: a request needs it.
    Wait,
    /// The worker does not wait: it is useless to a worker that is going away.
    Forget,
}

impl Sleep {
    /// Starts the timer.
    pub fn new(milliseconds: u32, on_quit: OnQuit) -> Self {
        let clock = Rc::new(Clock::default());
        let event = cycle::with_log(|log| {
            let data = Rc::as_ptr(&clock).cast_mut().cast();
            // SAFETY: the handler takes a clock, which outlives the event, and so does the log of the
            // cycle that this process serves.
            let mut event = Box::new(unsafe { Event::new(on_timer, data, log) });
            event.set_cancelable(on_quit == OnQuit::Forget);
            event.set_timer(milliseconds);
            event
        });
        Self { _event: event, clock }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.clock.rang.get() {
            return Poll::Ready(());
        }
        *self.clock.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

unsafe extern "C" fn on_timer(event: *mut ngx_event_t) {
    // SAFETY: the event's data is the clock of a `Sleep`, which outlives its event.
    let clock: &Clock = unsafe { event::data(event) };
    guard((), || clock.ring());
}

impl Clock {
    fn ring(&self) {
        self.rang.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Runs a future with a time limit. Returns `None` if the future takes longer.
pub async fn timeout<T>(milliseconds: u32, on_quit: OnQuit, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut sleep = pin!(Sleep::new(milliseconds, on_quit));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
    })
    .await
}
