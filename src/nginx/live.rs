//! The requests that plugins have met and that are not over. nginx lets go of them without a word when a worker is told to
//! terminate at once; their contexts are ended all the same.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

use super::request::RequestContext;

thread_local! {
    static LIVE: RefCell<Vec<NonNull<RequestContext>>> = const { RefCell::new(Vec::new()) };
}

/// Where a request stands among the others.
#[derive(Default)]
pub struct Place(Cell<usize>);

/// Takes a request in; it is there until [`leave`].
pub fn enter(ctx: &RequestContext) {
    LIVE.with_borrow_mut(|live| {
        ctx.place.0.set(live.len());
        live.push(NonNull::from(ctx));
    });
}

/// The request's pool is about to go.
pub fn leave(ctx: &RequestContext) {
    LIVE.with_borrow_mut(|live| {
        let place = ctx.place.0.get();
        live.swap_remove(place);
        if let Some(moved) = live.get(place) {
            // SAFETY: what is in the list has not left it, so its pool is there.
            unsafe { moved.as_ref() }.place.0.set(place);
        }
    });
}

/// Ends the contexts of every request: the worker exits.
pub fn finish_all() {
    // Not borrowed while callbacks run.
    let all = LIVE.with_borrow(Clone::clone);
    for ctx in all {
        // SAFETY: callbacks do not end requests, and nginx ends none while it calls us.
        unsafe { ctx.as_ref() }.finish();
    }
}
