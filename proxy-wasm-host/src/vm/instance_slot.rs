//! The running instance of a plugin: starts it, calls it, throws it away when it fails, and begins
//! and ends contexts in it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, mem};

use tracing::{error, info, warn};
use wasmtime::Store;

use super::VmStatus;
use super::images::VmImages;
use super::spares::Spares;
use crate::abi::Action;
use crate::backoff::{Backoff, Stopwatch};
use crate::callbacks::Callback;
use crate::context::{ContextKey, Contexts, LentId, Stage};
use crate::failure::{CallFailed, Culprit, Failure, Told};
use crate::host::{Blame, FailedContext, Host};
use crate::identity::Configuration;
use crate::instance::Instance;
use crate::joined::{self, End, Joined};
use crate::limits::PENDING_CONTEXTS;
use crate::plugin::Plugin;
use crate::state::VmState;
use crate::wasm::wasi;

/// The ABI's `bool`.
const FALSE: u32 = 0;
const TRUE: u32 = 1;

/// The result in place of a callback that the plugin does not have.
pub(super) const CONTINUE: i32 = Action::CONTINUE;

/// The place for a plugin's running instance, with its contexts and the time of the next start.
pub(super) struct InstanceSlot<H: Host> {
    pub plugin: Arc<Plugin<H>>,
    make_host: Rc<dyn Fn() -> H>,
    pub(super) instance: Option<Instance<H>>,
    /// The contexts, while there is no instance to hold them.
    pub(super) idle: Contexts<H::Stream>,
    /// Counts the instances. A context of an earlier instance is gone.
    generation: u32,
    backoff: Backoff,
    pub(super) counts: Rc<Counts>,
    pub(super) images: Option<VmImages>,
    /// Instances that requests of the VM have left.
    pub(super) spares: Rc<Spares<H>>,
    deadline: Deadline,
    told_of_pending: Told,
    told_of_cost: Told,
    culprit: Rc<Cell<Option<Culprit>>>,
}

/// What is counted of a VM's instances.
#[derive(Default)]
pub(super) struct Counts {
    pub starts: Cell<u64>,
    pub restores: Cell<u64>,
    pub failures: Cell<u64>,
    /// The instances of single requests that there are now.
    pub own: Cell<usize>,
}

impl Counts {
    pub fn add(count: &Cell<u64>) {
        count.set(count.get() + 1);
    }
}

/// When the deadline of a call starts to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deadline {
    /// Each call has its own deadline.
    Each,
    /// The next call starts a deadline, which the calls after it share.
    Next,
    /// The shared deadline runs already.
    Running,
}

/// An HTTP context that was made: its index, its id, the id of its plugin context, and the
/// generation of its instance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    pub index: usize,
    pub id: u32,
    parent: u32,
    pub generation: u32,
}

/// A context that its owner dropped.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    Plugin(usize),
    Http(Opened),
    /// An HTTP context that had this id in an instance of its own.
    Lent(LentId),
}

impl<H: Host> InstanceSlot<H> {
    pub fn new(
        plugin: Arc<Plugin<H>>,
        make_host: Rc<dyn Fn() -> H>,
        culprit: Rc<Cell<Option<Culprit>>>,
        counts: Rc<Counts>,
    ) -> Self {
        Self {
            plugin,
            make_host,
            instance: None,
            idle: Contexts::default(),
            generation: 0,
            backoff: Backoff::default(),
            counts,
            images: None,
            spares: Rc::default(),
            deadline: Deadline::Each,
            told_of_pending: Told::default(),
            told_of_cost: Told::default(),
            culprit,
        }
    }

    /// Makes a slot for the instance of one request, which has the plugin context of that id and
    /// configuration. The request's context will have the id `http`.
    pub fn of_request(&self, id: u32, configuration: Arc<Configuration>, http: u32) -> Self {
        let (make_host, counts) = (Rc::clone(&self.make_host), Rc::clone(&self.counts));
        // Nobody else lives in the instance, so nobody asks who ended it.
        let mut slot = Self::new(Arc::clone(&self.plugin), make_host, Rc::default(), counts);
        slot.spares = Rc::clone(&self.spares);
        slot.idle = Contexts::of_request(id, configuration, http);
        slot
    }

