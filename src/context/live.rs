//! The requests that plugins have met and that are not over, and the way to one from what may outlive it.
//!
//! nginx lets go of requests without a word when a worker is told to terminate at once; their contexts are ended all the same.
//!
//! The memory of a context is used by one request after the other, and never freed: in the request's pool it would often be what
//! no longer fits nginx's first block, and a block costs more than all else that is allocated for a request.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::mem::{self, ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;

use super::RequestContext;

thread_local! {
    /// Not dropped at the end of the process: what Lua's garbage collector ends may come later.
    static PLACES: ManuallyDrop<Places> =
        const { ManuallyDrop::new(Places { all: RefCell::new(Vec::new()), free: RefCell::new(Vec::new()) }) };
}

struct Places {
    all: RefCell<Vec<&'static Place>>,
    free: RefCell<Vec<&'static Place>>,
}

/// Room for the context of one request at a time.
#[derive(Debug)]
struct Place {
    /// Odd while a request lives here, and a new one for each.
    serial: Cell<u64>,
    ctx: UnsafeCell<MaybeUninit<RequestContext>>,
}

/// The way to a request from what may outlive it.
#[derive(Clone, Copy, Debug)]
pub struct RequestHandle {
    place: &'static Place,
    serial: u64,
}

impl RequestHandle {
    /// The request, if its contexts have not finished.
    #[inline]
    pub fn get(&self) -> Option<&RequestContext> {
        // SAFETY: whoever entered made a context here, and that is there until it leaves.
        (self.place.serial.get() == self.serial).then(|| unsafe { self.room().as_ref() })
    }

    /// Where the context is, or is to be made.
    #[inline]
    pub fn room(&self) -> NonNull<RequestContext> {
        NonNull::from(&self.place.ctx).cast()
    }

    /// The request's contexts are about to finish. False if they were before.
    pub fn leave(&self) -> bool {
        let lives = self.place.serial.get() == self.serial;
        if lives {
            self.place.serial.set(self.serial + 1);
        }
        lives
    }

    /// Lets another request have the room.
    ///
    /// # Safety
    ///
    /// The request has left, and nothing uses its context any more.
    pub unsafe fn give_back(self) {
        PLACES.with(|places| places.free.borrow_mut().push(self.place));
    }
}

/// Takes a request in, until [`RequestHandle::leave`]: its context is to be made at once.
pub fn enter() -> RequestHandle {
    let place = PLACES.with(|places| places.free.borrow_mut().pop()).unwrap_or_else(new_place);
    let serial = place.serial.get() + 1;
    place.serial.set(serial);
    RequestHandle { place, serial }
}

#[cold]
fn new_place() -> &'static Place {
    let place = Box::leak(Box::new(Place { serial: Cell::new(0), ctx: UnsafeCell::new(MaybeUninit::uninit()) }));
    PLACES.with(|places| places.all.borrow_mut().push(place));
    place
}

/// Ends the contexts of every request: the worker exits.
pub fn finish_all() {
    // Not borrowed while callbacks run.
    let all = PLACES.with(|places| places.all.borrow().clone());
    for place in all {
        let handle = RequestHandle { place, serial: place.serial.get() };
        if handle.serial % 2 == 1
            && let Some(ctx) = handle.get()
        {
            ctx.finish();
            // What they are contexts of can then end, too.
            // SAFETY: the context is there, and no callback of it runs when nginx exits.
            let slots = mem::take(unsafe { &mut handle.room().as_mut().slots });
            drop(slots);
        }
    }
}
