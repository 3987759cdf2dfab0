//! One configuration of a plugin, and the callbacks that do not belong to a request.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::instance_slot::{Ending, InstanceSlot};
use super::own_instance::OwnInstances;
use super::{HttpContext, VmContext};
use crate::callbacks::Callback;
use crate::context::{ContextKey, Stage};
use crate::failure::Failure;
use crate::host::Host;
use crate::identity::Configuration;
use crate::instance::Instance;
use crate::pairs::PairsBuf;
use crate::plugin::Plugin;
use crate::state::{HttpCallResponse, Incoming};

/// The statuses of `proxy_on_redis_call_response`: Higress's `RedisStatus`.
const REDIS_OK: u32 = 0;
const REDIS_NETWORK_ERROR: u32 = 1;

/// One configuration of a plugin. It ends when its last owner has dropped it and its last
/// HttpContext is over.
///
/// The callbacks here return [`Failure::Gone`] unless the context is started: the event that they
/// report belongs to the instance in which the context was started, and ended with it. Their
/// parameter `http_context` is the request that the event is about, if that request still lives. It
/// is then the effective context, although the guest gets the plugin context's id.
pub struct PluginContext<H: Host> {
    vm: Rc<VmContext<H>>,
    plugin: Arc<Plugin<H>>,
    configuration: Arc<Configuration>,
    /// The context's index and id among the VM's contexts, once it has been started.
    registered: Cell<Option<(usize, u32)>>,
    /// For requests that have instances of their own.
    own: OwnInstances,
}

impl<H: Host> PluginContext<H> {
    pub(super) fn new(vm: Rc<VmContext<H>>, plugin: Arc<Plugin<H>>, configuration: Arc<[u8]>) -> Self {
        let configuration = Configuration::new(configuration, plugin.identity());
        Self { vm, plugin, configuration, registered: Cell::new(None), own: OwnInstances::default() }
    }

    /// The plugin.
    pub fn plugin(&self) -> &Arc<Plugin<H>> {
        &self.plugin
    }

    /// The VM that the context lives in.
    pub fn vm(&self) -> &Rc<VmContext<H>> {
        &self.vm
    }

    pub(super) fn own(&self) -> &OwnInstances {
        &self.own
    }

    /// The configuration that `proxy_on_configure` reads.
    pub fn configuration(&self) -> &Arc<Configuration> {
        &self.configuration
    }

    /// The context's id. It is given when the context is first started, and never changes.
    pub fn id(&self) -> Option<u32> {
        self.registered.get().map(|(_, id)| id)
    }

    /// Creates and configures the context in the running instance, and starts an instance if there
    /// is none. Cheap when the context is started already.
    ///
    /// # Errors
    /// The failure that stopped it. A refused configuration stays refused until the instance is
    /// replaced.
    pub fn start(&self) -> Result<(), Failure> {
        self.vm.enter(|slot| {
            let (index, _) = self.register(slot);
            slot.start(index)
        })
    }

    /// Gives the context its id, as [`PluginContext::start`] does. If all contexts of a VM are
    /// registered before one is started, the first start finds the image of them all.
    pub fn register_now(&self) {
        if let Ok(mut slot) = self.vm.place.slot.try_borrow_mut() {
            self.register(&mut slot);
        }
    }

    /// Makes a context for a request; the caller opens it.
    pub fn http_context(self: &Rc<Self>) -> HttpContext<H> {
        HttpContext::new(Rc::clone(self))
    }

    /// Makes the context of a request and opens it.
    ///
    /// # Errors
    /// Those of [`HttpContext::open`].
    pub fn create_http_context(self: &Rc<Self>, stream: H::Stream) -> Result<HttpContext<H>, Failure> {
        let http = self.http_context();
        http.open(stream)?;
        Ok(http)
    }

    /// `proxy_on_tick`.
    ///
    /// # Errors
    /// When the guest does not return, or the context is not started.
    pub fn on_tick(&self) -> Result<(), Failure> {
        self.callback(Callback::OnTick, None, |instance, id| {
            instance.callbacks.on_tick.call(&mut instance.store, id, ())
        })
    }