    /// Makes the host of an instance.
    pub(super) fn host(&self) -> H {
        let mut host = (self.make_host)();
        if self.idle.is_of_request() {
            host.serve_request();
        }
        host
    }

    #[inline]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    #[inline]
    pub fn contexts(&mut self) -> &mut Contexts<H::Stream> {
        match &mut self.instance {
            Some(instance) => instance.contexts(),
            None => &mut self.idle,
        }
    }

    pub fn status(&mut self) -> VmStatus {
        let (plugin_contexts, http_contexts) = self.contexts().count();
        VmStatus {
            running: self.instance.is_some(),
            retry_in: self.backoff.wait(Instant::now()).filter(|_| self.instance.is_none()),
            failures: self.counts.failures.get(),
            starts: self.counts.starts.get(),
            memory_size: self.instance.as_ref().map_or(0, Instance::memory_size),
            plugin_contexts,
            http_contexts: http_contexts + self.counts.own.get(),
            instances: usize::from(self.instance.is_some()) + self.counts.own.get(),
            spare_instances: self.spares.len(),
        }
    }

    /// Calls the guest in a context. If the call does not return, the instance ends. Part of its
    /// callers, which would otherwise hand over all that the call takes by the stack.
    #[inline(always)]
    pub fn call<R>(
        &mut self,
        effective: ContextKey,
        callback: Callback,
        call: impl FnOnce(&mut Instance<H>) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        let ticks = self.ticks(callback);
        let Some(instance) = &mut self.instance else { return Err(Failure::Gone) };
        let measured = instance.enter(effective, ticks);
        let result = call(instance);
        instance.leave(1, result.is_ok(), measured);
        wasi::flush(instance.store.data_mut());
        result.map_err(|error| self.fail(callback, effective, &error))
    }

    /// Does the same as [`InstanceSlot::call`] if the plugin has the callback; else returns
    /// `missing`.
    #[inline]
    fn call_or<R>(
        &mut self,
        missing: R,
        effective: ContextKey,
        callback: Callback,
        call: impl FnOnce(&mut Instance<H>) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        if self.plugin.has(callback) { self.call(effective, callback, call) } else { Ok(missing) }
    }

    /// Does the same as [`InstanceSlot::call`] for several callbacks in one crossing. `ran` reads
    /// from the result how many of them have run. Returns `None` for a plugin whose callbacks are
    /// not joined.
    #[inline(always)]
    fn call_joined<R>(
        &mut self,
        effective: ContextKey,
        callbacks: &[Callback],
        call: impl FnOnce(&Joined, &mut Store<VmState<H>>) -> wasmtime::Result<R>,
        ran: impl FnOnce(&R) -> usize,
    ) -> Result<Option<R>, Failure> {
        let ticks = self.ticks(callbacks[0]);
        let Some(instance) = &mut self.instance else { return Err(Failure::Gone) };
        if instance.joined.is_none() {
            return Ok(None);
        }
        let measured = instance.enter(effective, ticks);
        let Some(joined) = &instance.joined else { return Ok(None) };
        let result = call(joined, &mut instance.store);
        let ran = match &result {
            Ok(result) => ran(result),
            Err(_) => joined.returned(&mut instance.store) + 1,
        };
        instance.leave(ran, result.is_ok(), measured);
        wasi::flush(instance.store.data_mut());
        result.map(Some).map_err(|error| self.fail(callbacks[callbacks.len().min(ran) - 1], effective, &error))
    }

    /// The deadline of a call that begins now; `None` if the shared deadline runs already.
    #[inline]
    fn ticks(&mut self, callback: Callback) -> Option<u64> {
        match self.deadline {
            Deadline::Each => {}
            Deadline::Next => self.deadline = Deadline::Running,
            Deadline::Running => return None,
        }
        Some(self.plugin.ticks(callback))
    }

