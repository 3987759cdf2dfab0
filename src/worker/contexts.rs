//! The VMs and PluginContexts of one process: one VM per declared plugin, one PluginContext per `proxy_wasm` line.

use std::rc::Rc;

use proxy_wasm_host::PluginContext;

use super::deadlines;
use super::main_conf::MainConf;
use super::vm::Vm;
use crate::conf::Attachment;
use crate::context::NginxHost;

/// What the native path runs on. A worker of nginx has one thread, and so one of these.
pub struct Contexts {
    /// By index of `proxy_wasm` line; dropped before the VMs they live in.
    contexts: Vec<Rc<PluginContext<NginxHost>>>,
}

impl Contexts {
    /// Makes the contexts; nothing of a guest runs before [`Self::start`] or the first request.
    pub fn new(main: &MainConf) -> Self {
        let declared = main.plugins().iter();
        let vms: Vec<_> = declared
            .map(|declared| Vm::new(declared.plugin.clone(), declared.policy.memory, main.client(), &main.shared))
            .collect();
        let lines = main.said.attachments.iter().zip(main.plugin_indexes());
        Self { contexts: lines.map(|(line, &plugin)| vms[plugin].plugin_context(line.configuration.clone())).collect() }
    }

    /// Starts every attached plugin. What fails is logged, and tried again by the first request.
    pub fn start(&self, attachments: &[Attachment]) {
        if let Some(context) = self.contexts.first() {
            deadlines::start(context.plugin().engine());
        }
        for (context, Attachment { name, place, .. }) in self.contexts.iter().zip(attachments) {
            // A plugin may be attached many times: this says which of them the lines above are about.
            match context.start() {
                Ok(()) => {}
                Err(failure) if failure.is_reported() => {
                    tracing::error!("plugin \"{name}\" did not start for \"proxy_wasm\"{place}");
                }
                Err(failure) => tracing::error!("plugin \"{name}\" did not start for \"proxy_wasm\"{place}: {failure}"),
            }
        }
    }

    /// The PluginContext of a `proxy_wasm` line.
    pub fn get(&self, attachment: usize) -> &Rc<PluginContext<NginxHost>> {
        &self.contexts[attachment]
    }
}
