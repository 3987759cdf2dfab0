//! The two types that implement the traits of [`proxy_wasm_host::host`]: an instance of a plugin in
//! this worker, and one stream of a request. The implementations are in `host`.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ptr::NonNull;
use std::rc::{Rc, Weak};
use std::time::Instant;

use ngx_bindings::{Request, event};
use proxy_wasm_host::authority::Written;
use proxy_wasm_host::host::Result;
use proxy_wasm_host::limits::calls::REDIS_SERVERS;
use proxy_wasm_host::{Dialect, Identity, PluginContext};

use super::{PluginContexts, RequestContext, RequestHandle, Slot};
use crate::calls::{Calls, Client, RedisServer};
use crate::host_memory::{Held, HostMemory};
use crate::lazy_box::LazyBox;
use crate::shared::Shared;
use crate::shared::counters::Counters;
use crate::shared::definer::VmDefiner;
use crate::task::{Task, watch_quit};

/// The host side of one instance of a VM: what the guest can call, and what the instance has under
/// way. All of it ends with the instance.
pub struct NginxHost {
    pub client: Rc<Client>,
    pub plugin_contexts: Rc<PluginContexts>,
    /// Calls that were made outside requests.
    pub calls: Calls,
    pub redis: RedisServers,
    /// Ticks by id of the PluginContext.
    pub ticks: HashMap<u32, Ticks>,
    pub plugin: String,
    /// The host whose answers the plugin gets.
    pub dialect: Dialect,
    /// How many bytes may be kept for calls made outside requests.
    pub memory: HostMemory,
    pub shared: Rc<Shared>,
    pub definer: Rc<VmDefiner>,
    pub counters: Rc<Counters>,
    /// When the running callback began, if the callback is timed.
    pub begin: Option<Instant>,
    /// When the instance began to start.
    pub born: Instant,
    /// Whether an instance came before this one.
    pub is_restart: bool,
    /// Whether the instance has started.
    pub is_up: bool,
    /// Whether a callback did not return. The instance is then dropped.
    pub has_failed: bool,
    /// Whether the instance serves one request.
    pub of_request: bool,
}

impl NginxHost {
    /// Makes the host of an instance that is about to start.
    pub fn new(
        client: Rc<Client>,
        plugin_contexts: Rc<PluginContexts>,
        identity: &Identity,
        memory: HostMemory,
        definer: Rc<VmDefiner>,
        counters: Rc<Counters>,
        is_restart: bool,
    ) -> Self {
        if event::is_looping() {
            watch_quit();
        }
        Self {
            client,
            plugin_contexts,
            calls: Calls::of_instance(),
            redis: RedisServers::default(),
            ticks: HashMap::new(),
            plugin: identity.name.clone(),
            dialect: identity.dialect,
            memory,
            shared: Rc::clone(definer.shared()),
            definer,
            counters,
            begin: None,
            born: Instant::now(),
            is_restart,
            is_up: false,
            has_failed: false,
            of_request: false,
        }
    }
}

/// How PluginContexts use their Redis servers: by the context's id, and the name that the plugin has
/// for the server.
#[derive(Default)]
pub struct RedisServers(HashMap<(u32, Vec<u8>), Described>);

/// A server, and the PluginContext that described it, whose id another one may have by now. The
/// instance of a request, which serves one context, does not know it.
struct Described {
    context: Option<Weak<PluginContext<NginxHost>>>,
    server: Rc<RedisServer>,
    _held: Held,
}

impl RedisServers {
    /// Keeps a description. Answers false if the context has too many.
    pub fn insert(
        &mut self,
        id: u32,
        context: Option<&Rc<PluginContext<NginxHost>>>,
        name: &[u8],
        server: RedisServer,
        held: Held,
    ) -> bool {
        self.0.retain(|_, described| described.is_valid());
        let key = (id, name.to_vec());
        let of_context = self.0.keys().filter(|(of, _)| *of == id).count();
        if of_context >= REDIS_SERVERS && !self.0.contains_key(&key) {
            return false;
        }
        self.0.insert(key, Described { context: context.map(Rc::downgrade), server: Rc::new(server), _held: held });
        true
    }

    /// Returns the description of a server.
    pub fn get(&self, id: u32, name: &[u8]) -> Option<Rc<RedisServer>> {
        let described = self.0.get(&(id, name.to_vec()))?;
        described.is_valid().then(|| Rc::clone(&described.server))
    }
}

impl Described {
    fn is_valid(&self) -> bool {
        self.context.as_ref().is_none_or(|context| context.strong_count() > 0)
    }
}

/// The tick of a PluginContext. Dropping it stops the tick.
pub struct Ticks {
    /// The period in milliseconds.
    pub period: u32,
    _task: Task,
}

impl Ticks {
    /// Keeps the task that calls the PluginContext every `period` milliseconds.
    pub fn new(period: u32, task: Task) -> Self {
        Self { period, _task: task }
    }
}

/// The stream of one HttpContext: a slot of the request's [`RequestContext`].
#[derive(Debug)]
pub struct RequestStream {
    handle: RequestHandle,
    slot: NonNull<Slot>,
    /// What few requests need. The stream is moved several times before it comes to rest.
    rare: LazyBox<Rare>,
}

#[derive(Debug, Default)]
struct Rare {
    /// The calls made for the request. The list is made with the first call.
    calls: OnceCell<Calls>,
    /// What the plugin has written into the request's host.
    host_written: RefCell<Option<Written>>,
}

impl RequestStream {
    /// Makes the stream of a slot. It is used until the slot's HttpContext has finished, and the
    /// request does not end before.
    pub fn new(ctx: &RequestContext, slot: &Slot) -> Self {
        Self { handle: ctx.handle(), slot: NonNull::from(slot), rare: LazyBox::default() }
    }

    pub fn ctx(&self) -> &RequestContext {
        // SAFETY: the context lives as long as the request's pool and finishes its HttpContexts before that goes.
        unsafe { self.handle.room().as_ref() }
    }

    /// Returns a handle to the request, for code that may outlive it.
    pub fn handle(&self) -> RequestHandle {
        self.handle
    }

    /// The slot of this stream's HttpContext.
    pub fn slot(&self) -> &Slot {
        // SAFETY: as above; slots stay where they are in the context.
        unsafe { self.slot.as_ref() }
    }

    /// Returns the list of the request's calls. It leaves them to `instance` when the request is
    /// over.
    pub fn calls(&self, instance: &Calls) -> &Calls {
        self.rare.make().calls.get_or_init(|| {
            let calls = Calls::of_request(instance);
            self.slot().set_calls(calls.pending());
            calls
        })
    }

    /// Whether calls of the request go on when it is over.
    #[inline(always)]
    pub fn leaves_calls(&self) -> bool {
        self.rare.get().and_then(|rare| rare.calls.get()).is_some_and(Calls::any_outlives)
    }

    /// What the plugin has written into the request's host.
    pub fn host_written(&self) -> &RefCell<Option<Written>> {
        &self.rare.make().host_written
    }

    #[inline]
    pub fn request(&self) -> Request<'_> {
        self.ctx().request()
    }

    /// Asks whether a name and a value may be set. The request's pool then keeps them.
    pub fn allow(&self, name: &[u8], value: &[u8]) -> Result {
        self.ctx().allow(self.slot().memory(), name, value)
    }
}
