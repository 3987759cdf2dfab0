//! Who receives a call's outcome: the context that made the call, or its PluginContext if the
//! request is over by then. A call is cancelled when the instance that made it goes away.

use std::fmt;
use std::rc::{Rc, Weak};

use ngx_bindings::cycle;
use ngx_bindings::log::Level;
use proxy_wasm_host::outgoing::Status;
use proxy_wasm_host::pairs::PairsBuf;
use proxy_wasm_host::{Failure, HttpContext, PluginContext};

use crate::calls::{Calls, GrpcListener, PendingCalls};
use crate::context::{NginxHost, RequestContext, RequestHandle, RequestStream};

/// The context that made a call.
pub struct Caller {
    plugin: Weak<PluginContext<NginxHost>>,
    /// The HttpContext that made the call, as a slot of its request.
    http: Option<(RequestHandle, usize)>,
    calls: PendingCalls,
}

impl Caller {
    /// Makes the caller of a call that an HttpContext made. `outlived` says whether the PluginContext gets the outcome when the request is over.
    pub fn http(stream: &RequestStream, calls: &Calls, outlived: bool) -> Self {
        let slot = stream.slot();
        let plugin = if outlived { Rc::downgrade(slot.plugin_context()) } else { Weak::new() };
        Self { plugin, http: Some((stream.handle(), slot.index())), calls: calls.pending() }
    }

    /// Makes the caller of a call that a PluginContext made.
    pub fn plugin(plugin: &Rc<PluginContext<NginxHost>>, calls: &Calls) -> Self {
        Self { plugin: Rc::downgrade(plugin), http: None, calls: calls.pending() }
    }

    /// Marks a call as over.
    pub fn finish(&self, id: u32) {
        self.calls.finish(id);
    }

    /// Writes a line to the log of the request that made the call, if that is not over, or to the
    /// worker's log.
    pub fn log(&self, level: Level, line: fmt::Arguments<'_>) {
        match self.request() {
            Some((ctx, _)) => ctx.request().log().print(level, line),
            None => {
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
        if let Some((request, slot)) = self.request() {
            request.call_back(slot, |http| callback(http.plugin_context(), Some(http)));
        } else if let Some(plugin) = self.plugin.upgrade() {
            // The failure was logged where it happened, and no request depends on it.
            let _ = callback(&plugin, None);
        }
    }

    /// Returns the request that made the call, and the slot, unless the request is over.
    fn request(&self) -> Option<(&RequestContext, usize)> {
        let (request, slot) = self.http.as_ref()?;
        Some((request.get()?, *slot))
    }
}

impl GrpcListener for Caller {
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
