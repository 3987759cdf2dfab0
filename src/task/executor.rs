//! Polls futures from nginx's event loop. A task that is woken is polled when nginx is back in its
//! loop, never from the place where it was woken.
//!
//! So a task never runs between a guest and its host function, or between nginx and one of its
//! handlers.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use ngx_bindings::event::Event;
use ngx_bindings::sys::ngx_event_t;

use super::timer::OnQuit;
use super::turn::Turn;
use crate::guard::guard;

thread_local! {
    /// The tasks of this process. nginx runs in one thread.
    static TASKS: RefCell<Tasks> = RefCell::default();
}

/// How many tickets of dropped tasks may stay in the queue, in addition to two for each task that
/// lives.
const READY_SLACK: usize = 64;

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
struct Tasks {
    /// The futures by id; `None` while a future is polled.
    futures: HashMap<u64, Option<LocalFuture>>,
    last_id: u64,
    ready: VecDeque<Arc<Ticket>>,
    /// How many of the ready tasks a worker waits for when it is told to quit.
    awaited: usize,
    event: Option<Box<Event>>,
}

/// A future that runs by itself. Dropping the task drops the future; if it is running, it is
/// dropped as soon as it yields.
#[derive(Debug)]
#[must_use = "a task ends when it is dropped"]
pub struct Task(Option<u64>);

impl Task {
    /// Lets the future run to its end without its `Task`.
    pub fn detach(mut self) {
        self.0 = None;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            let future = TASKS.with_borrow_mut(|tasks| tasks.futures.remove(&id));
            // Dropped outside the borrow, because the future may own tasks.
            drop(future);
        }
    }
}

/// Starts a future. It is first polled when nginx is back in its loop. `on_quit` says whether a
/// worker that is told to quit still polls the future after it was woken.
pub fn spawn(on_quit: OnQuit, future: impl Future<Output = ()> + 'static) -> Task {
    let id = TASKS.with_borrow_mut(|tasks| {
        tasks.last_id += 1;
        tasks.futures.insert(tasks.last_id, Some(Box::pin(future)));
        tasks.last_id
    });
    Arc::new(Ticket { id, on_quit, queued: AtomicBool::new(false) }).wake();
    Task(Some(id))
}

/// Drops every task, because the process is about to exit.
pub fn shut_down() {
    let tasks = TASKS.with_borrow_mut(std::mem::take);
    drop(tasks);
}

/// The queue entry of a woken task; its wakers share it.
struct Ticket {
    id: u64,
    on_quit: OnQuit,
    queued: AtomicBool,
}

impl Ticket {
    fn is_awaited(&self) -> usize {
        (self.on_quit == OnQuit::Wait).into()
    }
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        if self.queued.swap(true, Ordering::Relaxed) {
            return;
        }
        // While the process exits, the tasks may be gone already. Then nothing needs to be woken.
        let _ = TASKS.try_with(|tasks| tasks.borrow_mut().push_ready(self));
    }
}

impl Tasks {
    fn push_ready(&mut self, ticket: Arc<Ticket>) {
        self.forget_dropped();
        self.awaited += ticket.is_awaited();
        self.ready.push_back(ticket);
        if self.event.is_none() {
            self.event = Event::of_worker(on_ready).map(Box::new);
        }
        self.post_if_ready();
    }

    /// Drops the tickets of dropped tasks when there are too many of them: a callback may make and
    /// drop tasks without end before nginx is back in its loop.
    fn forget_dropped(&mut self) {
        if self.ready.len() <= READY_SLACK + 2 * self.futures.len() {
            return;
        }
        let (futures, mut dropped) = (&self.futures, 0);
        self.ready.retain(|ticket| {
            let lives = futures.contains_key(&ticket.id);
            if !lives {
                dropped += ticket.is_awaited();
            }
            lives
        });
        self.awaited -= dropped;
    }

    fn post_if_ready(&mut self) {
        if !self.ready.is_empty()
            && let Some(event) = &mut self.event
        {
            event.set_cancelable(self.awaited == 0);
            event.post();
        }
    }

    fn pop_ready(&mut self) -> Option<Arc<Ticket>> {
        let ticket = self.ready.pop_front()?;
        self.awaited -= ticket.is_awaited();
        Some(ticket)
    }
}

unsafe extern "C" fn on_ready(_: *mut ngx_event_t) {
    guard((), run_ready);
}

fn run_ready() {
    let turn = Turn::begin();
    while let Some(ticket) = TASKS.with_borrow_mut(Tasks::pop_ready) {
        guard((), || poll(ticket));
        if turn.is_over() {
            return TASKS.with_borrow_mut(Tasks::post_if_ready);
        }
    }
}

fn poll(ticket: Arc<Ticket>) {
    ticket.queued.store(false, Ordering::Relaxed);
    let id = ticket.id;
    let Some(mut future) = TASKS.with_borrow_mut(|tasks| tasks.futures.get_mut(&id)?.take()) else {
        return;
    };
    let ready = future.as_mut().poll(&mut Context::from_waker(&Waker::from(ticket))).is_ready();
    let rest = TASKS.with_borrow_mut(|tasks| {
        if ready {
            tasks.futures.remove(&id);
        }
        match tasks.futures.get_mut(&id) {
            Some(place) => place.replace(future),
            None => Some(future),
        }
    });
    // Dropped outside the borrow, because the future may own tasks.
    drop(rest);
}

/// Runs the futures that hyper spawns beside a connection.
#[derive(Clone, Copy, Debug)]
pub struct NginxExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for NginxExecutor {
    fn execute(&self, future: F) {
        spawn(OnQuit::Forget, future).detach();
    }
}
