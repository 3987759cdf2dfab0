//! `proxy_on_queue_ready` in every worker whose plugin registered the queue.
//!
//! One eventfd wakes all: it is made by the master and inherited by every worker, also by those of earlier and later
//! configurations. Each worker that has a registration watches it by edges, so that a write wakes every one of them and nobody
//! reads it. Who is woken looks at the counts of its queues, and calls each plugin as often as items were added, but not for items
//! that others have taken by then.

use std::cell::RefCell;
use std::os::fd::AsFd;
use std::ptr;
use std::rc::Rc;

use ngx_bindings::event::Event;
use ngx_bindings::sys::ngx_event_t;
use ngx_bindings::{channel, cycle};
use nix::sys::eventfd::{EfdFlags, EventFd};
use once_cell::sync::OnceCell;
use proxy_wasm_host::Failure;

use crate::context::PluginContexts;
use crate::guard::guard;
use crate::shared::Shared;
use crate::task::Turn;

/// The descriptor that all processes of this nginx have. It outlives every configuration.
static WAKE: OnceCell<EventFd> = OnceCell::new();

thread_local! {
    /// Of this process. nginx runs in one thread.
    static LISTENER: RefCell<Option<Listener>> = const { RefCell::new(None) };
}

/// What watches the descriptor in a worker.
struct Listener {
    registrations: Vec<Registration>,
    /// Where the next round begins: every registration has its turn.
    turn: usize,
    /// To look again, once nginx is back in its loop.
    again: Box<Event>,
}

/// A PluginContext that is told of a queue.
struct Registration {
    shared: Rc<Shared>,
    queue: u32,
    plugin_contexts: Rc<PluginContexts>,
    plugin_context: u32,
    /// Of the items ever added to the queue, how many it was told of.
    told: u64,
}

/// Makes the descriptor; called in the master, before it forks.
pub fn prepare() {
    let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
    if let Err(error) = WAKE.get_or_try_init(|| EventFd::from_flags(flags)) {
        tracing::error!("proxy_wasm: no eventfd, so proxy_on_queue_ready will not be called: {error}");
    }
}

/// Wakes every worker that listens.
pub fn wake() {
    if let Some(wake) = WAKE.get() {
        // It fails only after 2^64 writes.
        let _ = wake.write(1);
    }
}

/// Has a PluginContext told of a queue's items, those that are in it already among them.
pub fn register(shared: &Rc<Shared>, queue: u32, plugin_contexts: &Rc<PluginContexts>, plugin_context: u32) {
    let told = shared.stores().and_then(|stores| stores.queues.counts(queue).ok()).unwrap_or_default().taken;
    LISTENER.with_borrow_mut(|listener| {
        if listener.is_none() {
            *listener = Listener::start();
        }
        let Some(listener) = listener else { return };
        let is_known = |known: &Registration| {
            known.queue == queue
                && known.plugin_context == plugin_context
                && Rc::ptr_eq(&known.plugin_contexts, plugin_contexts)
        };
        if !listener.registrations.iter().any(is_known) {
            let (shared, plugin_contexts) = (Rc::clone(shared), Rc::clone(plugin_contexts));
            listener.registrations.push(Registration { shared, queue, plugin_contexts, plugin_context, told });
            listener.again.post();
        }
    });
}

/// Forgets the registrations of an instance that is gone; the next one makes its own. Answers which PluginContexts had some.
pub fn forget(plugin_contexts: &Rc<PluginContexts>) -> Vec<u32> {
    let forgotten = LISTENER.try_with(|listener| {
        let mut listener = listener.try_borrow_mut().ok()?;
        let registrations = &mut listener.as_mut()?.registrations;
        let of_instance =
            registrations.extract_if(.., |registration| Rc::ptr_eq(&registration.plugin_contexts, plugin_contexts));
        Some(of_instance.map(|registration| registration.plugin_context).collect())
    });
    // While the process exits there may be nothing left to forget.
    forgotten.ok().flatten().unwrap_or_default()
}

/// Forgets all; called when the worker exits.
pub fn stop() {
    drop(LISTENER.take());
}

impl Listener {
    /// Starts to watch; nothing where nginx has no event loop, as in the master.
    fn start() -> Option<Self> {
        if !cycle::serves() {
            return None;
        }
        let log = cycle::log()?;
        channel::watch(WAKE.get()?.as_fd(), on_wake, log).ok()?;
        let mut again = Box::new(Event::new(on_wake, ptr::null_mut(), log));
        // A worker that is told to quit does not wait for queues, which may never be empty.
        again.set_cancelable(true);
        Some(Self { registrations: Vec::new(), turn: 0, again })
    }

    /// The next PluginContext to tell, and of which queue.
    fn next(&mut self) -> Option<(Rc<PluginContexts>, u32, u32)> {
        let count = self.registrations.len();
        for step in 0..count {
            let turn = (self.turn + step) % count;
            let registration = &mut self.registrations[turn];
            if registration.is_due() {
                self.turn = turn + 1;
                return Some((
                    Rc::clone(&registration.plugin_contexts),
                    registration.plugin_context,
                    registration.queue,
                ));
            }
        }
        None
    }
}

impl Registration {
    /// Whether there is an item that it was not told of; if so, it counts as told.
    fn is_due(&mut self) -> bool {
        let counts = self.shared.stores().and_then(|stores| stores.queues.counts(self.queue).ok()).unwrap_or_default();
        // What others have taken need not be told.
        self.told = self.told.max(counts.taken);
        let is_due = self.told < counts.added;
        self.told += u64::from(is_due);
        is_due
    }
}

unsafe extern "C" fn on_wake(_: *mut ngx_event_t) {
    guard((), tell);
}

fn tell() {
    if !channel::is_edge_triggered()
        && let Some(wake) = WAKE.get()
    {
        let _ = wake.read();
    }
    let turn = Turn::begin();
    loop {
        // Not borrowed during the call: the plugin may register a queue, or fail.
        let next = LISTENER.with_borrow_mut(|listener| listener.as_mut().and_then(Listener::next));
        let Some((plugin_contexts, plugin_context, queue)) = next else { return };
        // What went wrong was logged where it did.
        if let Some(Err(Failure::Gone)) =
            plugin_contexts.get(plugin_context).map(|context| context.on_queue_ready(queue))
        {
            forget(&plugin_contexts);
        }
        if turn.is_over() {
            break;
        }
    }
    LISTENER.with_borrow_mut(|listener| {
        if let Some(listener) = listener {
            listener.again.post();
        }
    });
}
