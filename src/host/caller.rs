//! Who receives a call's outcome: the context that made the call. A call is cancelled when the
//! request or instance that made it goes away.

use std::fmt;
use std::rc::{Rc, Weak};

use ngx_bindings::cycle;
use ngx_bindings::log::Level;
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
    /// An HttpContext, as a slot of its request.
    Http(RequestHandle, usize),
    /// A PluginContext.
    Plugin(Weak<PluginContext<NginxHost>>),
}

impl Caller {
    /// Makes the caller of a call that an HttpContext made.
    pub fn http(stream: &RequestStream, calls: &Calls) -> Self {
        Self::new(Context::Http(stream.handle(), stream.slot().index()), calls)
    }

    /// Makes the caller of a call that a PluginContext made.
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

    /// Marks a call as over.
    pub fn finish(&self, id: u32) {
        self.calls.finish(id);
    }

    /// Writes a line to the log of the request that made the call, if that is not over, or to the
    /// worker's log.
    pub fn log(&self, level: Level, line: fmt::Arguments<'_>) {
        match &self.context {
            Context::Http(request, _) => {
                if let Some(ctx) = request.get() {
                    ctx.request().log().print(level, line);
                }
            }
            Context::Plugin(_) => {
                cycle::with_log(|log| log.print(level, line));
            }
        }
    }

    /// Runs a callback of the PluginContext, with the HttpContext as the effective one. Afterwards
    /// the request continues, if the callback left something to do.
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
                    // The failure was logged where it happened, and no request depends on it.
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
