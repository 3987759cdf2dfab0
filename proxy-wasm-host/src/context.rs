//! Contexts and their ids: which contexts an instance has, which plugin context owns each HTTP
//! context, and which one is effective.
//!
//! Spec v0.2.1, "Context lifecycle". Plugin and HTTP contexts count their ids together, from 1. A
//! plugin context takes the plugin id that was freed first, else the next number. An HTTP context
//! takes an id that its plugin context freed, else the next number. When a plugin context ends, the
//! ids of its HTTP contexts are given up. In the steady state a request's context therefore costs
//! neither an allocation nor a look-up: the context is an index into a slab, and its id is stored
//! there.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tracing::info;

use super::abi::Status;
use super::host::{Origin, Stream};
use super::identity::{Configuration, Identity};
use super::journal::ImagedContext;
use super::limits::PENDING_CONTEXTS;

/// The position of a context in the slab of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContextKey {
    Plugin(usize),
    Http(usize),
}

/// How far a context has come in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// There is no context here; the id waits to be used again.
    Free,
    /// A plugin context that the running instance has not created yet.
    Registered,
    /// Created in the running instance, and in use.
    Open,
    /// A plugin context whose configuration the plugin refused.
    Refused,
    /// `proxy_on_done` returned false: the plugin will call `proxy_done`.
    Pending,
    /// `proxy_done` was called. Log and delete follow when the guest has returned.
    Ended,
}

struct PluginSlot {
    id: u32,
    stage: Stage,
    configuration: Arc<Configuration>,
    /// The number of HTTP contexts that are not free.
    live: usize,
    /// Free HTTP contexts, by index. The one that was freed last is used first, because its slot is
    /// still in the CPU's cache.
    free: Vec<usize>,
    /// The owner has dropped the plugin context; it ends with its last HTTP context.
    retired: bool,
}

struct HttpSlot<S> {
    id: u32,
    stage: Stage,
    plugin: usize,
    /// The request; `None` when it is over.
    stream: Option<S>,
    /// Whether calls of the request go on without it, so that nobody else may get the id.
    leaves_calls: bool,
}

impl<S: Stream> HttpSlot<S> {
    /// Lets go of the request, which is over.
    #[inline(always)]
    fn leave(&mut self) {
        if let Some(stream) = &self.stream {
            self.leaves_calls = stream.leaves_calls();
            self.stream = None;
        }
    }
}

/// Every context of a VM. It outlives the instance, so that a plugin context keeps its id when the
/// instance is replaced.
pub struct Contexts<S> {
    plugins: Vec<PluginSlot>,
    http: Vec<HttpSlot<S>>,
    /// Freed plugin contexts, the oldest first.
    free_plugins: VecDeque<usize>,
    /// Slots of HTTP contexts whose ids ended with their plugin context.
    vacant_http: Vec<usize>,
    /// Finds a context by an id from the guest. Changes only when an id is used for the first time,
    /// or ends.
    by_id: HashMap<u32, ContextKey>,
    last_id: u32,
    effective: Option<ContextKey>,
    /// The number of contexts in [`Stage::Pending`].
    pending: usize,
    /// Contexts in [`Stage::Ended`].
    ended: Vec<ContextKey>,
    /// The contexts are those of an instance that serves one request: that request's context, and
    /// the plugin context that it belongs to.
    of_request: bool,
}

/// The id of a request's context that lives in an instance of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LentId {
    plugin: usize,
    index: usize,
    pub id: u32,
}

impl<S> Default for Contexts<S> {
    fn default() -> Self {
        Self {
            plugins: Vec::new(),
            http: Vec::new(),
            free_plugins: VecDeque::new(),
            vacant_http: Vec::new(),
            by_id: HashMap::new(),
            last_id: 0,
            effective: None,
            pending: 0,
            ended: Vec::new(),
            of_request: false,
        }
    }
}

/// The part that host functions use.
impl<S: Stream> Contexts<S> {
    /// The request of the effective context, if it is an HTTP context whose request still lives.
    pub fn effective_stream_mut(&mut self) -> Option<&mut S> {
        match self.effective? {
            ContextKey::Http(index) => self.http[index].stream.as_mut(),
            ContextKey::Plugin(_) => None,
        }
    }

