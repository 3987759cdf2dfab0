//! One running instance of a plugin: its store, its exports, and how it starts.

use std::mem;
use std::rc::Rc;
use std::sync::Arc;

use wasmtime::{Memory, Store};

use super::callbacks::{self, Callbacks};
use super::context::{ContextKey, Contexts};
use super::exports::ON_RESTORED;
use super::failure::Failure;
use super::host::Host;
use super::identity::Configuration;
use super::joined::Joined;
use super::plugin::Plugin;
use super::state::{GuestExports, VmState};
use crate::wasm::images::ImageFile;
use crate::wasm::interrupt::{self, Deadline};
use crate::wasm::{Deadlines, start, wasi};

pub(crate) struct Instance<H: Host> {
    pub store: Store<VmState<H>>,
    /// Whether the guest compares wasmtime's epoch with its deadline.
    has_checks: bool,
    pub handle: wasmtime::Instance,
    pub callbacks: Callbacks,
    pub joined: Option<Joined>,
    /// After how many more requests the callbacks are joined; 0 if they are, or cannot be.
    requests_until_joined: u32,
    /// The plugins of the VM for which `proxy_on_vm_start` has been called. It is called once for
    /// each, with its first plugin context. Most VMs have one plugin, and cost no list.
    vm_started: (Option<Arc<Configuration>>, Vec<Arc<Configuration>>),
    /// It has run nothing but its start, or was restored and has run nothing.
    pub is_fresh: bool,
    /// It was restored from an image. One that an image was made of is not reset: all of its memory
    /// was touched when it was looked through.
    pub was_restored: bool,
    /// It has served several requests, and has the pages that any of them has written.
    pub was_reset: bool,
    /// The deadline of the call, or of the last one.
    deadline: Deadline,
    /// The deadline of the guest that runs meanwhile, if a call is made from within its own.
    outer_deadline: Deadline,
    /// The image whose pages the memory consists of, where it has not written. The field comes after
    /// the store, because the image must outlive the memory.
    pub pages: Option<Rc<ImageFile>>,
}

/// The functions of an instance that the host calls.
pub(crate) struct Exports {
    handle: wasmtime::Instance,
    callbacks: Callbacks,
}

/// The requests of an instance that was restored, until its callbacks are joined. To join them costs
/// about as much as this many requests gain by it, and many an instance is restored for one request.
const REQUESTS_UNTIL_JOINED: u32 = 32;

