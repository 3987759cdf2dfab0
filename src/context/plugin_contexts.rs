//! The PluginContexts of a VM by their ids, for what comes back to them later.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use proxy_wasm_host::{Failure, PluginContext};

use super::NginxHost;
use crate::task::{OnQuit, Sleep, Task, spawn};

/// The PluginContexts of a VM.
#[derive(Default)]
pub struct PluginContexts {
    contexts: RefCell<Vec<Weak<PluginContext<NginxHost>>>>,
    /// By id of PluginContext.
    restarts: RefCell<HashMap<u32, Task>>,
}

impl PluginContexts {
    /// Adds one.
    pub fn add(&self, context: &Rc<PluginContext<NginxHost>>) {
        let mut contexts = self.contexts.borrow_mut();
        contexts.retain(|context| context.strong_count() > 0);
        contexts.push(Rc::downgrade(context));
    }

    /// The PluginContext of that id.
    pub fn get(&self, id: u32) -> Option<Rc<PluginContext<NginxHost>>> {
        self.contexts.borrow().iter().filter_map(Weak::upgrade).find(|context| context.id() == Some(id))
    }

    /// Brings a PluginContext up again, in `delay` milliseconds or when the back-off allows: its instance failed, and it lives
    /// from ticks or queues, not from requests.
    pub fn restart(&self, id: u32, delay: u32) {
        if let Some(context) = self.get(id) {
            let task = spawn(OnQuit::Forget, restart(Rc::downgrade(&context), delay));
            // An attempt that failed is over: it is what leads here.
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
            // What went wrong was logged where it did. The next attempt says how long to wait.
            Err(Failure::Trap(_) | Failure::Timeout | Failure::Exit(_) | Failure::Start(_)) => 0,
            Err(_) => return,
        }
    }
}