    /// The same request as [`Self::effective_stream_mut`], borrowed shared.
    pub fn effective_stream(&self) -> Option<&S> {
        match self.effective? {
            ContextKey::Http(index) => self.http[index].stream.as_ref(),
            ContextKey::Plugin(_) => None,
        }
    }

    /// Who is calling: the effective context, with its plugin context and its request.
    pub fn origin(&self) -> Origin<'_, S> {
        match self.effective {
            Some(ContextKey::Http(index)) => {
                let http = &self.http[index];
                Origin { plugin_context: self.plugins[http.plugin].id, context: http.id, stream: http.stream.as_ref() }
            }
            Some(ContextKey::Plugin(index)) => {
                let id = self.plugins[index].id;
                // What an instance of a request asks for belongs to that request.
                let stream =
                    if self.of_request { self.http.first().and_then(|http| http.stream.as_ref()) } else { None };
                Origin { plugin_context: id, context: id, stream }
            }
            // The start function runs outside every context.
            None => Origin { plugin_context: 0, context: 0, stream: None },
        }
    }

    /// `proxy_set_effective_context`.
    ///
    /// # Errors
    /// `BadArgument` for an id that no living context of this VM has.
    pub fn set_effective(&mut self, id: u32) -> Result<(), Status> {
        self.effective = Some(self.find(id).ok_or(Status::BadArgument)?);
        Ok(())
    }

    /// The configuration of the effective plugin context, or of the effective HTTP context's plugin
    /// context; empty in the start function.
    pub fn plugin_configuration(&self) -> &[u8] {
        match self.effective {
            Some(ContextKey::Http(index)) => &self.plugins[self.http[index].plugin].configuration.bytes,
            Some(ContextKey::Plugin(index)) => &self.plugins[index].configuration.bytes,
            None => &[],
        }
    }

    /// The plugin of the effective context; `None` in the start function.
    pub fn plugin(&self) -> Option<&Identity> {
        let plugin = match self.effective? {
            ContextKey::Http(index) => self.http[index].plugin,
            ContextKey::Plugin(index) => index,
        };
        self.plugins[plugin].configuration.plugin.as_deref()
    }

    /// `proxy_done`: the effective context may now be logged and deleted.
    ///
    /// # Errors
    /// `NotFound` when `proxy_on_done` of this context has not returned false before.
    pub fn done(&mut self) -> Result<(), Status> {
        let key = self.effective.ok_or(Status::NotFound)?;
        let stage = self.stage_mut(key);
        if *stage != Stage::Pending {
            return Err(Status::NotFound);
        }
        *stage = Stage::Ended;
        self.pending -= 1;
        self.ended.push(key);
        Ok(())
    }
}

/// The part that the VM uses.
impl<S: Stream> Contexts<S> {
    /// The contexts of an instance that serves one request: the plugin context of that id and
    /// configuration, which the instance has not created yet. The request's context will have the
    /// id `http`.
    pub(crate) fn of_request(id: u32, configuration: Arc<Configuration>, http: u32) -> Self {
        let mut contexts = Self { of_request: true, last_id: id.wrapping_sub(1), ..Self::default() };
        contexts.register(configuration);
        contexts.last_id = http.wrapping_sub(1);
        contexts
    }

    /// Whether the contexts are those of an instance that serves one request.
    #[inline]
    pub(crate) fn is_of_request(&self) -> bool {
        self.of_request
    }

    /// Whether there has been a request's context.
    pub(crate) fn any_opened(&self) -> bool {
        !self.http.is_empty()
    }

    /// Gives away the id of an HTTP context, for one that lives in an instance of its own.
    pub(crate) fn lend(&mut self, plugin: usize) -> LentId {
        let freed = self.plugins[plugin].free.pop();
        let index = freed.unwrap_or_else(|| self.new_http_slot(plugin));
        LentId { plugin, index, id: self.http[index].id }
    }

    /// Takes back an id that was given away.
    pub(crate) fn take_back(&mut self, lent: LentId) {
        self.plugins[lent.plugin].free.push(lent.index);
    }

    /// Makes a plugin context that no instance has created yet.
    pub(crate) fn register(&mut self, configuration: Arc<Configuration>) -> usize {
        if let Some(index) = self.free_plugins.pop_front() {
            let slot = &mut self.plugins[index];
            slot.stage = Stage::Registered;
            slot.configuration = configuration;
            slot.retired = false;
            return index;
        }
        let index = self.plugins.len();
        let id = self.next_id(ContextKey::Plugin(index));
        self.plugins.push(PluginSlot {
            id,
            stage: Stage::Registered,
            configuration,
            live: 0,
            free: Vec::new(),
            retired: false,
        });
        index
    }

