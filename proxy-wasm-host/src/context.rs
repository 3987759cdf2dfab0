//! Contexts and their ids: which exist in an instance, whose they are, and which one is effective.
//!
//! Spec v0.2.1, "Context lifecycle". Ids count from 1 for plugin and HTTP contexts together. A plugin context takes a freed
//! plugin id, oldest first, else the next number; an HTTP context takes a freed id of its plugin context, else the next number;
//! with a plugin context the ids of its HTTP contexts go. So in the steady state a request's context costs no allocation and
//! no look-up: it is an index into a slab, and its id is written there.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tracing::info;

use super::abi::Status;
use super::host::Origin;

/// Where a context stands in the slab of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContextKey {
    Plugin(usize),
    Http(usize),
}

/// How far a context has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No context; its id waits to be used again.
    Free,
    /// A plugin context that the running instance has not seen yet.
    Registered,
    /// Created in the running instance, and in use.
    Open,
    /// A plugin context whose configuration the plugin refused.
    Refused,
    /// `proxy_on_done` said false: the plugin will call `proxy_done`.
    Pending,
    /// `proxy_done` was called: log and delete follow when the guest has returned.
    Ended,
}

struct PluginSlot {
    id: u32,
    stage: Stage,
    configuration: Arc<[u8]>,
    /// HTTP contexts that are not free.
    live: usize,
    /// Free HTTP contexts, by index; the last freed is used first, its slot being warm.
    free: Vec<usize>,
    /// Its owner let go of it; it ends with its last HTTP context.
    retired: bool,
}

struct HttpSlot<S> {
    id: u32,
    stage: Stage,
    plugin: usize,
    /// The request, until it is over.
    stream: Option<S>,
}

/// Every context of a VM. Outlives the instance, so that a plugin context keeps its id when the instance is replaced.
pub struct Contexts<S> {
    plugins: Vec<PluginSlot>,
    http: Vec<HttpSlot<S>>,
    /// Freed plugin contexts, oldest first.
    free_plugins: VecDeque<usize>,
    /// Slots whose id went with their plugin context.
    vacant_http: Vec<usize>,
    /// For ids that come from the guest; changes only when an id is first used or goes.
    by_id: HashMap<u32, ContextKey>,
    last_id: u32,
    effective: Option<ContextKey>,
    /// Contexts in [`Stage::Ended`].
    ended: Vec<ContextKey>,
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
            ended: Vec::new(),
        }
    }
}

/// What host functions ask.
impl<S> Contexts<S> {
    /// The request of the effective context, if it is an HTTP context whose request still lives.
    pub fn effective_stream_mut(&mut self) -> Option<&mut S> {
        match self.effective? {
            ContextKey::Http(index) => self.http[index].stream.as_mut(),
            ContextKey::Plugin(_) => None,
        }
    }

    /// As [`Self::effective_stream_mut`].
    pub fn effective_stream(&self) -> Option<&S> {
        match self.effective? {
            ContextKey::Http(index) => self.http[index].stream.as_ref(),
            ContextKey::Plugin(_) => None,
        }
    }

    /// The effective context, as what a call from it is told by.
    pub fn origin(&self) -> Origin<'_, S> {
        match self.effective {
            Some(ContextKey::Http(index)) => {
                let http = &self.http[index];
                Origin { plugin_context: self.plugins[http.plugin].id, context: http.id, stream: http.stream.as_ref() }
            }
            Some(ContextKey::Plugin(index)) => {
                let id = self.plugins[index].id;
                Origin { plugin_context: id, context: id, stream: None }
            }
            // The start function runs in no context.
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

    /// The configuration of the plugin context that the effective context is, or belongs to; empty in the start function.
    pub fn plugin_configuration(&self) -> &[u8] {
        match self.effective {
            Some(ContextKey::Http(index)) => &self.plugins[self.http[index].plugin].configuration,
            Some(ContextKey::Plugin(index)) => &self.plugins[index].configuration,
            None => &[],
        }
    }

    /// `proxy_done`: the effective context may be logged and deleted.
    ///
    /// # Errors
    /// `NotFound` when its `proxy_on_done` did not say false before.
    pub fn done(&mut self) -> Result<(), Status> {
        let key = self.effective.ok_or(Status::NotFound)?;
        let stage = self.stage_mut(key);
        if *stage != Stage::Pending {
            return Err(Status::NotFound);
        }
        *stage = Stage::Ended;
        self.ended.push(key);
        Ok(())
    }
}

/// What the VM does with them.
impl<S> Contexts<S> {
    /// Makes a plugin context that no instance has seen yet.
    pub(crate) fn register(&mut self, configuration: Arc<[u8]>) -> usize {
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

    /// Makes an HTTP context of a plugin context: answers where it stands, its id and that of the plugin context.
    #[inline]
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
        let slot = HttpSlot { id, stage: Stage::Free, plugin, stream: None };
        match self.http.get_mut(index) {
            Some(vacant) => *vacant = slot,
            None => self.http.push(slot),
        }
        index
    }

