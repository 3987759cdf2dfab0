//! The requests that plugins have seen and that are not over, and handles to them that may outlive
//! them.
//!
//! If a worker is told to terminate at once, nginx drops its requests without running the log
//! phase; [`finish_all`] ends their contexts all the same.
//!
//! The memory of a context is reused by the next request and never freed. In the request's pool a
//! context would often not fit the first block, and a second block costs more than everything else
//! that is allocated for a request.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::mem::{self, MaybeUninit};
use std::ptr::{self, NonNull};

use super::RequestContext;

/// All places, and those that no request uses. It is a plain static because every request comes here
/// twice, and a thread's variable takes a call to find.
static PLACES: Places = Places { all: RefCell::new(Vec::new()), free: Cell::new(None) };

struct Places {
    all: RefCell<Vec<&'static Place>>,
    /// The first one; each has the next.
    free: Cell<Option<&'static Place>>,
}

// SAFETY: requests live in nginx's thread, and their contexts with them.
unsafe impl Sync for Places {}

/// Memory for the context of one request at a time.
#[derive(Debug)]
struct Place {
    /// Odd while a request uses the memory; each request has a new number.
    serial: Cell<u64>,
    /// The next place that is free, while this one is.
    next_free: Cell<Option<&'static Place>>,
    ctx: UnsafeCell<MaybeUninit<RequestContext>>,
}

/// A handle to a request, for code that may outlive it.
#[derive(Clone, Copy, Debug)]
pub struct RequestHandle {
    place: &'static Place,
    serial: u64,
}

impl PartialEq for RequestHandle {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.place, other.place) && self.serial == other.serial
    }
}

impl RequestHandle {
    /// Returns the request's context, unless its HttpContexts have finished.
    #[inline]
    pub fn get(&self) -> Option<&RequestContext> {
        // SAFETY: whoever entered made a context here, and that is there until it leaves.
        (self.place.serial.get() == self.serial).then(|| unsafe { self.room().as_ref() })
    }

    /// The memory where the context is, or will be made.
    #[inline]
    pub fn room(&self) -> NonNull<RequestContext> {
        NonNull::from(&self.place.ctx).cast()
    }

    /// Marks the request as ended, because its HttpContexts are about to finish. Answers false if
    /// it was marked before.
    pub fn leave(&self) -> bool {
        let lives = self.place.serial.get() == self.serial;
        if lives {
            self.place.serial.set(self.serial + 1);
        }
        lives
    }

    /// Frees the memory for another request.
    ///
    /// # Safety
    ///
    /// [`Self::leave`] has been called, and nothing uses the context any more.
    pub unsafe fn give_back(self) {
        self.place.next_free.set(PLACES.free.replace(Some(self.place)));
    }
}

/// Takes memory for a request's context, until [`RequestHandle::leave`]. The caller must make the
/// context at once.
pub fn enter() -> RequestHandle {
    let place = match PLACES.free.get() {
        Some(place) => {
            PLACES.free.set(place.next_free.take());
            place
        }
        None => new_place(),
    };
    let serial = place.serial.get() + 1;
    place.serial.set(serial);
    RequestHandle { place, serial }
}

#[cold]
fn new_place() -> &'static Place {
    let place: &Place = Box::leak(Box::new(Place {
        serial: Cell::new(0),
        next_free: Cell::new(None),
        ctx: UnsafeCell::new(MaybeUninit::uninit()),
    }));
    PLACES.all.borrow_mut().push(place);
    place
}

/// Ends the contexts of every request. Called when the worker exits.
pub fn finish_all() {
    // Cloned, so that nothing is borrowed while callbacks run.
    let all = PLACES.all.borrow().clone();
    for place in all {
        let handle = RequestHandle { place, serial: place.serial.get() };
        if handle.serial % 2 == 1
            && let Some(ctx) = handle.get()
        {
            ctx.finish();
            // The slots are dropped, so that their PluginContexts can end, too.
            // SAFETY: the context is there, and no callback of it runs when nginx exits.
            let slots = mem::take(unsafe { &mut handle.room().as_mut().slots });
            drop(slots);
        }
    }
}
