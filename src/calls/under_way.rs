//! The calls that a request, or an instance of a plugin, has under way.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use super::grpc::Outbox;
use crate::task::{Awaited, OnQuit, Task};

/// The calls that a request, or an instance, has under way. Dropping them cancels them.
#[derive(Debug)]
pub struct Calls {
    calls: Rc<RefCell<HashMap<u32, Call>>>,
    on_quit: OnQuit,
}

thread_local! {
    /// Calls of this worker that are under way.
    static UNDER_WAY: Cell<usize> = const { Cell::new(0) };
}

/// How many calls this worker has under way.
pub fn under_way() -> usize {
    UNDER_WAY.get()
}

/// A call that is under way.
#[derive(Debug)]
struct Call {
    kind: Kind,
    task: Task,
    _counted: Counted,
    /// Of one that nothing else keeps the worker for. A stream may never end.
    _awaited: Option<Awaited>,
}

/// Is counted while it lives.
#[derive(Debug)]
struct Counted;

impl Counted {
    fn new() -> Self {
        UNDER_WAY.set(UNDER_WAY.get() + 1);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        UNDER_WAY.set(UNDER_WAY.get().saturating_sub(1));
    }
}

/// What a call is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// An HTTP call.
    Http,
    /// A gRPC call of one message.
    Unary,
    /// A gRPC stream, and what is to be sent on it.
    Stream(Outbox),
}

impl Calls {
    /// Those of a request, which keeps a worker that is told to quit.
    pub fn of_request() -> Self {
        Self { calls: Rc::default(), on_quit: OnQuit::Wait }
    }

    /// Those of an instance, made outside requests.
    pub fn of_instance() -> Self {
        Self { calls: Rc::default(), on_quit: OnQuit::Forget }
    }

    /// Keeps a call until it is over.
    pub fn insert(&self, id: u32, kind: Kind, task: Task) {
        let is_awaited = self.on_quit == OnQuit::Forget && !matches!(kind, Kind::Stream(_));
        let awaited = is_awaited.then(Awaited::new);
        self.calls.borrow_mut().insert(id, Call { kind, task, _counted: Counted::new(), _awaited: awaited });
    }

    /// What the call of that id is, if it is under way.
    pub fn kind(&self, id: u32) -> Option<Kind> {
        self.calls.borrow().get(&id).map(|call| call.kind.clone())
    }

    /// Ends a call; nothing more is told of it.
    pub fn cancel(&self, id: u32) {
        let call = self.calls.borrow_mut().remove(&id);
        drop(call);
    }

    /// Whether a worker that is told to quit waits for them.
    pub fn on_quit(&self) -> OnQuit {
        self.on_quit
    }

    /// For who waits for them, or ends them.
    pub fn pending(&self) -> PendingCalls {
        PendingCalls(Rc::downgrade(&self.calls))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.calls.borrow().len()
    }
}

/// The way to the calls of a request, or an instance, that may be gone.
#[derive(Debug, Default)]
pub struct PendingCalls(Weak<RefCell<HashMap<u32, Call>>>);

impl PendingCalls {
    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.0.upgrade().is_some_and(|calls| !calls.borrow().is_empty())
    }

    /// Whether a call is under way: neither over, nor cancelled.
    pub fn holds(&self, id: u32) -> bool {
        self.0.upgrade().is_some_and(|calls| calls.borrow().contains_key(&id))
    }

    /// A call is over: from here on its task runs to its end, whatever becomes of who made it.
    pub fn finish(&self, id: u32) {
        if let Some(calls) = self.0.upgrade() {
            let call = calls.borrow_mut().remove(&id);
            if let Some(call) = call {
                call.task.detach();
            }
        }
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        // A call that is just being told of holds them for a moment, too.
        let calls = self.calls.take();
        drop(calls);
    }
}
