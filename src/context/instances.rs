//! Bounds the instances that requests have for themselves (`wasm_instances`). A request that gets
//! none waits for one, if it can; waiting requests are served in order.
//!
//! A request that has an instance already gets those of its other plugins and of its subrequests at
//! once: if it waited for requests that wait for it, none of them would go on. A subrequest's
//! instance ends with the request, as the subrequest's pool does.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use proxy_wasm_host::abi::StreamType;

use super::{RequestContext, RequestHandle, Slot};
use crate::conf::Policy;

thread_local! {
    /// Of this worker.
    static INSTANCES: Instances = const { Instances { taken: Cell::new(0), waiting: RefCell::new(VecDeque::new()) } };
}

struct Instances {
    taken: Cell<usize>,
    waiting: RefCell<VecDeque<RequestHandle>>,
}

/// The numbers of instances that requests of this worker have for themselves, and of requests that
/// wait for one.
pub fn count() -> (usize, usize) {
    INSTANCES.with(|instances| (instances.taken.get(), instances.waiting.borrow().len()))
}

/// The right to an instance of one's own, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    /// `wasm_instances`.
    limit: usize,
}

impl Permit {
    /// Takes a right; `may_exceed` says whether there may be more of them than the limit.
    fn take(limit: usize, may_exceed: impl FnOnce() -> bool) -> Option<Self> {
        INSTANCES.with(|instances| {
            let taken = instances.taken.get();
            (taken < limit || may_exceed()).then(|| {
                instances.taken.set(taken + 1);
                Self { limit }
            })
        })
    }
}

impl Drop for Permit {
    /// Passes the right on to the request that has waited longest.
    fn drop(&mut self) {
        // When a process exits, the numbers may be gone already.
        let _ = INSTANCES.try_with(|instances| {
            instances.taken.set(instances.taken.get() - 1);
            let next = || instances.waiting.borrow_mut().pop_front();
            while instances.taken.get() < self.limit
                && let Some(waiting) = next()
            {
                if let Some(ctx) = waiting.get()
                    && let Some(permit) = Self::take(self.limit, || false)
                {
                    ctx.go_on_with(permit);
                }
            }
        });
    }
}

/// A request's wait for an instance.
#[derive(Default)]
pub struct InstanceWait(RefCell<State>);

#[derive(Default)]
enum State {
    /// The request does not wait.
    #[default]
    No,
    Waits,
    /// It has waited, and goes on with an instance.
    Granted(Permit),
    /// It has waited too long.
    TimedOut,
}

impl RequestContext {
    /// Whether the request has to wait for an instance of a plugin of that policy, which it has not
    /// met yet.
    #[inline]
    pub fn must_wait(&self, policy: &Policy) -> bool {
        policy.own_instances.is_some_and(|limit| self.must_wait_for(limit))
    }

    /// A function of its own, so that requests that share an instance do not pay for it.
    #[inline(never)]
    fn must_wait_for(&self, limit: usize) -> bool {
        let (taken, waiting) = count();
        match self.rare.get().map(|rare| rare.instance.0.borrow()).as_deref() {
            Some(State::Waits) => true,
            Some(State::Granted(_) | State::TimedOut) => false,
            Some(State::No) | None => (taken >= limit || waiting > 0) && !self.has_own_instance(),
        }
    }

    /// Queues the request, once. The caller holds it.
    pub(super) fn queue_for_instance(&self) {
        if !matches!(self.rare.make().instance.0.replace(State::Waits), State::Waits) {
            INSTANCES.with(|instances| instances.waiting.borrow_mut().push_back(self.handle()));
        }
    }

    /// Stops waiting, because it takes too long: the request meets its plugin without an instance.
    /// Answers false if it does not wait.
    pub(super) fn give_up_instance(&self) -> bool {
        let waits = self.stop_waiting();
        if waits {
            self.rare.make().instance.0.replace(State::TimedOut);
        }
        waits
    }

    /// Leaves the queue. Answers false if the request does not wait.
    pub(super) fn stop_waiting(&self) -> bool {
        let Some(wait) = self.rare.get().map(|rare| &rare.instance) else { return false };
        let waits = matches!(*wait.0.borrow(), State::Waits);
        if waits {
            wait.0.replace(State::No);
            INSTANCES.with(|instances| instances.waiting.borrow_mut().retain(|waiting| *waiting != self.handle()));
        }
        waits
    }

    /// The request needs no instance any more.
    #[inline]
    pub fn forget_instance(&self) {
        if let Some(rare) = self.rare.get()
            && !self.stop_waiting()
        {
            drop(rare.instance.0.take());
        }
    }

    /// Returns the right to an instance of a plugin of that policy; `None` if there are too many.
    pub(super) fn permit(&self, limit: usize) -> Option<Permit> {
        self.stop_waiting();
        match self.rare.get().map(|rare| rare.instance.0.take()).unwrap_or_default() {
            State::Granted(permit) => {
                self.let_subrequests_go_on(limit);
                Some(permit)
            }
            State::TimedOut => None,
            State::No | State::Waits => Permit::take(limit, || self.has_own_instance()),
        }
    }

    /// The request has an instance now, so no other part of it waits any more.
    fn let_subrequests_go_on(&self, limit: usize) {
        self.any_of_client(|other| {
            if other.stop_waiting()
                && let Some(permit) = Permit::take(limit, || true)
            {
                other.go_on_with(permit);
            }
            false
        });
    }

    /// Goes on after waiting.
    fn go_on_with(&self, permit: Permit) {
        let before = self.rare.make().instance.0.replace(State::Granted(permit));
        drop(before);
        if let Some(holder) = self.pause.request_holder() {
            self.resume(holder, StreamType::HttpRequest);
        }
    }

    /// Whether the client's request has an instance, or one of its subrequests has.
    fn has_own_instance(&self) -> bool {
        self.any_of_client(|ctx| {
            ctx.rare.get().is_some_and(|rare| matches!(*rare.instance.0.borrow(), State::Granted(_)))
                || ctx.slots.iter().any(Slot::has_permit)
        })
    }
}
