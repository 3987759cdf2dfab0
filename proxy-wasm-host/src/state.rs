//! The data in the store of one running instance: the host, the contexts, and what the running
//! callback may read.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::{Global, Memory, TypedFunc};

use super::abi::{AbiVersion, Status};
use super::context::Contexts;
use super::host::{Host, Origin};
use super::identity::Identity;
use super::journal::{Asked, Journal};
use super::pairs::PairsBuf;
use crate::wasm::limits::Limits;
use crate::wasm::wasi::Wasi;

/// The data of the store of one instance.
pub struct VmState<H: Host> {
    /// The host that this instance calls.
    pub host: H,
    /// The identity of the VM's plugin. A plugin context may be of another plugin of the VM.
    pub plugin: Arc<Identity>,
    /// The ABI version that the plugin advertises.
    pub abi_version: AbiVersion,
    /// Every context of this instance, and which one is effective.
    pub contexts: Contexts<H::Stream>,
    /// Values that only the running callback may read.
    pub incoming: Incoming,
    /// Set once the instance exists.
    pub(crate) guest: Option<GuestExports>,
    /// The global [`joined::Joined::apart`](super::joined::Joined::apart).
    pub(crate) apart: Option<Global>,
    /// A buffer for values on their way from the host into the guest. It is kept, so that it keeps
    /// its capacity.
    pub(crate) scratch: Vec<u8>,
    /// Whether properties that plugin contexts have declared are read-only.
    pub(crate) declared_properties: HashMap<(u32, Vec<u8>), bool>,
    pub(crate) limits: Limits,
    pub(crate) wasi: Wasi,
    /// What the guest asked of the host, while it starts and may be imaged afterwards.
    pub(crate) journal: Option<Box<Journal>>,
    /// How many calls an instance of a request believes to have made while it started.
    unmade_calls: u32,
}

/// The guest's exports that host functions use.
pub(crate) struct GuestExports {
    pub memory: Memory,
    /// `proxy_on_memory_allocate`, else `malloc`. Shared, because it is called with the state that
    /// holds it.
    pub allocate: Option<Arc<TypedFunc<u32, u32>>>,
}

/// Maps and buffers that exist only during one callback (`proxy_on_http_call_response`,
/// `proxy_on_grpc_*`, `proxy_on_foreign_function`).
#[derive(Debug, Default)]
pub struct Incoming {
    /// The response of an HTTP call.
    pub http_call: Option<HttpCallResponse>,
    /// Initial or trailing metadata of a gRPC call.
    pub grpc_metadata: Option<PairsBuf>,
    /// A gRPC message.
    pub grpc_message: Option<Vec<u8>>,
    /// The arguments of a foreign function.
    pub foreign_arguments: Option<Vec<u8>>,
    /// The reply to a Redis call.
    pub redis_reply: Option<Vec<u8>>,
    /// The last status and its message, for `proxy_get_status`.
    pub status: Option<(u32, Vec<u8>)>,
}

/// The response of an HTTP call; empty when the call failed.
#[derive(Debug, Default)]
pub struct HttpCallResponse {
    /// Lower-case names, `:status` among them.
    pub headers: PairsBuf,
    /// The whole body.
    pub body: Vec<u8>,
    /// Trailer fields.
    pub trailers: PairsBuf,
    /// Why the call failed, if it did: `:dispatch_status`, which plugins find by this name alone.
    pub dispatch_status: Option<&'static str>,
}

impl<H: Host> VmState<H> {
    /// The state for an instance that is about to be made.
    pub(crate) fn new(
        plugin: Arc<Identity>,
        abi_version: AbiVersion,
        limits: Limits,
        wasi: Wasi,
        host: H,
        contexts: Contexts<H::Stream>,
    ) -> Self {
        Self {
            host,
            plugin,
            abi_version,
            contexts,
            incoming: Incoming::default(),
            guest: None,
            apart: None,
            scratch: Vec::new(),
            declared_properties: HashMap::new(),
            limits,
            wasi,
            journal: None,
            unmade_calls: 0,
        }
    }

    /// Lets go of what a request has left, when its instance waits for another one.
    pub(crate) fn rest(&mut self) {
        self.host.instance_rests();
        self.wasi.close_files();
        self.contexts = Contexts::default();
        self.incoming = Incoming::default();
        self.scratch = Vec::new();
    }

    /// Makes the state anew for the next request. Only what refers to the instance stays.
    pub(crate) fn renew(&mut self, limits: Limits, wasi: Wasi, host: H, contexts: Contexts<H::Stream>) {
        let (guest, apart) = (self.guest.take(), self.apart);
        let anew = Self::new(Arc::clone(&self.plugin), self.abi_version, limits, wasi, host, contexts);
        *self = Self { guest, apart, ..anew };
    }

    /// The identity of the effective context's plugin.
    pub fn own_plugin(&self) -> &Identity {
        self.contexts.plugin().unwrap_or(&self.plugin)
    }

    /// The request of the effective context.
    ///
    /// # Errors
    /// `NotFound` when the effective context is not of a request.
    pub fn stream(&mut self) -> Result<&mut H::Stream, Status> {
        self.contexts.effective_stream_mut().ok_or(Status::NotFound)
    }

    /// The host, and the request of the effective context if there is one.
    pub fn host_and_stream(&mut self) -> (&mut H, Option<&H::Stream>) {
        (&mut self.host, self.contexts.effective_stream())
    }

    /// The host, and who calls it.
    pub fn host_and_origin(&mut self) -> (&mut H, Origin<'_, H::Stream>) {
        (&mut self.host, self.contexts.origin())
    }

    /// Whether an instance starts that will serve one request. What it changes outside itself then
    /// has no effect, because the worker's instance has made these changes when it started. The
    /// guest is told that all went well.
    pub(crate) fn is_rehearsal(&self) -> bool {
        self.contexts.is_of_request() && !self.contexts.any_opened()
    }

    /// The id of a call that is not made, during a rehearsal.
    pub(crate) fn unmade_call(&mut self) -> u32 {
        self.unmade_calls += 1;
        u32::MAX - self.unmade_calls
    }

    /// The plugin context that is told of a queue's items: none of an instance of a request.
    pub(crate) fn listener(&self, plugin_context: u32) -> Option<u32> {
        (!self.contexts.is_of_request()).then_some(plugin_context)
    }

    /// Notes what the guest asks of the host while it starts.
    pub(crate) fn ask(&mut self, asked: impl FnOnce() -> Asked) {
        if let Some(journal) = &mut self.journal {
            journal.add(asked());
        }
    }

    /// Notes that the guest does what an image cannot keep.
    pub(crate) fn obstruct(&mut self, obstacle: &'static str) {
        if let Some(journal) = &mut self.journal {
            journal.obstruct(obstacle);
        }
    }

    /// Why the instance cannot be imaged, if it can not.
    pub(crate) fn image_obstacle(&self, allows_random: bool) -> Option<&'static str> {
        let Some(journal) = &self.journal else { return Some("it has run callbacks") };
        let random = !allows_random && self.wasi.drew_random();
        let random = random.then_some("it drew random numbers while it started");
        journal.obstacle().or_else(|| self.wasi.files_obstacle()).or(random)
    }
}
