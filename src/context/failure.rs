//! Decides what a plugin's failure means for the request, by the plugin's `wasm_failure`.

use ngx_bindings::log::Level;
use proxy_wasm_host::Failure;
use proxy_wasm_host::abi::StreamType;
use proxy_wasm_host::config::FailurePolicy;

use super::{Answer, RequestContext, Slot, Verdict};

impl RequestContext {
    /// Logs the failure of a callback, or of making a context, and returns the verdict.
    #[cold]
    pub(super) fn failed(&self, slot: &Slot, failure: &Failure) -> Verdict {
        if *failure == Failure::Gone {
            self.tell_of_end(slot);
        } else {
            // The failure that ended an instance was logged as an error once. Failures of other
            // requests that follow from it are logged at info.
            let level = if slot.plugin_context().vm().is_news(failure) { Level::Error } else { Level::Info };
            let line = format_args!("plugin \"{}\" failed: {failure}", slot.plugin_name());
            self.request().log().print(level, line);
        }
        match slot.policy.failure {
            FailurePolicy::Closed => Verdict::Fail,
            FailurePolicy::Open => Verdict::Continue,
        }
    }

    /// Handles the failure of the instance of a slot's plugin. If a callback of this slot runs,
    /// that callback's own failure decides about the request.
    #[cold]
    pub fn instance_gone(&self, slot: &Slot) {
        if slot.is_idle() {
            self.tell_of_end(slot);
            self.fail_waiting(slot);
        }
    }

    /// Logs, once, which call ended the instance that a request lived in.
    fn tell_of_end(&self, slot: &Slot) {
        if !slot.is_end_news() {
            return;
        }
        let (log, plugin) = (self.request().log(), slot.plugin_name());
        match slot.plugin_context().vm().culprit() {
            Some(culprit) => {
                let line = format_args!("plugin \"{plugin}\" failed: its instance failed in another call: {culprit}");
                log.print(Level::Info, line);
            }
            None => log.print(Level::Info, format_args!("plugin \"{plugin}\" failed: {}", Failure::Gone)),
        }
    }

    /// Handles the failure of a slot's plugin while the request or the response waited for it.
    pub(super) fn fail_waiting(&self, slot: &Slot) {
        let index = slot.index();
        let is_held = self.is_held_by(index);
        match slot.policy.failure {
            FailurePolicy::Closed if is_held => {
                self.set_answer(Box::new(page()));
                // It has no say in the page, which an `error_page` may make.
                slot.finish();
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
