//! The requests that plugins have met and that are not over, and the way to one from what may outlive it.
//!
//! nginx lets go of requests without a word when a worker is told to terminate at once; their contexts are ended all the same.
//!
//! The memory of a context is used by one request after the other. In the request's pool it would often be what no longer fits
//! nginx's first block, and a block costs more than all else that is allocated for a request.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use super::request::RequestContext;

thread_local! {
    static LIVE: RefCell<Live> = const {
        RefCell::new(Live { places: Vec::new(), free: Vec::new(), spare: Vec::new(), last_serial: 0 })
    };
}

/// Places are used again, so that a request costs no allocation in the steady state; the serial number tells its holders apart.
struct Live {
    places: Vec<Place>,
    free: Vec<usize>,
    spare: Vec<Box<MaybeUninit<RequestContext>>>,
    last_serial: u64,
}

struct Place {
    serial: u64,
    ctx: Option<NonNull<RequestContext>>,
}

/// The way to a request from what may outlive it.
#[derive(Clone, Copy, Debug)]
pub struct RequestHandle {
    place: usize,
    serial: u64,
}

impl RequestHandle {
    /// The request, if its contexts have not finished.
    #[inline]
    pub fn get(&self) -> Option<&RequestContext> {
        let ctx = LIVE.with_borrow(|live| {
            let place = live.places.get(self.place)?;
            place.ctx.filter(|_| place.serial == self.serial)
        })?;
        // SAFETY: it is there until [`leave`], which its request calls before it goes.
        Some(unsafe { ctx.as_ref() })
    }
}

/// Takes a request in, until [`leave`]: where its context is to be made at once, until [`give_back`], and the way there.
pub fn enter() -> (NonNull<RequestContext>, RequestHandle) {
    LIVE.with_borrow_mut(|live| {
        let ctx = NonNull::from(Box::leak(live.spare.pop().unwrap_or_else(Box::new_uninit))).cast();
        live.last_serial += 1;
        let serial = live.last_serial;
        let taken = Place { serial, ctx: Some(ctx) };
        let place = match live.free.pop() {
            Some(place) => {
                live.places[place] = taken;
                place
            }
            None => {
                live.places.push(taken);
                live.places.len() - 1
            }
        };
        (ctx, RequestHandle { place, serial })
    })
}

/// The request's contexts are about to finish. Does nothing if it has left already.
pub fn leave(handle: RequestHandle) {
    LIVE.with_borrow_mut(|live| {
        let place = &mut live.places[handle.place];
        if place.serial == handle.serial && place.ctx.take().is_some() {
            live.free.push(handle.place);
        }
    });
}

/// Keeps the memory of a context for another request.
///
/// # Safety
///
/// It came from [`enter`], and nothing uses it any more.
pub unsafe fn give_back(ctx: NonNull<RequestContext>) {
    // SAFETY: by this function's contract.
    let memory = unsafe { Box::from_raw(ctx.as_ptr().cast()) };
    LIVE.with_borrow_mut(|live| live.spare.push(memory));
}

/// Ends the contexts of every request: the worker exits.
pub fn finish_all() {
    // Not borrowed while callbacks run.
    let all: Vec<_> = LIVE.with_borrow(|live| live.places.iter().filter_map(|place| place.ctx).collect());
    for ctx in all {
        // SAFETY: callbacks do not end requests, and nginx ends none while it calls us.
        unsafe { ctx.as_ref() }.finish();
    }
}
