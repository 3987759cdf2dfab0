//! Whom the outcome of a call is told: the context that made it, if it is still there.

use std::rc::{Rc, Weak};

use ngx_bindings::Log;
use ngx_bindings::cycle;
use proxy_wasm_host::outgoing::Status;
use proxy_wasm_host::pairs::PairsBuf;
use proxy_wasm_host::{Failure, HttpContext, PluginContext};

use crate::calls::{Calls, GrpcListener, PendingCalls};
use crate::context::{NginxHost, RequestHandle, RequestStream};
use crate::task::OnQuit;

/// The context that made a call.
pub struct Caller {
    context: Context,
    calls: PendingCalls,
    on_quit: OnQuit,
}

enum Context {
    /// An HttpContext, by the slot of its request.
    Http(RequestHandle, usize),
    /// A PluginContext.
    Plugin(Weak<PluginContext<NginxHost>>),
}

impl Caller {
    /// An HttpContext.
    pub fn http(stream: &RequestStream, calls: &Calls) -> Self {
        Self::new(Context::Http(stream.handle(), stream.slot().index()), calls)
    }

    /// A PluginContext.
    pub fn plugin(plugin: &Rc<PluginContext<NginxHost>>, calls: &Calls) -> Self {
        Self::new(Context::Plugin(Rc::downgrade(plugin)), calls)
    }

    fn new(context: Context, calls: &Calls) -> Self {
        Self { context, calls: calls.pending(), on_quit: calls.on_quit() }
    }

    /// Whether a worker that is told to quit waits for the call.
    pub fn on_quit(&self) -> OnQuit {
        self.on_quit
    }

    /// The call is over.
    pub fn finish(&self, id: u32) {
        self.calls.finish(id);
    }

    /// The log of the request that the call is made for, or the worker's.
    pub fn log(&self) -> Option<Log> {
        match &self.context {
            Context::Http(request, _) => Some(request.get()?.request().log()),
            Context::Plugin(_) => cycle::log(),
        }
    }

    /// Runs a callback of the PluginContext, in which the HttpContext is the effective one; and lets its request go on with what
    /// that left to do.
    pub fn call(
        &self,
        callback: impl FnOnce(&PluginContext<NginxHost>, Option<&HttpContext<NginxHost>>) -> Result<(), Failure>,
    ) {
        match &self.context {
            Context::Http(request, slot) => {
                if let Some(request) = request.get() {
                    request.call_back(*slot, |http| callback(http.plugin_context(), Some(http)));
                }
            }
            Context::Plugin(plugin) => {
                if let Some(plugin) = plugin.upgrade() {
                    // Its failure was logged where it happened, and concerns no request.
                    let _ = callback(&plugin, None);
                }
            }
        }
    }
}

impl GrpcListener for Caller {
    fn on_quit(&self) -> OnQuit {
        self.on_quit
    }

    fn listens(&self, id: u32) -> bool {
        self.calls.holds(id)
    }

    fn finish(&self, id: u32) {
        self.calls.finish(id);
    }

    fn initial_metadata(&self, id: u32, metadata: PairsBuf) {
        self.call(|plugin, http| plugin.on_grpc_receive_initial_metadata(http, id, metadata));
    }

    fn message(&self, id: u32, message: Vec<u8>) {
        self.call(|plugin, http| plugin.on_grpc_receive(http, id, message));
    }

    fn trailing_metadata(&self, id: u32, metadata: PairsBuf) {
        self.call(|plugin, http| plugin.on_grpc_receive_trailing_metadata(http, id, metadata));
    }

    fn closed(&self, id: u32, status: Status) {
        self.call(|plugin, http| plugin.on_grpc_close(http, id, status.code, status.message));
    }
}
