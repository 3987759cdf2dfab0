//! One running instance of a plugin: its store, its exports, and how it starts.

use std::mem;
use std::sync::Arc;

use wasmtime::{Memory, Store};

use super::callbacks::Callbacks;
use super::context::{ContextKey, Contexts};
use super::failure::Failure;
use super::host::Host;
use super::joined::Joined;
use super::plugin::Plugin;
use super::state::{GuestExports, VmState};
use crate::wasm::{start, wasi};

pub(crate) struct Instance<H: Host> {
    pub store: Store<VmState<H>>,
    pub callbacks: Callbacks,
    pub joined: Option<Joined>,
    /// `proxy_on_vm_start` has been called. It is called once, with the first plugin context.
    pub vm_started: bool,
}

/// Why an instance did not start: the function that failed, and how it failed.
pub(crate) type NotStarted = (&'static str, Failure);

impl<H: Host> Instance<H> {
    /// Makes an instance and runs its start functions. The contexts move into the instance; if it
    /// does not start, they stay where they are.
    pub fn start(plugin: &Plugin<H>, host: H, contexts: &mut Contexts<H::Stream>) -> Result<Self, NotStarted> {
        let state = plugin.state(host, mem::take(contexts));
        let mut store = Store::new(plugin.engine().wasmtime(), state);
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(plugin.start_ticks());
        let initialized = initialize(plugin, &mut store);
        wasi::flush(store.data_mut());
        match initialized {
            Ok((callbacks, joined)) => Ok(Self { store, callbacks, joined, vm_started: false }),
            Err(failed) => {
                *contexts = store.into_data().contexts;
                Err(failed)
            }
        }
    }

    /// Begins a call: makes its context effective and starts its deadline; without `ticks`, the
    /// previous call's deadline continues. Returns whether to measure the call.
    #[inline]
    pub fn enter(&mut self, effective: ContextKey, ticks: Option<u64>) -> bool {
        if let Some(ticks) = ticks {
            self.store.set_epoch_deadline(ticks);
        }
        let state = self.store.data_mut();
        state.contexts.enter(effective);
        state.host.guest_entered()
    }

    /// Ends a call, of one callback or of several.
    #[inline]
    pub fn leave(&mut self, callbacks: usize, returned: bool, measured: bool) {
        let memory_size = measured.then(|| self.memory_size());
        self.store.data_mut().host.guest_left(callbacks, returned, memory_size);
    }

    #[inline]
    pub fn contexts(&mut self) -> &mut Contexts<H::Stream> {
        &mut self.store.data_mut().contexts
    }

    /// The size of the linear memory, in bytes.
    pub fn memory_size(&self) -> usize {
        self.store.data().guest.as_ref().map_or(0, |guest| guest.memory.data_size(&self.store))
    }

    /// Ends the instance and returns its contexts, which outlive it.
    pub fn into_contexts(self) -> Contexts<H::Stream> {
        self.store.into_data().contexts
    }
}

/// Spec, "Integration": makes the instance, and runs its start functions.
fn initialize<H: Host>(
    plugin: &Plugin<H>,
    store: &mut Store<VmState<H>>,
) -> Result<(Callbacks, Option<Joined>), NotStarted> {
    let instantiated = plugin.instance_pre().instantiate(&mut *store);
    let instance = instantiated.map_err(|error| ("the start section", Failure::start(&error, plugin.name())))?;

    let export: Option<Memory> = instance.get_memory(&mut *store, "memory");
    let Some(memory) = export else {
        return Err(("the start section", Failure::Start("it exports no memory".into())));
    };
    let mut allocator = |name| instance.get_typed_func(&mut *store, name).ok().map(Arc::new);
    let allocate = allocator("proxy_on_memory_allocate").or_else(|| allocator("malloc"));
    store.data_mut().guest = Some(GuestExports { memory, allocate });

    start::run(&instance, store).map_err(|(function, error)| (function, Failure::of(&error, plugin.name())))?;
    let joined = Joined::beside(&instance, plugin.engine(), store);
    store.data_mut().apart = joined.as_ref().map(|joined| joined.apart);
    Ok((Callbacks::of(&instance, store), joined))
}
