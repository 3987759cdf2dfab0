//! What the traits of [`proxy_wasm_host::host`] are implemented on: an instance of a plugin in this worker, and one of its streams.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ptr::NonNull;
use std::rc::Rc;
use std::time::Instant;

use ngx_bindings::Request;
use proxy_wasm_host::authority::Written;
use proxy_wasm_host::host::Result;

use super::{PluginContexts, RequestContext, RequestHandle, Slot};
use crate::calls::{Calls, Client};
use crate::host_memory::HostMemory;
use crate::shared::Shared;
use crate::shared::counters::Counters;
use crate::task::Task;

/// What an instance of a VM of this worker can call, and what it has under way: that ends with the instance.
pub struct NginxHost {
    pub client: Rc<Client>,
    pub plugin_contexts: Rc<PluginContexts>,
    /// Calls made in no request.
    pub calls: Calls,
    /// By id of PluginContext.
    pub ticks: HashMap<u32, Ticks>,
    pub plugin: String,
    /// What calls made in no request may have kept.
    pub memory: HostMemory,
    pub shared: Rc<Shared>,
    pub counters: Counters,
    /// When the running callback began, if it is one to be timed.
    pub begin: Option<Instant>,
    /// The instance came up.
    pub is_up: bool,
    /// A callback did not return, so the instance goes.
    pub has_failed: bool,
}

impl NginxHost {
    /// The host of an instance that is about to be made.
    pub fn new(
        client: Rc<Client>,
        plugin_contexts: Rc<PluginContexts>,
        plugin: &str,
        memory: HostMemory,
        shared: Rc<Shared>,
        counters: Counters,
    ) -> Self {
        Self {
            client,
            plugin_contexts,
            calls: Calls::of_instance(),
            ticks: HashMap::new(),
            plugin: plugin.to_owned(),
            memory,
            shared,
            counters,
            begin: None,
            is_up: false,
            has_failed: false,
        }
    }
}

/// What calls a PluginContext again and again, until it is dropped.
pub struct Ticks {
    /// In milliseconds.
    pub period: u32,
    _task: Task,
}

impl Ticks {
    /// A task that calls it every `period` milliseconds.
    pub fn new(period: u32, task: Task) -> Self {
        Self { period, _task: task }
    }
}

/// One HttpContext's way to its request: a slot of the request's [`RequestContext`].
#[derive(Debug)]
pub struct RequestStream {
    handle: RequestHandle,
    slot: NonNull<Slot>,
    /// Calls made for the request: they end with it. There are none until the first is made.
    calls: OnceCell<Calls>,
    /// What the plugin has made of the request's host.
    pub host_written: RefCell<Option<Written>>,
}

impl RequestStream {
    /// The stream of a slot; it is used until the slot's HttpContext has finished, which the request's end waits for.
    pub fn new(ctx: &RequestContext, slot: &Slot) -> Self {
        Self {
            handle: ctx.handle(),
            slot: NonNull::from(slot),
            calls: OnceCell::new(),
            host_written: RefCell::default(),
        }
    }

    pub fn ctx(&self) -> &RequestContext {
        // SAFETY: the context lives as long as the request's pool and finishes its HttpContexts before that goes.
        unsafe { self.handle.room().as_ref() }
    }

    /// The way back to the request, from what may outlive it.
    pub fn handle(&self) -> RequestHandle {
        self.handle
    }

    /// Which of the request's HttpContexts this is.
    pub fn slot(&self) -> &Slot {
        // SAFETY: as above; slots stay where they are in the context.
        unsafe { self.slot.as_ref() }
    }

    pub fn calls(&self) -> &Calls {
        self.calls.get_or_init(|| {
            let calls = Calls::of_request();
            self.slot().set_calls(calls.pending());
            calls
        })
    }

    #[inline]
    pub fn request(&self) -> Request {
        self.ctx().request()
    }

    /// Before a name and a value are set, which the request's pool then keeps.
    pub fn allow(&self, name: &[u8], value: &[u8]) -> Result {
        self.ctx().allowance.take(self.request(), self.slot().memory(), name, value)
    }
}
