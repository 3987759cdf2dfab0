//! The PluginContexts of a VM by their ids, for callbacks that come later.

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
    /// The restarts under way, by id of the PluginContext.
    restarts: RefCell<HashMap<u32, Task>>,
}

impl PluginContexts {
    /// Adds a PluginContext.
    pub fn add(&self, context: &Rc<PluginContext<NginxHost>>) {
        let mut contexts = self.contexts.borrow_mut();
        contexts.retain(|context| context.strong_count() > 0);
        contexts.push(Rc::downgrade(context));
    }

    /// Returns the PluginContext of an id.
    pub fn get(&self, id: u32) -> Option<Rc<PluginContext<NginxHost>>> {
        self.contexts.borrow().iter().filter_map(Weak::upgrade).find(|context| context.id() == Some(id))
    }

    /// Starts a PluginContext again after its instance failed, in `delay` milliseconds or when the
    /// back-off allows. It is for plugins that have ticks or queues, because no request may come
    /// that would start them.
    pub fn restart(&self, id: u32, delay: u32) {
        if let Some(context) = self.get(id) {
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
