//! The VMs and PluginContexts of one process: one VM per declared plugin, one PluginContext per `proxy_wasm` line.

use std::rc::Rc;

use super::configuration::{Attachment, MainConf};
use super::host::NginxHost;
use crate::proxy_wasm::{Failure, PluginContext, VmContext};

/// Says why a plugin context did not start, unless it was said already.
pub fn report(context: &PluginContext<NginxHost>, failure: &Failure) {
    if !failure.is_reported() {
        tracing::error!("plugin \"{}\" does not start: {failure}", context.plugin().name());
    }
}

/// What the native path runs on. A worker of nginx has one thread, and so one of these.
pub struct Worker {
    /// By index of `proxy_wasm` line; dropped before the VMs they live in.
    contexts: Vec<Rc<PluginContext<NginxHost>>>,
}

impl Worker {
    /// Makes the contexts; nothing of a guest runs before [`Self::start`] or the first request.
    pub fn new(main: &MainConf) -> Self {
        let vms: Vec<_> =
            main.plugins.iter().map(|declared| VmContext::new(declared.plugin.clone(), NginxHost::factory())).collect();
        let context = |attachment: &Attachment| vms[attachment.plugin].plugin_context(attachment.configuration.clone());
        Self { contexts: main.attachments.iter().map(context).collect() }
    }

    /// Starts every attached plugin. What fails is logged, and tried again by the first request.
    pub fn start(&self) {
        for context in &self.contexts {
            if let Err(failure) = context.start() {
                report(context, &failure);
            }
        }
    }

    /// The PluginContext of a `proxy_wasm` line.
    pub fn context(&self, attachment: usize) -> &Rc<PluginContext<NginxHost>> {
        &self.contexts[attachment]
    }
}
