//! The VMs and PluginContexts of one process: one VM for each declared plugin, one PluginContext
//! for each `proxy_wasm` line.

use std::rc::Rc;
use std::time::Duration;

use proxy_wasm_host::PluginContext;
use proxy_wasm_host::limits::plugin::START_TIMEOUT;

use super::deadlines;
use super::main_conf::MainConf;
use super::runtime::DeclaredPlugin;
use super::vm::Vm;
use crate::conf::Attachment;
use crate::context::NginxHost;

/// The VMs and PluginContexts of the native path. A worker of nginx has one thread, and so one
/// value of this type.
pub struct Contexts {
    /// The PluginContexts, by index of the `proxy_wasm` line. The field comes first, because they
    /// must be dropped before their VMs.
    contexts: Vec<Rc<PluginContext<NginxHost>>>,
}

impl Contexts {
    /// Makes the contexts. Guest code runs only from [`Self::start`] or the first request on.
    pub fn new(main: &MainConf) -> Self {
        let declared = main.plugins().iter();
        let vm = |declared: &DeclaredPlugin| {
            let (plugin, memory) = (declared.plugin.clone(), declared.policy.memory);
            Vm::new(plugin, memory, main.client(), &main.shared, &main.said.zones)
        };
        let vms: Vec<_> = declared.map(vm).collect();
        let lines = main.said.attachments.iter().zip(main.plugin_indexes());
        Self { contexts: lines.map(|(line, &plugin)| vms[plugin].plugin_context(line.configuration.clone())).collect() }
    }

    /// Starts every attached plugin. A failure is logged, and the first request tries again.
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
        for (context, Attachment { name, place, .. }) in self.contexts.iter().zip(attachments) {
            // A plugin can be attached many times. This line says which attachment the lines before
            // it are about.
            match context.start() {
                Ok(()) => {}
                Err(failure) if failure.is_reported() => {
                    tracing::error!("plugin \"{name}\" did not start for \"proxy_wasm\"{place}");
                }
                Err(failure) => tracing::error!("plugin \"{name}\" did not start for \"proxy_wasm\"{place}: {failure}"),
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