    /// Runs a function whose calls of the guest share one deadline.
    fn in_one_deadline(&mut self, run: impl FnOnce(&mut Self)) {
        let before = mem::replace(&mut self.deadline, Deadline::Next);
        run(self);
        self.deadline = before;
    }

    /// Starts a plugin context: makes an instance if there is none, and the context in it.
    #[inline]
    pub fn start(&mut self, plugin: usize) -> Result<(), Failure> {
        match self.contexts().stage(ContextKey::Plugin(plugin)) {
            Stage::Open => Ok(()),
            Stage::Refused => Err(Failure::Refused(Callback::OnConfigure)),
            _ => self.create_plugin_context(plugin),
        }
    }

    #[cold]
    fn create_plugin_context(&mut self, plugin: usize) -> Result<(), Failure> {
        let configuration = Arc::clone(self.contexts().configuration(plugin));
        self.backoff.configure(&configuration, Instant::now())?;
        self.start_instance()?;
        // An instance that was restored may have this context already.
        if self.contexts().stage(ContextKey::Plugin(plugin)) != Stage::Registered {
            return self.start(plugin);
        }
        self.continue_journal();
        let watch = Stopwatch::start();
        let result = self.configure(plugin, &configuration);
        self.backoff.took(watch.took(), Instant::now());
        result
    }

    /// Creates and configures a plugin context in the running instance.
    fn configure(&mut self, plugin: usize, configuration: &Arc<Configuration>) -> Result<(), Failure> {
        let key = ContextKey::Plugin(plugin);
        let contexts = self.contexts();
        contexts.set_stage(key, Stage::Open);
        let id = contexts.id(key);
        let configuration_size = size(&configuration.bytes);

        self.call_or((), key, Callback::OnContextCreate, |instance| {
            instance.callbacks.on_context_create.call(&mut instance.store, (id, 0), ())
        })
        .inspect_err(|_| self.configuration_failed(configuration))?;
        self.start_vm(key, id).inspect_err(|_| self.start_failed())?;
        let configured = self
            .call_or(TRUE, key, Callback::OnConfigure, |instance| {
                instance.callbacks.on_configure.call(&mut instance.store, (id, configuration_size), TRUE)
            })
            .inspect_err(|_| self.configuration_failed(configuration))?;
        if configured == FALSE {
            self.complain(format_args!("failed to configure plugin context {id}, rc: 0"));
            self.contexts().set_stage(key, Stage::Refused);
            return Err(Failure::Refused(Callback::OnConfigure));
        }
        self.backoff.configured(configuration);
        self.tell_of_plugin_context(id);
        Ok(())
    }

    /// Logs that a plugin context was created. An instance of a request creates one for each request.
    pub(super) fn tell_of_plugin_context(&mut self, id: u32) {
        if !self.contexts().is_of_request() {
            info!("create plugin context {id}");
        }
    }

    fn start_instance(&mut self) -> Result<(), Failure> {
        if self.instance.is_some() {
            return Ok(());
        }
        // Restoring runs nothing of the plugin, and takes no time to speak of.
        if self.restore() {
            return Ok(());
        }
        self.backoff.start(Instant::now())?;
        let watch = Stopwatch::start();
        let journal = self.wants_image();
        let started = Instance::start(&self.plugin, self.host(), &mut self.idle, journal);
        self.backoff.took(watch.took(), Instant::now());
        match started {
            Ok(mut instance) => {
                instance.store.data_mut().host.instance_started();
                self.instance = Some(instance);
                Counts::add(&self.counts.starts);
                Ok(())
            }
            Err((function, failure)) => {
                self.report(function, 0, &failure);
                Counts::add(&self.counts.failures);
                self.start_failed();
                if let Some(images) = &mut self.images {
                    images.forget_claim();
                }
                Err(failure)
            }
        }
    }

