//! The traits of [`proxy_wasm_host::host`] on a worker and a request, one file per chapter of the spec.

mod allowance;
mod buffers;
mod foreign_functions;
mod grpc_calls;
mod headers;
mod http_calls;
mod local_response;
mod log;
mod metrics;
mod properties;
mod shared_data;
mod shared_queues;
mod streams;
mod timers;
mod trailers;

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ptr::NonNull;
use std::rc::Rc;
use std::time::Instant;

use ngx_bindings::Request;
use ngx_bindings::pool::AllocError;
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::authority::Written;
use proxy_wasm_host::host::{Host, Result, Stream};

pub use allowance::Allowance;
pub use headers::header_count;
pub use local_response::Answer;
pub use properties::property;
pub use trailers::trailer_count;

use self::timers::Ticks;
use super::calls::{Calls, Client};
use super::host_memory::HostMemory;
use super::live::RequestHandle;
use super::request::{RequestContext, Slot};
use super::shared::counters::Counters;
use super::shared::{Shared, queue_events};
use super::vm::Roots;

/// The one mapping from memory that nginx could not give to what a host function answers.
trait OrStatus<T> {
    /// The value, or [`Status::InternalFailure`].
    fn or_status(self) -> Result<T>;
}

impl<T> OrStatus<T> for std::result::Result<T, AllocError> {
    fn or_status(self) -> Result<T> {
        self.map_err(|AllocError| Status::InternalFailure)
    }
}

/// What an instance of a VM of this worker can call, and what it has under way: that ends with the instance.
pub struct NginxHost {
    client: Rc<Client>,
    roots: Rc<Roots>,
    /// Calls made in no request.
    calls: Calls,
    /// By id of PluginContext.
    ticks: HashMap<u32, Ticks>,
    plugin: String,
    /// What calls made in no request may have kept.
    memory: HostMemory,
    shared: Rc<Shared>,
    counters: Counters,
    /// When the running callback began, if it is one to be timed.
    begin: Option<Instant>,
    /// The instance came up.
    is_up: bool,
    /// A callback did not return, so the instance goes.
    has_failed: bool,
}

impl NginxHost {
    /// The host of an instance that is about to be made.
    pub fn new(
        client: Rc<Client>,
        roots: Rc<Roots>,
        plugin: &str,
        memory: HostMemory,
        shared: Rc<Shared>,
        counters: Counters,
    ) -> Self {
        Self {
            client,
            roots,
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

impl Host for NginxHost {
    type Stream = RequestStream;

    fn instance_started(&mut self) {
        self.is_up = true;
    }

    fn stream_opened(&mut self) {
        self.counters.request();
    }

    fn call_started(&mut self) {
        self.counters.call();
    }

    #[inline]
    fn guest_entered(&mut self) -> bool {
        let measured = self.counters.enter();
        if measured {
            self.begin = Some(Instant::now());
        }
        measured
    }

    #[inline]
    fn guest_left(&mut self, callbacks: usize, returned: bool, memory_size: Option<usize>) {
        self.counters.callbacks(callbacks);
        if let Some(memory_size) = memory_size
            && let Some(begin) = self.begin.take()
        {
            self.counters.timed(begin, memory_size);
        }
        if !returned {
            self.has_failed = true;
            self.counters.failure();
        }
    }
}

impl Drop for NginxHost {
    fn drop(&mut self) {
        let listeners = queue_events::forget(&self.roots);
        if self.has_failed {
            // No request may come that would bring these up again.
            listeners.into_iter().for_each(|id| self.roots.restart(id, 0));
            self.ticks.iter().for_each(|(id, ticks)| self.roots.restart(*id, ticks.period));
        }
        if self.is_up {
            self.counters.end();
        } else {
            self.counters.failure();
        }
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
    host_written: RefCell<Option<Written>>,
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

    fn ctx(&self) -> &RequestContext {
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
    fn request(&self) -> Request {
        self.ctx().request()
    }

    /// Before a name and a value are set, which the request's pool then keeps.
    fn allow(&self, name: &[u8], value: &[u8]) -> Result {
        self.ctx().allowance.take(self.request(), self.slot().memory(), name, value)
    }
}

impl Drop for RequestStream {
    /// While the request lives, its instance is what goes: nothing will come that the request may wait for.
    fn drop(&mut self) {
        if let Some(ctx) = self.handle.get() {
            ctx.instance_gone(self.slot());
        }
    }
}

impl Stream for RequestStream {}