    /// Makes an HTTP context of a plugin context. Returns its index, its id, and the id of the
    /// plugin context.
    #[inline(always)]
    pub(crate) fn open(&mut self, plugin: usize, stream: S) -> (usize, u32, u32) {
        let owner = &mut self.plugins[plugin];
        owner.live += 1;
        let (parent, freed) = (owner.id, owner.free.pop());
        let index = freed.unwrap_or_else(|| self.new_http_slot(plugin));
        let slot = &mut self.http[index];
        slot.stage = Stage::Open;
        slot.stream = Some(stream);
        (index, slot.id, parent)
    }

    #[cold]
    fn new_http_slot(&mut self, plugin: usize) -> usize {
        let index = self.vacant_http.pop().unwrap_or(self.http.len());
        let id = self.next_id(ContextKey::Http(index));
        let slot = HttpSlot { id, stage: Stage::Free, plugin, stream: None, leaves_calls: false };
        match self.http.get_mut(index) {
            Some(vacant) => *vacant = slot,
            None => self.http.push(slot),
        }
        index
    }

    /// Makes a context the effective one; every callback begins with this.
    #[inline]
    pub(crate) fn enter(&mut self, key: ContextKey) {
        self.effective = Some(key);
    }

    pub(crate) fn id(&self, key: ContextKey) -> u32 {
        match key {
            ContextKey::Plugin(index) => self.plugins[index].id,
            ContextKey::Http(index) => self.http[index].id,
        }
    }

    pub(crate) fn stage(&self, key: ContextKey) -> Stage {
        match key {
            ContextKey::Plugin(index) => self.plugins[index].stage,
            ContextKey::Http(index) => self.http[index].stage,
        }
    }

    pub(crate) fn set_stage(&mut self, key: ContextKey, stage: Stage) {
        *self.stage_mut(key) = stage;
    }

    /// The configuration that belongs to a plugin context.
    pub(crate) fn configuration(&self, plugin: usize) -> &Arc<Configuration> {
        &self.plugins[plugin].configuration
    }

    /// Makes a context wait for `proxy_done`. The context lets go of its request, which does not
    /// wait. Returns false, and changes nothing, if too many contexts wait already.
    pub(crate) fn suspend(&mut self, key: ContextKey) -> bool {
        if self.pending >= PENDING_CONTEXTS {
            return false;
        }
        self.pending += 1;
        self.set_stage(key, Stage::Pending);
        if let ContextKey::Http(index) = key {
            self.http[index].leave();
        }
        true
    }

    /// Frees an HTTP context. Returns its plugin context if that was waiting for this last one to
    /// end.
    #[inline(always)]
    pub(crate) fn release_http(&mut self, index: usize) -> Option<usize> {
        let slot = &mut self.http[index];
        slot.stage = Stage::Free;
        slot.leave();
        info!("free http context {}", slot.id);
        let (id, plugin, leaves_calls) = (slot.id, slot.plugin, slot.leaves_calls);
        let owner = &mut self.plugins[plugin];
        owner.live -= 1;
        let ended = (owner.retired && owner.live == 0).then_some(plugin);
        if leaves_calls {
            self.by_id.remove(&id);
            self.vacant_http.push(index);
        } else {
            owner.free.push(index);
        }
        ended
    }

    /// Marks that the owner of a plugin context has dropped it. Returns true if it can end now,
    /// false if it still has HTTP contexts.
    pub(crate) fn retire(&mut self, plugin: usize) -> bool {
        let slot = &mut self.plugins[plugin];
        slot.retired = true;
        slot.live == 0
    }

    /// Frees a plugin context, and ends the ids of its HTTP contexts for good.
    pub(crate) fn release_plugin(&mut self, index: usize) {
        let slot = &mut self.plugins[index];
        slot.stage = Stage::Free;
        slot.configuration = Arc::default();
        info!("free plugin context {}", slot.id);
        for http in slot.free.drain(..) {
            self.by_id.remove(&self.http[http].id);
            self.vacant_http.push(http);
        }
        self.free_plugins.push_back(index);
    }