    /// Calls `proxy_on_vm_start`, once per instance for each plugin of the VM, with its first plugin
    /// context.
    fn start_vm(&mut self, key: ContextKey, id: u32) -> Result<(), Failure> {
        let Some(instance) = self.instance.as_mut() else { return Ok(()) };
        if !instance.begins_vm(key) {
            return Ok(());
        }
        let size = size(&self.plugin.identity().vm_configuration);
        let started = self.call_or(TRUE, key, Callback::OnVmStart, |instance| {
            instance.callbacks.on_vm_start.call(&mut instance.store, (id, size), TRUE)
        })?;
        if started == FALSE {
            let failure = Failure::Refused(Callback::OnVmStart);
            error!("failed to start the VM of plugin \"{}\": {failure}", self.plugin.name());
            self.drop_instance();
            return Err(failure);
        }
        self.backoff.started();
        Ok(())
    }

    /// Makes the context of a request: `proxy_on_context_create`.
    pub fn open(&mut self, plugin: usize, stream: H::Stream) -> Result<Opened, Failure> {
        let opened = self.register_http(plugin, stream)?;
        self.create(opened)?;
        Ok(opened)
    }

    /// Does the same as [`InstanceSlot::open`], then calls `proxy_on_request_headers` and returns
    /// its result.
    #[inline(always)]
    pub fn open_with_request_headers(
        &mut self,
        plugin: usize,
        stream: H::Stream,
        (num_headers, end_of_stream): (u32, bool),
    ) -> Result<(Opened, i32), Failure> {
        let opened = self.register_http(plugin, stream)?;
        let Opened { index, id, parent, .. } = opened;
        let key = ContextKey::Http(index);
        let begun = self.call_joined(
            key,
            joined::BEGIN,
            |joined, store| joined.begin(store, (id, parent), (num_headers, end_of_stream)),
            |action| 1 + usize::from(action.is_some()),
        )?;
        if begun.is_none() {
            self.create(opened)?;
        }
        let action = match begun.flatten() {
            Some(action) => action,
            None => self.request_headers(key, (id, num_headers, end_of_stream.into()))?,
        };
        Ok((opened, action))
    }

    #[inline(always)]
    fn register_http(&mut self, plugin: usize, stream: H::Stream) -> Result<Opened, Failure> {
        self.start(plugin)?;
        if self.instance.as_ref().is_some_and(|instance| instance.is_fresh) {
            self.leave_start();
        }
        let Some(instance) = &mut self.instance else { return Err(Failure::Gone) };
        instance.stream_opens(&self.plugin);
        let state = instance.store.data_mut();
        let (index, id, parent) = state.contexts.open(plugin, stream);
        state.host.stream_opened();
        info!("create http context {id}");
        Ok(Opened { index, id, parent, generation: self.generation })
    }

    fn create(&mut self, Opened { index, id, parent, .. }: Opened) -> Result<(), Failure> {
        self.call_or((), ContextKey::Http(index), Callback::OnContextCreate, |instance| {
            instance.callbacks.on_context_create.call(&mut instance.store, (id, parent), ())
        })
    }

    /// Calls `proxy_on_request_headers`.
    fn request_headers(&mut self, key: ContextKey, params: (u32, u32, u32)) -> Result<i32, Failure> {
        self.call_or(CONTINUE, key, Callback::OnRequestHeaders, |instance| {
            instance.callbacks.on_request_headers.call(&mut instance.store, params, CONTINUE)
        })
    }

    /// Ends a context that its owner dropped.
    #[inline(always)]
    pub fn end(&mut self, ending: Ending) {
        match ending {
            // The context ended with its instance.
            Ending::Http(opened) if opened.generation != self.generation => {}
            Ending::Http(opened) => self.finish(ContextKey::Http(opened.index), opened.id),
            Ending::Lent(lent) => self.contexts().take_back(lent),
            Ending::Plugin(index) => {
                if self.contexts().retire(index) {
                    self.finish_plugin(index);
                }
            }
        }
    }

