//! The VMs and PluginContexts of one process: one VM for each declared plugin, or for those that
//! share it, and one PluginContext for each `proxy_wasm` or `wasm_start` line.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy_wasm_host::limits::plugin::START_TIMEOUT;
use proxy_wasm_host::{Announced, PluginContext};

use super::deadlines;
use super::main_conf::MainConf;
use super::runtime::DeclaredVm;
use super::vm::Vm;
use crate::conf::Attachment;
use crate::context::{NginxHost, PluginContexts};

/// The VMs and PluginContexts of the native path. A worker of nginx has one thread, and so one
/// value of this type.
pub struct Contexts {
    /// The PluginContexts, by index of the line. They are dropped before their VMs.
    contexts: Vec<Rc<PluginContext<NginxHost>>>,
    /// For each line that gets no requests, the other PluginContexts of its VM.
    services: Vec<Option<Rc<PluginContexts>>>,
}

impl Contexts {
    /// Makes the contexts. Guest code runs only from [`Self::start`] or the first request on.
    pub fn new(main: &MainConf) -> Self {
        let lines = main.said.attachments.iter().zip(main.plugin_indexes());
        let vm = |(index, declared): (usize, &DeclaredVm)| {
            let of_vm = lines.clone().filter(|&(_, &plugin)| main.vm_indexes()[plugin] == index);
            let configurations = of_vm.map(|(line, _)| &*line.configuration);
            Vm::new(declared.plugin.clone(), declared.memory, main, configurations, Announced::new())
        };
        let vms: Vec<_> = main.vms().iter().enumerate().map(vm).collect();
        let made = lines.map(|(line, &plugin)| {
            let vm = &vms[main.vm_indexes()[plugin]];
            let plugin = Arc::clone(&main.plugins()[plugin].plugin);
            let service = line.is_service().then(|| Rc::clone(vm.plugin_contexts()));
            (vm.plugin_context_of(plugin, line.configuration.clone()), service)
        });
        let (contexts, services) = made.unzip();
        Self { contexts, services }
    }

    /// Starts every attached plugin. A failure is logged, and the first request tries again; where
    /// none will come, the back-off says when.
    pub fn start(&self, attachments: &[Attachment]) {
        if let Some(context) = self.contexts.first() {
            deadlines::start(context.plugin().engine());
        }
        // All are registered first, so that the first start looks for the image of them all. Another
        // worker may be about to make that image; this one serves nobody yet, and waits for it.
        for context in &self.contexts {
            context.register_now();
            context.vm().wait_for_images(context.plugin().options().start_timeout.unwrap_or(START_TIMEOUT));
        }
        for ((context, service), line) in self.contexts.iter().zip(&self.services).zip(attachments) {
            let Attachment { directive, name, place, .. } = line;
            let started = context.start();
            // A plugin can be attached many times. This line says which attachment the lines before
            // it are about.
            match &started {
                Ok(()) => {}
                Err(failure) if failure.is_reported() => {
                    tracing::error!("plugin \"{name}\" did not start for \"{directive}\"{place}");
                }
                Err(failure) => {
                    tracing::error!("plugin \"{name}\" did not start for \"{directive}\"{place}: {failure}");
                }
            }
            if let Some(plugin_contexts) = service {
                plugin_contexts.serve(context, started.is_ok());
            }
        }
        for context in &self.contexts {
            context.vm().keep_image();
            context.vm().wait_for_images(Duration::ZERO);
        }
    }

    /// Returns the PluginContext of a `proxy_wasm` line.
    pub fn get(&self, attachment: usize) -> &Rc<PluginContext<NginxHost>> {
        &self.contexts[attachment]
    }
}
