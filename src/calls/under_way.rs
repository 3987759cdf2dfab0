//! The calls that one request, or one plugin instance, has under way.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use super::grpc::Outbox;
use crate::task::{Awaited, OnQuit, Task};

/// The calls of one request or instance. Dropping this cancels them.
#[derive(Debug)]
pub struct Calls {
    calls: Rc<RefCell<HashMap<u32, Call>>>,
    on_quit: OnQuit,
}

thread_local! {
    /// The number of calls that this worker has under way.
    static UNDER_WAY: Cell<usize> = const { Cell::new(0) };
}

/// Returns how many calls this worker has under way.
pub fn under_way() -> usize {
    UNDER_WAY.get()
}

/// A call that is under way.
#[derive(Debug)]
struct Call {
    kind: Kind,
    task: Task,
    _counted: Counted,
    /// Makes a worker that is told to quit wait for this call. Calls of requests do not need it,
    /// because the request keeps the worker. Streams do not get it, because a stream may never end.
    _awaited: Option<Awaited>,
}

/// Counts one call as under way while it lives.
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

/// The kind of a call.
#[derive(Clone, Debug)]
pub enum Kind {
    /// An HTTP call.
    Http,
    /// A gRPC call of one message.
    Unary,
    /// A gRPC stream, with the queue of messages to send on it.
    Stream(Outbox),
}

impl Calls {
    /// Makes the list for the calls of a request. A worker that is told to quit waits for the
    /// request.
    pub fn of_request() -> Self {
        Self { calls: Rc::default(), on_quit: OnQuit::Wait }
    }

    /// Makes the list for the calls that an instance makes outside requests.
    pub fn of_instance() -> Self {
        Self { calls: Rc::default(), on_quit: OnQuit::Forget }
    }

    /// Keeps a call until it is over or cancelled.
    pub fn insert(&self, id: u32, kind: Kind, task: Task) {
        let is_awaited = self.on_quit == OnQuit::Forget && !matches!(kind, Kind::Stream(_));
        let awaited = is_awaited.then(Awaited::new);
        self.calls.borrow_mut().insert(id, Call { kind, task, _counted: Counted::new(), _awaited: awaited });
    }

    /// Returns the kind of a call, if it is under way.
    pub fn kind(&self, id: u32) -> Option<Kind> {
        self.calls.borrow().get(&id).map(|call| call.kind.clone())
    }

    /// Cancels a call. The plugin gets no further callback about it.
    pub fn cancel(&self, id: u32) {
        let call = self.calls.borrow_mut().remove(&id);
        drop(call);
    }

    /// Whether a worker that is told to quit waits for these calls.
    pub fn on_quit(&self) -> OnQuit {
        self.on_quit
    }

    /// Returns a handle for code that waits for these calls or ends them.
    pub fn pending(&self) -> PendingCalls {
        PendingCalls(Rc::downgrade(&self.calls))
    }

    /// The number of calls under way.
    pub fn len(&self) -> usize {
        self.calls.borrow().len()
    }
}

/// A handle to the calls of a request or instance, which may be gone by now.
#[derive(Debug, Default)]
pub struct PendingCalls(Weak<RefCell<HashMap<u32, Call>>>);

impl PendingCalls {
    /// Whether any call is under way.
    pub fn any(&self) -> bool {
        self.0.upgrade().is_some_and(|calls| !calls.borrow().is_empty())
    }

    /// Whether a call is under way: neither over nor cancelled.
    pub fn holds(&self, id: u32) -> bool {
        self.0.upgrade().is_some_and(|calls| calls.borrow().contains_key(&id))
    }

    /// Marks a call as over. From here on its task runs to its end, even if the context that made
    /// it goes away.
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
        // A task that is just reporting its outcome may hold the list for a moment, too, so it is
        // emptied here.
        let calls = self.calls.take();
        drop(calls);
    }
}