    #[inline]
    pub(crate) fn any_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Returns the next context that called `proxy_done` and has to be logged and deleted.
    pub(crate) fn next_ended(&mut self) -> Option<ContextKey> {
        self.ended.pop()
    }

    /// The instance is gone: its HTTP contexts end with it, and its plugin contexts wait for the
    /// next instance.
    pub(crate) fn forget_instance(&mut self) {
        self.effective = None;
        self.pending = 0;
        self.ended.clear();
        for index in 0..self.http.len() {
            if self.http[index].stage != Stage::Free {
                // The calls of the instance are gone with it.
                self.http[index].stream = None;
                self.http[index].leaves_calls = false;
                self.release_http(index);
            }
        }
        for index in 0..self.plugins.len() {
            let slot = &mut self.plugins[index];
            match slot.stage {
                Stage::Free => {}
                _ if slot.retired => self.release_plugin(index),
                _ => slot.stage = Stage::Registered,
            }
        }
    }

    /// Returns every context that exists in the instance, HTTP contexts first. They end in this
    /// order when the VM ends.
    pub(crate) fn living(&self) -> Vec<ContextKey> {
        let http = self.http.iter().enumerate().map(|(index, slot)| (ContextKey::Http(index), slot.stage));
        let plugins = self.plugins.iter().enumerate().map(|(index, slot)| (ContextKey::Plugin(index), slot.stage));
        http.chain(plugins).filter(|(_, stage)| *stage != Stage::Free).map(|(key, _)| key).collect()
    }

    /// The numbers of plugin contexts and of HTTP contexts.
    pub(crate) fn count(&self) -> (usize, usize) {
        let plugins = self.plugins.iter().filter(|slot| slot.stage != Stage::Free);
        let http = self.http.iter().filter(|slot| slot.stage != Stage::Free);
        (plugins.count(), http.count())
    }

    /// Finds a plugin context by its id, unless it is free.
    pub(crate) fn plugin_of(&self, id: u32) -> Option<usize> {
        match self.by_id.get(&id)? {
            ContextKey::Plugin(index) if self.plugins[*index].stage != Stage::Free => Some(*index),
            _ => None,
        }
    }

    /// The ids and configurations of all plugin contexts.
    pub(crate) fn registered(&self) -> Vec<(u32, Arc<Configuration>)> {
        let living = self.plugins.iter().filter(|slot| slot.stage != Stage::Free);
        living.map(|slot| (slot.id, Arc::clone(&slot.configuration))).collect()
    }

    /// The plugin contexts as an image keeps them: those that the instance has created. Empty if
    /// one of them cannot be kept.
    pub(crate) fn imaged(&self) -> Vec<ImagedContext> {
        if self.plugins.iter().any(|slot| matches!(slot.stage, Stage::Pending | Stage::Ended)) {
            return Vec::new();
        }
        let created = self.plugins.iter().filter(|slot| matches!(slot.stage, Stage::Open | Stage::Refused));
        created.map(|slot| ImagedContext::new(slot.id, &slot.configuration, slot.stage == Stage::Refused)).collect()
    }

    /// The number of requests that live in the instance, besides that of a context.
    pub(crate) fn streams_beside(&self, context: ContextKey) -> usize {
        let others = self.http.iter().enumerate().filter(|(index, _)| ContextKey::Http(*index) != context);
        others.filter(|(_, slot)| slot.stream.is_some()).count()
    }

    fn stage_mut(&mut self, key: ContextKey) -> &mut Stage {
        match key {
            ContextKey::Plugin(index) => &mut self.plugins[index].stage,
            ContextKey::Http(index) => &mut self.http[index].stage,
        }
    }

    /// Finds a context that the guest may name: one that was created in it.
    fn find(&self, id: u32) -> Option<ContextKey> {
        let key = *self.by_id.get(&id)?;
        (!matches!(self.stage(key), Stage::Free | Stage::Registered)).then_some(key)
    }

    /// Returns the next number that is not in use; 0 means "no context" in the ABI.
    fn next_id(&mut self, key: ContextKey) -> u32 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if self.last_id != 0 && !self.by_id.contains_key(&self.last_id) {
                self.by_id.insert(self.last_id, key);
                return self.last_id;
            }
        }
    }
}
