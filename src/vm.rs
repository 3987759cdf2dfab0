//! One plugin in this process: its VM, and its PluginContexts by their ids, for what comes back to them later.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use proxy_wasm_host::{Failure, Plugin, PluginContext, VmContext};

use super::calls::{Client, OnQuit, Sleep, Task, spawn};
use super::host::NginxHost;
use super::host_memory::HostMemory;
use super::shared::Shared;
use super::shared::counters::Counters;

thread_local! {
    /// The VMs of this process, for its status page.
    static VMS: RefCell<Vec<Weak<VmContext<NginxHost>>>> = const { RefCell::new(Vec::new()) };
}

/// A VM, and what its instances need to know of it.
pub struct Vm {
    context: Rc<VmContext<NginxHost>>,
    roots: Rc<Roots>,
}

impl Vm {
    /// A VM that starts when it is first needed.
    pub fn new(plugin: Arc<Plugin<NginxHost>>, memory: HostMemory, client: &Rc<Client>, shared: &Rc<Shared>) -> Self {
        let roots = Rc::<Roots>::default();
        let (client, shared, known) = (Rc::clone(client), Rc::clone(shared), Rc::clone(&roots));
        let name = plugin.name().to_owned();
        let is_restart = Cell::new(false);
        let make_host = Box::new(move || {
            let counters = Counters::new(shared.stores(), &name);
            counters.start(is_restart.replace(true));
            NginxHost::new(Rc::clone(&client), Rc::clone(&known), &name, memory, Rc::clone(&shared), counters)
        });
        let context = VmContext::new(plugin, make_host);
        VMS.with_borrow_mut(|vms| {
            vms.retain(|vm| vm.strong_count() > 0);
            vms.push(Rc::downgrade(&context));
        });
        Self { context, roots }
    }

    /// One configuration of the plugin.
    pub fn plugin_context(&self, configuration: Arc<[u8]>) -> Rc<PluginContext<NginxHost>> {
        let context = self.context.plugin_context(configuration);
        self.roots.add(&context);
        context
    }
}

/// The VMs of this process.
pub fn all() -> Vec<Rc<VmContext<NginxHost>>> {
    VMS.with_borrow(|vms| vms.iter().filter_map(Weak::upgrade).collect())
}

/// The PluginContexts of a VM.
#[derive(Default)]
pub struct Roots {
    contexts: RefCell<Vec<Weak<PluginContext<NginxHost>>>>,
    /// By id of PluginContext.
    restarts: RefCell<HashMap<u32, Task>>,
}

impl Roots {
    fn add(&self, context: &Rc<PluginContext<NginxHost>>) {
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
