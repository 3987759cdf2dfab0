//! Decides what a plugin's failure means for the request, by the plugin's `wasm_failure`.

use ngx_bindings::log::Level;
use proxy_wasm_host::abi::StreamType;
use proxy_wasm_host::config::FailurePolicy;
use proxy_wasm_host::{Failure, PluginContext};

use super::{Answer, NginxHost, RequestContext, Slot, Verdict};
use crate::conf::Policy;

impl RequestContext {
    /// Logs the failure of a callback, or of making a context, and returns the verdict.
    #[cold]
    pub(super) fn failed(&self, plugin: &PluginContext<NginxHost>, failure: &Failure, policy: Policy) -> Verdict {
        // The failure that ended an instance was logged as an error once. Failures of other
        // requests that follow from it are logged at info.
        let level = if plugin.vm().is_news(failure) { Level::Error } else { Level::Info };
        self.request().log().print(level, format_args!("plugin \"{}\" failed: {failure}", plugin.plugin().name()));
        match policy.failure {
            FailurePolicy::Closed => Verdict::Fail,
            FailurePolicy::Open => Verdict::Continue,
        }
    }

    /// Handles the failure of the instance of a slot's plugin. If a callback of this slot runs,
    /// that callback's own failure decides about the request.
    pub fn instance_gone(&self, slot: &Slot) {
        if slot.is_idle() {
            self.fail_waiting(slot);
        }
    }

    /// Handles the failure of a slot's plugin while the request or the response waited for it.
    pub(super) fn fail_waiting(&self, slot: &Slot) {
        let index = slot.index();
        let is_held = self.pause.request_holder() == Some(index) || self.response.is_held_by(index);
        match slot.policy.failure {
            FailurePolicy::Closed if is_held => {
                self.set_answer(Box::new(page()));
            }
            FailurePolicy::Closed => {}
            FailurePolicy::Open => {
                self.resume(index, StreamType::HttpRequest);
                self.resume(index, StreamType::HttpResponse);
            }
        }
        self.after_callback();
    }
}

/// The answer that the client gets. If the header is sent already, the client is cut off instead.
pub(super) fn page() -> Answer {
    Answer::page(503)
}
