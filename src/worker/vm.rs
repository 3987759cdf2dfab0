//! A VM in this process, of one plugin or of several, and its PluginContexts.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use ngx_bindings::cycle;
use proxy_wasm_host::{Announced, Plugin, PluginContext, VmContext};

use super::images;
use super::main_conf::MainConf;
use crate::context::{NginxHost, PluginContexts};
use crate::host_memory::HostMemory;
use crate::shared::counters::Counters;
use crate::shared::definer::VmDefiner;

thread_local! {
    /// The VMs of this process, for the status page.
    static VMS: RefCell<Vec<Weak<VmContext<NginxHost>>>> = const { RefCell::new(Vec::new()) };
}

/// A VM, with the values that its instances need.
pub struct Vm {
    context: Rc<VmContext<NginxHost>>,
    plugin_contexts: Rc<PluginContexts>,
}

impl Vm {
    /// Makes a VM. Its instance starts when it is first needed. The configurations are those that the
    /// VM will have, as far as they are known now.
    pub fn new<'a>(
        plugin: Arc<Plugin<NginxHost>>,
        memory: HostMemory,
        main: &MainConf,
        configurations: impl IntoIterator<Item = &'a [u8]>,
        announced: Announced,
    ) -> Self {
        let plugin_contexts = Rc::<PluginContexts>::default();
        let (client, known) = (Rc::clone(main.client()), Rc::clone(&plugin_contexts));
        let scope = images::scope(main, !plugin.options().directories.is_empty());
        let identity = Arc::clone(plugin.identity());
        let definer = VmDefiner::new(&main.shared, &identity.name, version(&plugin, configurations));
        let is_restart = Cell::new(false);
        let in_worker = OnceCell::new();
        let make_host = Box::new(move || {
            let look_up = || Rc::new(Counters::new(definer.shared().stores(), &identity.name));
            // The zone, and the worker's number, are known in a worker only.
            let counters = if cycle::serves() { Rc::clone(in_worker.get_or_init(look_up)) } else { look_up() };
            let is_restart = is_restart.replace(true);
            let (client, definer) = (Rc::clone(&client), Rc::clone(&definer));
            NginxHost::new(client, Rc::clone(&known), &identity, memory, definer, counters, is_restart)
        });
        let context = VmContext::of_announced(plugin, make_host, announced);
        if let Some(images) = images::of_worker() {
            context.keep_images(Arc::clone(images), scope);
        }
        VMS.with_borrow_mut(|vms| {
            vms.retain(|vm| vm.strong_count() > 0);
            vms.push(Rc::downgrade(&context));
        });
        Self { context, plugin_contexts }
    }

    /// Makes a PluginContext for one configuration of the plugin.
    pub fn plugin_context(&self, configuration: Arc<[u8]>) -> Rc<PluginContext<NginxHost>> {
        self.plugin_context_of(Arc::clone(self.context.plugin()), configuration)
    }

    /// Makes a PluginContext for one configuration of a plugin that may share the VM with others.
    pub fn plugin_context_of(
        &self,
        plugin: Arc<Plugin<NginxHost>>,
        configuration: Arc<[u8]>,
    ) -> Rc<PluginContext<NginxHost>> {
        let context = self.context.plugin_context_of(plugin, configuration);
        self.plugin_contexts.add(&context);
        context
    }

    /// The PluginContexts of the VM.
    pub fn plugin_contexts(&self) -> &Rc<PluginContexts> {
        &self.plugin_contexts
    }
}

/// What a VM is made of, for [`VmDefiner`].
fn version<'a>(plugin: &Plugin<NginxHost>, configurations: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(plugin.module().hash().to_string().as_bytes());
    for configuration in configurations {
        hasher.update(&(configuration.len() as u64).to_le_bytes());
        hasher.update(configuration);
    }
    hasher.finalize().as_bytes().to_vec()
}

/// Returns the VMs of this process.
pub fn all() -> Vec<Rc<VmContext<NginxHost>>> {
    VMS.with_borrow(|vms| vms.iter().filter_map(Weak::upgrade).collect())
}
