//! One plugin in this process: its VM, and its PluginContexts by their ids, for what comes back to them later.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::calls::Client;
use super::host::NginxHost;
use crate::proxy_wasm::{Plugin, PluginContext, VmContext};

/// A VM, and what its instances need to know of it.
pub struct Vm {
    context: Rc<VmContext<NginxHost>>,
    roots: Rc<Roots>,
}

impl Vm {
    /// A VM that starts when it is first needed.
    pub fn new(plugin: Arc<Plugin<NginxHost>>, client: &Rc<Client>) -> Self {
        let roots = Rc::<Roots>::default();
        let (client, known) = (Rc::clone(client), Rc::clone(&roots));
        let make_host = Box::new(move || NginxHost::new(Rc::clone(&client), Rc::clone(&known)));
        Self { context: VmContext::new(plugin, make_host), roots }
    }

    /// One configuration of the plugin.
    pub fn plugin_context(&self, configuration: Arc<[u8]>) -> Rc<PluginContext<NginxHost>> {
        let context = self.context.plugin_context(configuration);
        self.roots.add(&context);
        context
    }
}

/// The PluginContexts of a VM.
#[derive(Default)]
pub struct Roots(RefCell<Vec<Weak<PluginContext<NginxHost>>>>);

impl Roots {
    fn add(&self, context: &Rc<PluginContext<NginxHost>>) {
        let mut contexts = self.0.borrow_mut();
        contexts.retain(|context| context.strong_count() > 0);
        contexts.push(Rc::downgrade(context));
    }

    /// The PluginContext of that id.
    pub fn get(&self, id: u32) -> Option<Rc<PluginContext<NginxHost>>> {
        self.0.borrow().iter().filter_map(Weak::upgrade).find(|context| context.id() == Some(id))
    }
}
