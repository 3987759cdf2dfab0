//! Counts the connections of calls, and bounds them: they use the same `worker_connections` as
//! clients do. A call that gets no connection waits for one; waiting calls are served in order.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

thread_local! {
    static OF_WORKER: &'static Connections = Box::leak(Box::default());
}

/// The count of all connections for calls in this worker.
pub fn of_worker() -> &'static Connections {
    OF_WORKER.with(|connections| *connections)
}

/// How many connections the calls of this worker have.
pub fn open() -> usize {
    of_worker().open()
}

/// Connections that share one count and one queue of waiters.
#[derive(Default)]
pub struct Connections {
    open: Cell<usize>,
    waiting: RefCell<VecDeque<Weak<Waiter>>>,
}

/// A call that waits for a connection.
#[derive(Default)]
struct Waiter {
    /// Set when a connection that closed has passed its place to this waiter.
    has_place: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

/// The right to one connection, until it is dropped.
pub struct Place(&'static Connections);

impl Connections {
    /// Takes a place if one is free and nobody waits.
    pub fn try_take(&'static self, limit: usize) -> Option<Place> {
        if self.open.get() >= limit || self.anybody_waits() {
            return None;
        }
        self.open.set(self.open.get() + 1);
        Some(Place(self))
    }

    /// Takes a place as soon as one is free.
    pub async fn take(&'static self, limit: usize) -> Place {
        if let Some(place) = self.try_take(limit) {
            return place;
        }
        let waiting = Waiting { connections: self, waiter: Rc::default() };
        self.waiting.borrow_mut().push_back(Rc::downgrade(&waiting.waiter));
        poll_fn(|cx| {
            if waiting.waiter.has_place.take() {
                return Poll::Ready(Place(self));
            }
            waiting.waiter.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// Whether any call is waiting.
    pub fn anybody_waits(&self) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        while waiting.front().is_some_and(|waiter| waiter.strong_count() == 0) {
            waiting.pop_front();
        }
        !waiting.is_empty()
    }

    /// How many places are taken.
    pub fn open(&self) -> usize {
        self.open.get()
    }

    /// Passes a place to the first waiter, or frees it.
    fn leave(&self) {
        let next = std::iter::from_fn(|| self.waiting.borrow_mut().pop_front()).find_map(|waiter| waiter.upgrade());
        let Some(next) = next else { return self.open.set(self.open.get() - 1) };
        next.has_place.set(true);
        if let Some(waker) = next.waker.take() {
            waker.wake();
        }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.open.fmt(f)
    }
}

impl Place {
    /// Whether the place is one of these.
    pub fn is_of(&self, connections: &'static Connections) -> bool {
        std::ptr::eq(self.0, connections)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A wait in progress. Dropping it passes on a place that it was given and has not used.
struct Waiting {
    connections: &'static Connections,
    waiter: Rc<Waiter>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.waiter.has_place.get() {
            self.connections.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    fn connections() -> &'static Connections {
        Box::leak(Box::default())
    }

    #[test]
    fn a_place_that_is_left_goes_to_who_waits_longest() {
        let connections = connections();
        let (first, second) = (connections.try_take(2).unwrap(), connections.try_take(2).unwrap());
        assert!(connections.try_take(2).is_none());
        let cx = &mut Context::from_waker(Waker::noop());
        let (mut third, mut fourth) = (pin!(connections.take(2)), pin!(connections.take(2)));
        assert!(third.as_mut().poll(cx).is_pending() && fourth.as_mut().poll(cx).is_pending());
        drop(first);
        assert!(connections.try_take(2).is_none(), "others wait");
        assert!(fourth.as_mut().poll(cx).is_pending());
        let Poll::Ready(third) = third.as_mut().poll(cx) else { panic!("it has a place") };
        drop((second, third));
        assert!(fourth.as_mut().poll(cx).is_ready());
        assert_eq!(connections.open(), 0);
    }

    #[test]
    fn who_waits_no_longer_leaves_its_place_to_the_next() {
        let connections = connections();
        let only = connections.try_take(1).unwrap();
        let cx = &mut Context::from_waker(Waker::noop());
        let mut gone = Box::pin(connections.take(1));
        let mut next = pin!(connections.take(1));
        assert!(gone.as_mut().poll(cx).is_pending() && next.as_mut().poll(cx).is_pending());
        drop(only);
        drop(gone);
        assert!(next.as_mut().poll(cx).is_ready());
        let mut cancelled = Box::pin(connections.take(0));
        assert!(cancelled.as_mut().poll(cx).is_pending());
        drop(cancelled);
        assert!(!connections.anybody_waits());
        assert_eq!(connections.open(), 0);
    }
}
