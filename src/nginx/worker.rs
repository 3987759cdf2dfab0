//! The VMs and PluginContexts of one process: one VM per declared plugin, one PluginContext per `proxy_wasm` line.

use std::rc::Rc;

use ngx_bindings::cycle::serves;

use super::configuration::{Attachment, DeclaredPlugin, MainConf};
use super::host::NginxHost;
use super::vm::Vm;
use crate::proxy_wasm::PluginContext;
use crate::wasm::Engine;

/// What the native path runs on. A worker of nginx has one thread, and so one of these.
pub struct Worker {
    /// By index of `proxy_wasm` line; dropped before the VMs they live in.
    contexts: Vec<Rc<PluginContext<NginxHost>>>,
}

impl Worker {
    /// Makes the contexts; nothing of a guest runs before [`Self::start`] or the first request.
    pub fn new(main: &MainConf) -> Self {
        let new = |declared: &DeclaredPlugin| Vm::new(declared.plugin.clone(), main.client(), &main.shared);
        let vms: Vec<_> = main.plugins.iter().map(new).collect();
        let context = |attachment: &Attachment| vms[attachment.plugin].plugin_context(attachment.configuration.clone());
        Self { contexts: main.attachments.iter().map(context).collect() }
    }

    /// Starts every attached plugin. What fails is logged, and tried again by the first request.
    pub fn start(&self) {
        if let Some(context) = self.contexts.first() {
            start_ticker(context.plugin().engine());
        }
        for context in &self.contexts {
            if let Err(failure) = context.start()
                && !failure.is_reported()
            {
                tracing::error!("plugin \"{}\" did not start: {failure}", context.plugin().name());
            }
        }
    }

    /// The PluginContext of a `proxy_wasm` line.
    pub fn context(&self, attachment: usize) -> &Rc<PluginContext<NginxHost>> {
        &self.contexts[attachment]
    }
}

/// Runs guests that nginx's start, not a request, gives rise to. Their deadlines need a thread; in the master, which will fork, it
/// ends with them.
pub fn with_deadlines<R>(engine: &Engine, run: impl FnOnce() -> R) -> R {
    start_ticker(engine);
    let result = run();
    if !serves() {
        engine.stop_ticker();
    }
    result
}

/// Time for the guests that the master started: they run on in this process.
pub fn resume_deadlines(engine: &Engine) {
    if engine.had_ticker() {
        start_ticker(engine);
    }
}

fn start_ticker(engine: &Engine) {
    if let Err(error) = engine.start_ticker() {
        tracing::error!("proxy_wasm: deadlines of plugins do not hold: no thread can be made: {error}");
    }
}