    /// `proxy_on_queue_ready`.
    ///
    /// # Errors
    /// When the guest does not return, or the context is not started.
    pub fn on_queue_ready(&self, queue: u32) -> Result<(), Failure> {
        self.callback(Callback::OnQueueReady, None, |instance, id| {
            instance.callbacks.on_queue_ready.call(&mut instance.store, (id, queue), ())
        })
    }

    /// `proxy_on_http_call_response`. The response of a call that failed is empty.
    ///
    /// # Errors
    /// When the guest does not return, or the context is not started.
    pub fn on_http_call_response(
        &self,
        http_context: Option<&HttpContext<H>>,
        call: u32,
        response: HttpCallResponse,
    ) -> Result<(), Failure> {
        let headers = count(response.headers.len());
        let body = count(response.body.len());
        let trailers = count(response.trailers.len());
        let incoming = Incoming { http_call: Some(response), ..Incoming::default() };
        self.deliver(Callback::OnHttpCallResponse, http_context, incoming, |instance, id| {
            let callback = &instance.callbacks.on_http_call_response;
            callback.call(&mut instance.store, (id, call, headers, body, trailers), ())
        })
    }

    /// `proxy_on_redis_call_response`, with the reply as it came; `None` if the call failed.
    ///
    /// # Errors
    /// When the guest does not return, or the context is not started.
    pub fn on_redis_call_response(
        &self,
        http_context: Option<&HttpContext<H>>,
        call: u32,
        reply: Option<Vec<u8>>,
    ) -> Result<(), Failure> {
        let status = if reply.is_some() { REDIS_OK } else { REDIS_NETWORK_ERROR };
        let size = count(reply.as_ref().map_or(0, Vec::len));
        let incoming = Incoming { redis_reply: reply, ..Incoming::default() };
        self.deliver(Callback::OnRedisCallResponse, http_context, incoming, |instance, id| {
            let callback = &instance.callbacks.on_redis_call_response;
            callback.call(&mut instance.store, (id, call, status, size), ())
        })
    }

    /// `proxy_on_grpc_receive_initial_metadata`.
    ///
    /// # Errors
    /// When the guest does not return, or the context is not started.
    pub fn on_grpc_receive_initial_metadata(
        &self,
        http_context: Option<&HttpContext<H>>,
        call: u32,
        metadata: PairsBuf,
    ) -> Result<(), Failure> {
        let elements = count(metadata.len());
        let incoming = Incoming { grpc_metadata: Some(metadata), ..Incoming::default() };
        self.deliver(Callback::OnGrpcReceiveInitialMetadata, http_context, incoming, |instance, id| {
            let callback = &instance.callbacks.on_grpc_receive_initial_metadata;
            callback.call(&mut instance.store, (id, call, elements), ())
        })
    }

    /// `proxy_on_grpc_receive`.
    ///
    /// # Errors
    /// When the guest does not return, or the context is not started.
    pub fn on_grpc_receive(
        &self,
        http_context: Option<&HttpContext<H>>,
        call: u32,
        message: Vec<u8>,
    ) -> Result<(), Failure> {
        let size = count(message.len());
        let incoming = Incoming { grpc_message: Some(message), ..Incoming::default() };
        self.deliver(Callback::OnGrpcReceive, http_context, incoming, |instance, id| {
            instance.callbacks.on_grpc_receive.call(&mut instance.store, (id, call, size), ())
        })
    }

    /// `proxy_on_grpc_receive_trailing_metadata`.
    ///
    /// # Errors
    /// When the guest does not return, or the context is not started.
    pub fn on_grpc_receive_trailing_metadata(
        &self,
        http_context: Option<&HttpContext<H>>,
        call: u32,
        metadata: PairsBuf,
    ) -> Result<(), Failure> {
        let elements = count(metadata.len());
        let incoming = Incoming { grpc_metadata: Some(metadata), ..Incoming::default() };
        self.deliver(Callback::OnGrpcReceiveTrailingMetadata, http_context, incoming, |instance, id| {
            let callback = &instance.callbacks.on_grpc_receive_trailing_metadata;
            callback.call(&mut instance.store, (id, call, elements), ())
        })
    }

