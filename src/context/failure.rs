//! What the failure of a plugin means for the request, by the plugin's policy.

use ngx_bindings::log::Level;
use proxy_wasm_host::abi::StreamType;
use proxy_wasm_host::config::FailurePolicy;
use proxy_wasm_host::{Failure, PluginContext};

use super::{Answer, NginxHost, RequestContext, Slot, Verdict};
use crate::conf::Policy;

impl RequestContext {
    /// A callback failed, or a context could not be made.
    #[cold]
    pub(super) fn failed(&self, plugin: &PluginContext<NginxHost>, failure: &Failure, policy: Policy) -> Verdict {
        // What ended an instance was said when it did, once; what follows from it for other requests is no news.
        let level = if plugin.vm().is_news(failure) { Level::Error } else { Level::Info };
        self.request().log().print(level, format_args!("plugin \"{}\" failed: {failure}", plugin.plugin().name()));
        match policy.failure {
            FailurePolicy::Closed => Verdict::Fail,
            FailurePolicy::Open => Verdict::Continue,
        }
    }

    /// The instance of a slot's plugin failed. In a callback of this slot, that callback's failure is what counts for the request.
    pub fn instance_gone(&self, slot: &Slot) {
        if slot.is_idle() {
            self.fail_waiting(slot);
        }
    }

    /// The plugin of a slot failed while the request or the response waited for it.
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

/// What the client gets; where the header is sent, it is cut off.
pub(super) fn page() -> Answer {
    Answer::text(503, b"")
}
