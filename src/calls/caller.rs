//! Whom the outcome of a call is told, and how long anybody is there to be told.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use ngx_bindings::Log;
use ngx_bindings::cycle;
use proxy_wasm_host::{Failure, HttpContext, PluginContext};

use super::super::host::{NginxHost, RequestStream};
use super::super::live::RequestHandle;
use super::executor::Task;
use super::grpc::Outbox;
use super::quit::Awaited;
use super::timer::OnQuit;

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

    /// For who waits for them.
    pub fn pending(&self) -> PendingCalls {
        PendingCalls(Rc::downgrade(&self.calls))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.calls.borrow().len()
    }
}

/// Whether there are calls under way, for who waits for them.
#[derive(Debug, Default)]
pub struct PendingCalls(Weak<RefCell<HashMap<u32, Call>>>);

impl PendingCalls {
    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.0.upgrade().is_some_and(|calls| !calls.borrow().is_empty())
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        // A call that is just being told of holds them for a moment, too.
        let calls = self.calls.take();
        drop(calls);
    }
}

/// The context that made a call.
pub struct Caller {
    context: Context,
    calls: Weak<RefCell<HashMap<u32, Call>>>,
    on_quit: OnQuit,
}

enum Context {
    /// An HttpContext, by the slot of its request.
    Http(RequestHandle, usize),
    /// A PluginContext.
    Plugin(Weak<PluginContext<NginxHost>>),
}

impl Caller {
    /// An HttpContext.
    pub fn http(stream: &RequestStream, calls: &Calls) -> Self {
        Self::new(Context::Http(stream.handle(), stream.slot().index()), calls)
    }

    /// A PluginContext.
    pub fn plugin(plugin: &Rc<PluginContext<NginxHost>>, calls: &Calls) -> Self {
        Self::new(Context::Plugin(Rc::downgrade(plugin)), calls)
    }

    fn new(context: Context, calls: &Calls) -> Self {
        Self { context, calls: Rc::downgrade(&calls.calls), on_quit: calls.on_quit }
    }

    /// Whether a worker that is told to quit waits for the call.
    pub fn on_quit(&self) -> OnQuit {
        self.on_quit
    }

    /// The log of the request that the call is made for, or the worker's.
    pub fn log(&self) -> Option<Log> {
        match &self.context {
            Context::Http(request, _) => Some(request.get()?.request().log()),
            Context::Plugin(_) => cycle::log(),
        }
    }

    /// The call is over: from here on its task runs to its end, whatever becomes of who made it.
    pub fn finish(&self, id: u32) {
        if let Some(calls) = self.calls.upgrade() {
            let call = calls.borrow_mut().remove(&id);
            if let Some(call) = call {
                call.task.detach();
            }
        }
    }

    /// Whether the call is still under way: neither over, nor cancelled.
    pub fn holds(&self, id: u32) -> bool {
        self.calls.upgrade().is_some_and(|calls| calls.borrow().contains_key(&id))
    }

    /// Runs a callback of the PluginContext, in which the HttpContext is the effective one; and lets its request go on with what
    /// that left to do.
    pub fn call(
        &self,
        callback: impl FnOnce(&PluginContext<NginxHost>, Option<&HttpContext<NginxHost>>) -> Result<(), Failure>,
    ) {
        match &self.context {
            Context::Http(request, slot) => {
                if let Some(request) = request.get() {
                    request.call_back(*slot, |http| callback(http.plugin_context(), Some(http)));
                }
            }
            Context::Plugin(plugin) => {
                if let Some(plugin) = plugin.upgrade() {
                    // Its failure was logged where it happened, and concerns no request.
                    let _ = callback(&plugin, None);
                }
            }
        }
    }
}
