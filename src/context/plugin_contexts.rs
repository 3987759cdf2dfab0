//! The PluginContexts of a VM by their ids, for callbacks that come later.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use proxy_wasm_host::limits::restart::HEALTHY;
use proxy_wasm_host::{Failure, GrowingDelay, PluginContext};

use super::NginxHost;
use crate::task::{OnQuit, Sleep, Task, spawn};

/// The PluginContexts of a VM.
#[derive(Default)]
pub struct PluginContexts {
    contexts: RefCell<Vec<Weak<PluginContext<NginxHost>>>>,
    /// The ids of PluginContexts that get no requests, and so are started again when their instance
    /// has failed.
    services: RefCell<Vec<u32>>,
    /// The restarts under way, by id of the PluginContext.
    restarts: RefCell<HashMap<u32, Task>>,
    /// By id of the PluginContext, when its ticks and queues go on after they made the instance
    /// fail. A tick that always fails would end the instance again and again, with all requests in
    /// it.
    pauses: RefCell<HashMap<u32, GrowingDelay>>,
}

impl PluginContexts {
    /// Adds a PluginContext.
    pub fn add(&self, context: &Rc<PluginContext<NginxHost>>) {
        let mut contexts = self.contexts.borrow_mut();
        contexts.retain(|context| context.strong_count() > 0);
        contexts.push(Rc::downgrade(context));
    }

    /// Keeps a PluginContext running that gets no requests. `is_up` says whether it has started.
    pub fn serve(&self, context: &PluginContext<NginxHost>, is_up: bool) {
        let Some(id) = context.id() else { return };
        self.services.borrow_mut().push(id);
        if !is_up {
            self.restart(id, 0);
        }
    }

    /// The ids of those that get no requests.
    pub fn services(&self) -> Vec<u32> {
        self.services.borrow().clone()
    }

    /// Returns the PluginContext of an id.
    pub fn get(&self, id: u32) -> Option<Rc<PluginContext<NginxHost>>> {
        self.contexts.borrow().iter().filter_map(Weak::upgrade).find(|context| context.id() == Some(id))
    }

    /// Records that a tick, a queue or a call of a PluginContext made the instance fail, which had
    /// run for a time. Returns how long the PluginContext's ticks and queues pause.
    pub fn pause(&self, id: u32, lived: Duration) -> Option<Duration> {
        let mut pauses = self.pauses.borrow_mut();
        let delay = pauses.entry(id).or_default();
        if lived >= HEALTHY {
            *delay = GrowingDelay::default();
        }
        delay.failed(Instant::now())
    }

    /// The milliseconds until ticks and queues of a PluginContext may go on.
    pub fn paused_for(&self, id: u32) -> u32 {
        let wait = self.pauses.borrow().get(&id).and_then(|delay| delay.wait(Instant::now()));
        wait.map_or(0, |wait| u32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX))
    }

    /// Starts a PluginContext again after its instance failed, in `delay` milliseconds or when the
    /// back-off allows. It is for plugins that have ticks or queues, or serve without requests: none
    /// may come that would start them.
    pub fn restart(&self, id: u32, delay: u32) {
        if let Some(context) = self.get(id) {
            let delay = delay.max(self.paused_for(id));
            let task = spawn(OnQuit::Forget, restart(Rc::downgrade(&context), delay));
            // The previous restart task has finished; its failure is why we are here.
            let before = self.restarts.borrow_mut().insert(id, task);
            drop(before);
        }
    }
}

async fn restart(context: Weak<PluginContext<NginxHost>>, mut delay: u32) {
    loop {
        Sleep::new(delay, OnQuit::Forget).await;
        let Some(context) = context.upgrade() else { return };
        delay = match context.start() {
            Ok(()) => return,
            Err(Failure::Unavailable { retry_in_ms }) => retry_in_ms,
            // The failure was logged where it happened. The next attempt returns how long to wait.
            Err(Failure::Trap(_) | Failure::Timeout | Failure::Exit(_) | Failure::Start(_)) => 0,
            Err(_) => return,
        }
    }
}