    #[cold]
    fn finish_plugin(&mut self, index: usize) {
        // An image would have a context that is ending.
        if let Some(instance) = &mut self.instance {
            instance.is_fresh = false;
        }
        let key = ContextKey::Plugin(index);
        let contexts = self.contexts();
        let id = contexts.id(key);
        match contexts.stage(key) {
            // The running instance has not created this context.
            Stage::Registered => self.release(key),
            _ => self.finish(key, id),
        }
    }

    /// Spec, "Context lifecycle": calls `proxy_on_done`; if it returns true, calls `proxy_on_log`
    /// and `proxy_on_delete`.
    #[inline(always)]
    fn finish(&mut self, key: ContextKey, id: u32) {
        let ended = self.call_joined(key, joined::END, |joined, store| joined.end(store, id), |end| end.callbacks());
        match ended.transpose().unwrap_or_else(|| self.done(key, id)) {
            // Nothing will call `proxy_done`, because the instance ends.
            Ok(End::NotDone) if self.contexts().is_of_request() => self.log_and_delete(key),
            Ok(End::NotDone) if self.contexts().suspend(key) => {}
            Ok(End::NotDone) => {
                self.tell_of_pending();
                self.log_and_delete(key);
            }
            Ok(End::Done) => self.log_and_delete(key),
            Ok(End::Logged) => self.delete(key),
            Ok(End::Deleted) => self.release(key),
            // The instance is gone, and the context with it.
            Err(_) => {}
        }
    }

    fn done(&mut self, key: ContextKey, id: u32) -> Result<End, Failure> {
        let done = self.call_or(TRUE, key, Callback::OnDone, |instance| {
            instance.callbacks.on_done.call(&mut instance.store, id, TRUE)
        });
        done.map(|done| if done == FALSE { End::NotDone } else { End::Done })
    }

    fn log_and_delete(&mut self, key: ContextKey) {
        let id = self.contexts().id(key);
        let logged = self
            .call_or((), key, Callback::OnLog, |instance| instance.callbacks.on_log.call(&mut instance.store, id, ()));
        // If the callback failed, the instance is gone, and the context with it.
        if logged.is_ok() {
            self.delete(key);
        }
    }

    fn delete(&mut self, key: ContextKey) {
        let id = self.contexts().id(key);
        let deleted = self.call_or((), key, Callback::OnDelete, |instance| {
            instance.callbacks.on_delete.call(&mut instance.store, id, ())
        });
        if deleted.is_ok() {
            self.release(key);
        }
    }

    #[inline(always)]
    fn release(&mut self, key: ContextKey) {
        match key {
            ContextKey::Plugin(index) => self.contexts().release_plugin(index),
            ContextKey::Http(index) => {
                if let Some(plugin) = self.contexts().release_http(index) {
                    self.finish_plugin(plugin);
                }
            }
        }
    }

    /// Returns whether there are contexts for [`InstanceSlot::delete_ended`].
    #[inline]
    pub fn any_ended(&mut self) -> bool {
        self.contexts().any_ended()
    }

    /// Logs and deletes the contexts that called `proxy_done`: one callback may have done so for
    /// any number of them.
    pub fn delete_ended(&mut self) {
        self.in_one_deadline(|slot| {
            while let Some(key) = slot.contexts().next_ended() {
                slot.log_and_delete(key);
            }
        });
    }

    /// Ends every context that waits for a `proxy_done`, which will not come any more.
    pub fn end_all(&mut self) {
        self.in_one_deadline(|slot| {
            for key in slot.contexts().living() {
                // A context may have ended meanwhile, with another one or with the instance.
                if slot.contexts().stage(key) == Stage::Pending {
                    let id = slot.contexts().id(key);
                    slot.complain(format_args!("failed to mark context {id} as done, rc: 0"));
                    slot.log_and_delete(key);
                }
            }
        });
    }