    /// Makes a context the effective one: what every callback begins with.
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

    /// The configuration of a plugin context.
    pub(crate) fn configuration(&self, plugin: usize) -> &Arc<[u8]> {
        &self.plugins[plugin].configuration
    }

    /// Lets a context wait for `proxy_done`; its request, if it has one, does not wait with it.
    pub(crate) fn suspend(&mut self, key: ContextKey) {
        self.set_stage(key, Stage::Pending);
        if let ContextKey::Http(index) = key {
            self.http[index].stream = None;
        }
    }

    /// Frees an HTTP context. Tells its plugin context if that waited for nothing else to end.
    pub(crate) fn release_http(&mut self, index: usize) -> Option<usize> {
        let slot = &mut self.http[index];
        slot.stage = Stage::Free;
        slot.stream = None;
        info!("free http context {}", slot.id);
        let plugin = slot.plugin;
        let owner = &mut self.plugins[plugin];
        owner.live -= 1;
        owner.free.push(index);
        (owner.retired && owner.live == 0).then_some(plugin)
    }

    /// The owner of a plugin context lets go of it: true if it can end now, false if HTTP contexts of it still live.
    pub(crate) fn retire(&mut self, plugin: usize) -> bool {
        let slot = &mut self.plugins[plugin];
        slot.retired = true;
        slot.live == 0
    }

    /// Frees a plugin context, and the ids of its HTTP contexts for good.
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

    /// The next context that called `proxy_done` and waits to be logged and deleted.
    pub(crate) fn next_ended(&mut self) -> Option<ContextKey> {
        self.ended.pop()
    }

    /// The instance is gone: its HTTP contexts end with it, its plugin contexts wait for the next one.
    pub(crate) fn forget_instance(&mut self) {
        self.effective = None;
        self.ended.clear();
        for index in 0..self.http.len() {
            if self.http[index].stage != Stage::Free {
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

    /// Every context that exists in the instance, HTTP contexts first: the order in which they end with the VM.
    pub(crate) fn living(&self) -> Vec<ContextKey> {
        let http = self.http.iter().enumerate().map(|(index, slot)| (ContextKey::Http(index), slot.stage));
        let plugins = self.plugins.iter().enumerate().map(|(index, slot)| (ContextKey::Plugin(index), slot.stage));
        http.chain(plugins).filter(|(_, stage)| *stage != Stage::Free).map(|(key, _)| key).collect()
    }

    /// How many plugin contexts and HTTP contexts there are.
    pub(crate) fn count(&self) -> (usize, usize) {
        let plugins = self.plugins.iter().filter(|slot| slot.stage != Stage::Free);
        let http = self.http.iter().filter(|slot| slot.stage != Stage::Free);
        (plugins.count(), http.count())
    }

    fn stage_mut(&mut self, key: ContextKey) -> &mut Stage {
        match key {
            ContextKey::Plugin(index) => &mut self.plugins[index].stage,
            ContextKey::Http(index) => &mut self.http[index].stage,
        }
    }

    /// A context the guest may name: one that it knows of.
    fn find(&self, id: u32) -> Option<ContextKey> {
        let key = *self.by_id.get(&id)?;
        (!matches!(self.stage(key), Stage::Free | Stage::Registered)).then_some(key)
    }

    /// The next number that is not in use; 0 means "no context" in the ABI.
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
