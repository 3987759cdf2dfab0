//! The calls that one request, or one plugin instance, has under way.
//!
//! A call outlives the request that made it, as in Envoy, where all calls belong to the plugin
//! context: the request's list leaves its calls to the instance's list. A request that ends while
//! it waits for its calls has cancelled them before.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use proxy_wasm_host::limits::calls::{CALLS, DEFAULT_TIMEOUT};

use super::grpc::Outbox;
use crate::log_limit::LogLimit;
use crate::task::{Awaited, OnQuit, Sleep, Task, spawn};

type List = RefCell<HashMap<u32, Call>>;

/// The calls of one request or instance. Dropping the list of an instance cancels them; dropping
/// that of a request leaves them to the instance.
#[derive(Debug)]
pub struct Calls {
    calls: Rc<List>,
    /// The list of the instance, for the calls of a request.
    of_instance: Option<Weak<List>>,
}

thread_local! {
    /// The number of calls that this worker has under way.
    static UNDER_WAY: Cell<usize> = const { Cell::new(0) };
    /// The calls of instances that served one request and are gone.
    static UNHEARD: Rc<List> = Rc::default();
    static TOLD: LogLimit = LogLimit::default();
}

/// Cancels the calls whose answers nobody gets. Called when the worker exits.
pub fn stop() {
    let calls = UNHEARD.with(|calls| calls.take());
    drop(calls);
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
    awaited: Option<Awaited>,
    /// Cancels a stream that outlives its request and that the server does not end.
    limit: Option<Task>,
}

impl Call {
    /// Whether the call goes on when the request that made it is over. A stream does if the plugin
    /// has closed its side.
    fn outlives_request(&self) -> bool {
        match &self.kind {
            Kind::Http | Kind::Unary => true,
            Kind::OfLua => false,
            Kind::Stream(outbox) => outbox.has_ended(),
        }
    }
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
    /// An HTTP call that Lua makes. Lua stops when the request is over.
    OfLua,
    /// A gRPC call of one message.
    Unary,
    /// A gRPC stream, with the queue of messages to send on it.
    Stream(Outbox),
}

impl Calls {
    /// Makes the list for the calls of a request, which leaves them to `instance`. A worker that is
    /// told to quit waits for the request.
    pub fn of_request(instance: &Self) -> Self {
        let of_instance = instance.of_instance.clone().unwrap_or_else(|| Rc::downgrade(&instance.calls));
        Self { calls: Rc::default(), of_instance: Some(of_instance) }
    }

    /// Makes the list for the calls of an instance that serves one request. When the instance ends,
    /// they go on without anybody who gets their answers.
    pub fn of_own_instance() -> Self {
        Self { calls: Rc::default(), of_instance: Some(UNHEARD.with(Rc::downgrade)) }
    }

    /// Makes the list for the calls that an instance makes outside requests.
    pub fn of_instance() -> Self {
        Self { calls: Rc::default(), of_instance: None }
    }

    /// Keeps a call until it is over or cancelled.
    pub fn insert(&self, id: u32, kind: Kind, task: Task) {
        let is_awaited = self.of_instance.is_none() && !matches!(kind, Kind::Stream(_));
        let awaited = is_awaited.then(Awaited::new);
        self.calls.borrow_mut().insert(id, Call { kind, task, _counted: Counted::new(), awaited, limit: None });
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

    /// Returns a handle for code that waits for these calls or ends them.
    pub fn pending(&self) -> PendingCalls {
        PendingCalls { calls: Rc::downgrade(&self.calls), of_instance: self.of_instance.clone().unwrap_or_default() }
    }

    /// Whether calls are left that go on when the request is over.
    pub fn any_outlives(&self) -> bool {
        self.calls.borrow().values().any(Call::outlives_request)
    }

    /// The number of calls under way.
    pub fn len(&self) -> usize {
        self.calls.borrow().len()
    }
}

/// A handle to the calls of a request or instance, which may be gone by now.
#[derive(Debug, Default)]
pub struct PendingCalls {
    calls: Weak<List>,
    /// Where the calls are when their request is over.
    of_instance: Weak<List>,
}

impl PendingCalls {
    /// Whether any call of the request or instance is under way.
    pub fn any(&self) -> bool {
        self.calls.upgrade().is_some_and(|calls| !calls.borrow().is_empty())
    }

    /// Whether a call is under way: neither over nor cancelled.
    pub fn holds(&self, id: u32) -> bool {
        self.lists().any(|calls| calls.borrow().contains_key(&id))
    }

    /// Marks a call as over. From here on its task runs to its end, even if the context that made
    /// it goes away.
    pub fn finish(&self, id: u32) {
        let call = self.lists().find_map(|calls| calls.borrow_mut().remove(&id));
        if let Some(call) = call {
            call.task.detach();
        }
    }

    /// Cancels all calls of the request or instance. The plugin gets no further callback about them.
    pub fn cancel_all(&self) {
        if let Some(calls) = self.calls.upgrade() {
            drop(calls.take());
        }
    }

    fn lists(&self) -> impl Iterator<Item = Rc<List>> {
        [&self.calls, &self.of_instance].into_iter().filter_map(Weak::upgrade)
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        // A task that is just reporting its outcome may hold the list for a moment, too, so it is
        // emptied here.
        let calls = self.calls.take();
        match self.of_instance.take() {
            Some(of_instance) if !calls.is_empty() => leave(calls, &of_instance),
            _ => drop(calls),
        }
    }
}

/// Leaves the calls of a request that is over to the instance. Calls that cannot go on are
/// cancelled.
fn leave(calls: HashMap<u32, Call>, of_instance: &Weak<List>) {
    // If the instance is gone, so are its calls.
    let Some(list) = of_instance.upgrade() else { return };
    for (id, mut call) in calls {
        if !call.outlives_request() {
            continue;
        }
        if list.borrow().len() >= CALLS {
            return tell_of_too_many();
        }
        call.awaited = Some(Awaited::of_request());
        if matches!(call.kind, Kind::Stream(_)) {
            call.limit = Some(spawn(OnQuit::Forget, cancel_late(id, Weak::clone(of_instance))));
        }
        list.borrow_mut().insert(id, call);
    }
}

fn tell_of_too_many() {
    if TOLD.with(LogLimit::is_due) {
        tracing::error!("a plugin has {CALLS} calls under way of requests that are over; further ones are cancelled");
    }
}

/// Cancels a stream that its server does not end in time.
async fn cancel_late(id: u32, of_instance: Weak<List>) {
    Sleep::new(DEFAULT_TIMEOUT, OnQuit::Forget).await;
    if let Some(list) = of_instance.upgrade() {
        let call = list.borrow_mut().remove(&id);
        drop(call);
    }
}