    #[cold]
    fn fail(&mut self, callback: Callback, context: ContextKey, error: &wasmtime::Error) -> Failure {
        let failure = Failure::of(error, self.plugin.name());
        let id = self.contexts().id(context);
        self.report(callback.name(), id, &failure);
        match callback {
            Callback::OnContextCreate => self.complain(format_args!("failed to create context {id}, rc: -1")),
            Callback::OnConfigure => self.complain(format_args!("failed to configure plugin context {id}, rc: -1")),
            Callback::OnDone => self.complain(format_args!("failed to mark context {id} as done, rc: -1")),
            Callback::OnDelete => self.complain(format_args!("failed to delete context {id}, rc: -1")),
            _ => {}
        }
        self.culprit.set(Some(Culprit { callback, context: id }));
        let blame = self.blame(callback, context);
        if let Some(instance) = &mut self.instance {
            instance.store.data_mut().host.instance_failed(blame);
        }
        self.drop_instance();
        self.tell_of_cost(blame.by);
        failure
    }

    /// Returns who made the instance fail, and how many other requests it ends.
    fn blame(&mut self, callback: Callback, context: ContextKey) -> Blame {
        let contexts = self.contexts();
        let collateral = contexts.streams_beside(context);
        let by = match context {
            ContextKey::Http(_) => FailedContext::Http,
            ContextKey::Plugin(_)
                if matches!(callback, Callback::OnContextCreate | Callback::OnVmStart | Callback::OnConfigure) =>
            {
                FailedContext::Starting
            }
            ContextKey::Plugin(_) => FailedContext::Plugin(contexts.id(context)),
        };
        Blame { by, collateral }
    }

    /// Says how long the next start has to wait because of what starts cost. A start that failed is
    /// told of elsewhere.
    fn tell_of_cost(&self, failed: FailedContext) {
        let now = Instant::now();
        if failed != FailedContext::Starting
            && let Some(wait) = self.backoff.wait_for_share(now)
            && self.told_of_cost.again(now)
        {
            let (name, wait) = (self.plugin.name(), rounded(wait));
            warn!("plugin \"{name}\" failed, and starting it takes long: it is not started again for {wait:?}");
        }
    }

    fn report(&self, function: &str, context: u32, failure: &Failure) {
        error!("{}", CallFailed { plugin: self.plugin.name(), function, context, failure });
    }

    /// Logs what happened to a context and which plugin it belongs to. Other hosts use the same
    /// words, so that existing log searches find them.
    fn complain(&self, what: fmt::Arguments<'_>) {
        error!("{what}, plugin: {}", self.plugin.name());
    }

    #[cold]
    fn tell_of_pending(&self) {
        if self.told_of_pending.again(Instant::now()) {
            self.complain(format_args!("{PENDING_CONTEXTS} contexts wait for proxy_done, more end without it"));
        }
    }

    /// Drops an instance that has failed.
    fn drop_instance(&mut self) {
        self.renew();
        Counts::add(&self.counts.failures);
    }

    /// Drops the instance.
    pub fn renew(&mut self) {
        if let Some(instance) = self.instance.take() {
            self.idle = instance.into_contexts();
            self.idle.forget_instance();
        }
        if let Some(images) = &mut self.images {
            images.forget_claim();
        }
        self.generation = self.generation.wrapping_add(1);
    }

    // One line per failure. The requests that come meanwhile do not log again.

    fn start_failed(&mut self) {
        if let Some(wait) = self.backoff.start_failed(Instant::now()) {
            warn!("plugin \"{}\" fails again and again, it is not tried for {wait:?}", self.plugin.name());
        }
    }

    fn configuration_failed(&mut self, configuration: &Arc<Configuration>) {
        if let Some(wait) = self.backoff.configuration_failed(configuration, Instant::now()) {
            let name = self.plugin.name();
            warn!("plugin \"{name}\" fails again and again with a configuration, which is not tried for {wait:?}");
        }
    }
}

/// Whole milliseconds, for people.
fn rounded(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// A length in the ABI's 32 bits; nginx cannot read a configuration of 4 GiB.
fn size(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