    /// `proxy_on_grpc_close`, with the gRPC status, and the message that `proxy_get_status`
    /// returns.
    ///
    /// # Errors
    /// When the guest does not return, or the context is not started.
    pub fn on_grpc_close(
        &self,
        http_context: Option<&HttpContext<H>>,
        call: u32,
        status: u32,
        message: Vec<u8>,
    ) -> Result<(), Failure> {
        let incoming = Incoming { status: Some((status, message)), ..Incoming::default() };
        self.deliver(Callback::OnGrpcClose, http_context, incoming, |instance, id| {
            instance.callbacks.on_grpc_close.call(&mut instance.store, (id, call, status), ())
        })
    }

    /// `proxy_on_foreign_function`.
    ///
    /// # Errors
    /// When the guest does not return, or the context is not started.
    pub fn on_foreign_function(
        &self,
        http_context: Option<&HttpContext<H>>,
        function: u32,
        arguments: Vec<u8>,
    ) -> Result<(), Failure> {
        let size = count(arguments.len());
        let incoming = Incoming { foreign_arguments: Some(arguments), ..Incoming::default() };
        // In the instance where the function was called.
        let http_context = http_context.filter(|http| http.own_place().is_some());
        self.deliver(Callback::OnForeignFunction, http_context, incoming, |instance, id| {
            instance.callbacks.on_foreign_function.call(&mut instance.store, (id, function, size), ())
        })
    }

    /// Calls a callback that may read the incoming values while it runs.
    fn deliver(
        &self,
        callback: Callback,
        http_context: Option<&HttpContext<H>>,
        incoming: Incoming,
        call: impl FnOnce(&mut Instance<H>, u32) -> wasmtime::Result<()>,
    ) -> Result<(), Failure> {
        self.callback(callback, http_context, |instance, id| {
            instance.store.data_mut().incoming = incoming;
            let result = call(instance, id);
            instance.store.data_mut().incoming = Incoming::default();
            result
        })
    }

    fn callback(
        &self,
        callback: Callback,
        http_context: Option<&HttpContext<H>>,
        call: impl FnOnce(&mut Instance<H>, u32) -> wasmtime::Result<()>,
    ) -> Result<(), Failure> {
        if !self.plugin.has(callback) {
            return Ok(());
        }
        let Some((index, id)) = self.registered.get() else { return Err(Failure::Gone) };
        if let Some(http) = http_context
            && let Some(place) = http.own_place()
        {
            return place.enter(|slot| {
                let request = http.key(self, slot.generation()).ok_or(Failure::Gone)?;
                slot.call(request, callback, |instance| call(instance, id))
            });
        }
        self.vm.enter(|slot| {
            let own = ContextKey::Plugin(index);
            if slot.contexts().stage(own) != Stage::Open {
                return Err(Failure::Gone);
            }
            slot.leave_start();
            let request = http_context.and_then(|context| context.key(self, slot.generation()));
            slot.call(request.unwrap_or(own), callback, |instance| call(instance, id))
        })
    }

    /// The context's index and id among the VM's contexts. Both are given at the first call.
    #[inline(always)]
    pub(super) fn register(&self, slot: &mut InstanceSlot<H>) -> (usize, u32) {
        self.registered.get().unwrap_or_else(|| self.register_first(slot))
    }

    #[cold]
    fn register_first(&self, slot: &mut InstanceSlot<H>) -> (usize, u32) {
        self.plugin.choose_root_id();
        let contexts = slot.contexts();
        let index = contexts.register(Arc::clone(&self.configuration));
        let registered = (index, contexts.id(ContextKey::Plugin(index)));
        self.registered.set(Some(registered));
        registered
    }
}

impl<H: Host> Drop for PluginContext<H> {
    fn drop(&mut self) {
        self.own.end(&self.vm.spares);
        if let Some((index, _)) = self.registered.get() {
            self.vm.end(Ending::Plugin(index));
        }
    }
}

/// A count in the ABI's 32 bits; a host never holds more items than that in memory.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
