//! Calls `proxy_on_queue_ready` in every worker whose plugin registered the queue.
//!
//! One eventfd wakes all workers. The master makes it, and every worker inherits it, including the
//! workers of earlier and later configurations. Each worker with a registration watches it
//! edge-triggered, so one write wakes them all and none needs to read. A woken worker compares the
//! counts of its queues, and calls each plugin once for every added item, except for items that
//! were taken meanwhile.

use std::cell::RefCell;
use std::os::fd::AsFd;
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
use crate::task::{OnQuit, Sleep, Task, Turn, spawn};

/// The eventfd that all processes of this nginx share. It outlives every configuration.
static WAKE: OnceCell<EventFd> = OnceCell::new();

thread_local! {
    /// The listener of this process. nginx runs in one thread.
    static LISTENER: RefCell<Option<Listener>> = const { RefCell::new(None) };
}

/// Watches the eventfd in a worker.
struct Listener {
    registrations: Vec<Registration>,
    /// The registration that is first in the next round, so that every registration has its turn.
    turn: usize,
    /// Continues with further items when nginx is back in its loop.
    again: Box<Event>,
}

/// A PluginContext that registered a queue.
struct Registration {
    shared: Rc<Shared>,
    queue: u32,
    plugin_contexts: Rc<PluginContexts>,
    plugin_context: u32,
    /// How many of the items that were ever added to the queue the PluginContext was called for.
    told: u64,
    /// Continues when the PluginContext's pause is over.
    _end_of_pause: Option<Task>,
}

/// Makes the eventfd. Called in the master before it forks.
pub fn prepare() {
    let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
    if let Err(error) = WAKE.get_or_try_init(|| EventFd::from_flags(flags)) {
        tracing::error!("proxy_wasm: no eventfd, so proxy_on_queue_ready will not be called: {error}");
    }
}

/// Wakes every worker that listens.
pub fn wake() {
    if let Some(wake) = WAKE.get() {
        // A write fails only after 2^64 of them.
        let _ = wake.write(1);
    }
}

/// Registers a PluginContext for a queue. It is called for the items that are in the queue already,
/// too.
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
            let pause = plugin_contexts.paused_for(plugin_context);
            let _end_of_pause = (pause > 0).then(|| spawn(OnQuit::Forget, go_on_in(pause)));
            listener.registrations.push(Registration {
                shared,
                queue,
                plugin_contexts,
                plugin_context,
                told,
                _end_of_pause,
            });
            listener.again.post();
        }
    });
}

/// Removes the registrations of an instance that is gone; the next instance makes its own. Returns
/// the PluginContexts that had any.
pub fn forget(plugin_contexts: &Rc<PluginContexts>) -> Vec<u32> {
    let forgotten = LISTENER.try_with(|listener| {
        let mut listener = listener.try_borrow_mut().ok()?;
        let registrations = &mut listener.as_mut()?.registrations;
        let of_instance =
            registrations.extract_if(.., |registration| Rc::ptr_eq(&registration.plugin_contexts, plugin_contexts));
        Some(of_instance.map(|registration| registration.plugin_context).collect())
    });
    // While the process exits, the listener may be gone already.
    forgotten.ok().flatten().unwrap_or_default()
}

/// Looks at the queues again when a PluginContext's pause is over.
async fn go_on_in(pause: u32) {
    Sleep::new(pause, OnQuit::Forget).await;
    LISTENER.with_borrow_mut(|listener| {
        if let Some(listener) = listener {
            listener.again.post();
        }
    });
}

/// Removes all registrations. Called when the worker exits.
pub fn stop() {
    drop(LISTENER.take());
}

impl Listener {
    /// Starts to watch. Returns `None` where nginx has no event loop, as in the master.
    fn start() -> Option<Self> {
        if !cycle::serves() {
            return None;
        }
        channel::watch(WAKE.get()?.as_fd(), on_wake).ok()?;
        let mut again = Box::new(Event::of_worker(on_wake)?);
        // A worker that is told to quit does not wait for queues, which may never be empty.
        again.set_cancelable(true);
        Some(Self { registrations: Vec::new(), turn: 0, again })
    }

    /// Returns the next PluginContext to call, and its queue.
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
    /// Whether there is an item that the PluginContext was not called for. If so, the item counts
    /// as reported.
    fn is_due(&mut self) -> bool {
        if self.plugin_contexts.paused_for(self.plugin_context) > 0 {
            return false;
        }
        let counts = self.shared.stores().and_then(|stores| stores.queues.counts(self.queue).ok()).unwrap_or_default();
        // Items that others have taken are not reported.
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
        // The listener is not borrowed during the call, because the plugin may register a queue, or
        // fail.
        let next = LISTENER.with_borrow_mut(|listener| listener.as_mut().and_then(Listener::next));
        let Some((plugin_contexts, plugin_context, queue)) = next else { return };
        // A failure was logged where it happened.
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