/// Why an instance did not start: the function that failed, and how it failed.
pub(crate) type NotStarted = (&'static str, Failure);

impl<H: Host> Instance<H> {
    /// Makes an instance and runs its start functions. The contexts move into the instance; if it
    /// does not start, they stay where they are. `journal` says whether it may be imaged.
    pub fn start(
        plugin: &Plugin<H>,
        mut host: H,
        contexts: &mut Contexts<H::Stream>,
        journal: bool,
    ) -> Result<Self, NotStarted> {
        host.instance_starting();
        let mut store = plugin.store(host, mem::take(contexts));
        store.data_mut().journal = journal.then(Box::default);
        let initialized = interrupt::within(plugin.start_ticks(), || initialize(plugin, &mut store));
        wasi::flush(store.data_mut());
        match initialized {
            Ok(exports) => {
                let mut instance = Self::of(plugin, store, exports);
                instance.join(plugin);
                Ok(instance)
            }
            Err(failed) => {
                *contexts = store.into_data().contexts;
                Err(failed)
            }
        }
    }

    /// An instance that was restored from an image.
    pub fn restored(plugin: &Plugin<H>, mut store: Store<VmState<H>>, exports: Exports, pages: Rc<ImageFile>) -> Self {
        wasi::flush(store.data_mut());
        let instance = Self::of(plugin, store, exports);
        Self { was_restored: true, pages: Some(pages), requests_until_joined: REQUESTS_UNTIL_JOINED, ..instance }
    }

    fn of(plugin: &Plugin<H>, store: Store<VmState<H>>, Exports { handle, callbacks }: Exports) -> Self {
        Self {
            has_checks: plugin.engine().config().deadlines == Deadlines::Checks,
            store,
            handle,
            callbacks,
            joined: None,
            requests_until_joined: 0,
            vm_started: (None, Vec::new()),
            is_fresh: true,
            was_restored: false,
            was_reset: false,
            deadline: Deadline::NONE,
            outer_deadline: Deadline::NONE,
            pages: None,
        }
    }

    /// Notes that a plugin context is there. Returns whether it is the first of its plugin.
    pub fn begins_vm(&mut self, plugin: ContextKey) -> bool {
        let ContextKey::Plugin(index) = plugin else { return false };
        let configuration = Arc::clone(self.contexts().configuration(index));
        let (first, others) = &mut self.vm_started;
        let is_first = first.iter().chain(&*others).all(|known| known.names().0 != configuration.names().0);
        match first {
            _ if !is_first => {}
            None => *first = Some(configuration),
            Some(_) => others.push(configuration),
        }
        is_first
    }

    /// Notes that a request comes.
    #[inline]
    pub fn stream_opens(&mut self, plugin: &Plugin<H>) {
        if self.requests_until_joined > 0 {
            self.requests_until_joined -= 1;
            if self.requests_until_joined == 0 {
                self.join(plugin);
            }
        }
    }

    /// Joins the callbacks, if they can be.
    #[cold]
    fn join(&mut self, plugin: &Plugin<H>) {
        let places = &plugin.places().callbacks;
        self.joined = Joined::beside(&self.handle, places, plugin.engine(), &mut self.store);
        self.store.data_mut().apart = self.joined.as_ref().map(|joined| joined.apart);
    }

    /// The linear memory.
    pub fn memory(&self) -> Option<Memory> {
        self.store.data().guest.as_ref().map(|guest| guest.memory)
    }

    /// Begins a call: makes its context effective and starts its deadline; without `ticks`, the
    /// previous call's deadline continues. Returns whether to measure the call.
    #[inline]
    pub fn enter(&mut self, effective: ContextKey, ticks: Option<u64>) -> bool {
        if let Some(ticks) = ticks {
            if self.has_checks {
                self.store.set_epoch_deadline(ticks);
            }
            self.deadline = Deadline::after(ticks);
        }
        self.outer_deadline = self.deadline.begin();
        let state = self.store.data_mut();
        state.contexts.enter(effective);
        state.host.guest_entered()
    }

    /// Ends a call, of one callback or of several.
    #[inline(always)]
    pub fn leave(&mut self, callbacks: usize, returned: bool, measured: bool) {
        self.outer_deadline.begin();
        let memory_size = measured.then(|| self.memory_size());
        self.store.data_mut().host.guest_left(callbacks, returned, memory_size);
    }

    #[inline]
    pub fn contexts(&mut self) -> &mut Contexts<H::Stream> {
        &mut self.store.data_mut().contexts
    }

    /// The size of the linear memory, in bytes.
    pub fn memory_size(&self) -> usize {
        self.memory().map_or(0, |memory| memory.data_size(&self.store))
    }

    /// How many bytes of the memory are an image's, which other processes share; `None` if there is no
    /// image, or the system does not tell.
    pub fn shared_memory(&self) -> Option<usize> {
        self.pages.as_ref()?.shared_in(self.memory()?.data(&self.store)).ok()
    }

    /// Ends the instance and returns its contexts, which outlive it.
    pub fn into_contexts(self) -> Contexts<H::Stream> {
        self.store.into_data().contexts
    }
}

/// Spec, "Integration": makes the instance, and runs its start functions.
fn initialize<H: Host>(plugin: &Plugin<H>, store: &mut Store<VmState<H>>) -> Result<Exports, NotStarted> {
    let instantiated = plugin.instance_pre().instantiate(&mut *store);
    let instance = instantiated.map_err(|error| (start::START_SECTION, Failure::start(&error, plugin.name())))?;

    let Some(memory) = plugin.places().memory(&instance, store) else {
        return Err((start::START_SECTION, Failure::Start("it exports no memory".into())));
    };
    let exports = exports(plugin, instance, memory, store);
    start::run(&instance, store).map_err(|(function, error)| (function, Failure::of(&error, plugin.name())))?;
    Ok(exports)
}

/// Looks up what an instance exports, and lets host functions know it.
pub(crate) fn exports<H: Host>(
    plugin: &Plugin<H>,
    handle: wasmtime::Instance,
    memory: Memory,
    store: &mut Store<VmState<H>>,
) -> Exports {
    let places = plugin.places();
    let allocate = places.allocate.and_then(|export| callbacks::typed(&handle, store, &export).ok()).map(Arc::new);
    store.data_mut().guest = Some(GuestExports { memory, allocate });
    Exports { handle, callbacks: Callbacks::of(handle, &places.callbacks) }
}

/// Tells the guest that it was restored, if it wants to know: it can draw random numbers anew.
pub(crate) fn on_restored<H: Host>(
    handle: &wasmtime::Instance,
    plugin: &Plugin<H>,
    store: &mut Store<VmState<H>>,
) -> Result<(), NotStarted> {
    let Some(export) = plugin.places().on_restored else { return Ok(()) };
    let Ok(function) = callbacks::typed::<(), (), _>(handle, store, &export) else { return Ok(()) };
    let result = interrupt::within(plugin.start_ticks(), || function.call(&mut *store, ()));
    result.map_err(|error| (ON_RESTORED, Failure::of(&error, plugin.name())))
}
