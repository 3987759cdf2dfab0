//! Callbacks that come together, called in one crossing into the guest.
//!
//! A call from the host into a guest costs some 250 instructions, whatever the guest does: wasmtime
//! saves and restores the state of its store, and prepares for a trap. A call from one guest to
//! another costs ten. So the store of a plugin that has these callbacks also holds an instance of a
//! small module of this host ([`TEXT`]), linked to the plugin's exports. That module calls
//! `proxy_on_context_create` and `proxy_on_request_headers` when a request comes, and
//! `proxy_on_done`, `proxy_on_log` and `proxy_on_delete` when it is over.
//!
//! Plugins and operators see one difference only: such callbacks share one deadline. When one of
//! them traps, the host can tell which. Where the host must act before the next callback
//! (`proxy_on_done` returned false, or the effective context was changed), the module returns and
//! the host continues with single calls. The host also uses single calls for a plugin that lacks
//! one of the callbacks (the SDKs' compilers export all of them), and for one that has
//! `proxy_on_request_headers` of ABI 0.1.0.

use wasmtime::{Extern, FrameInfo, Global, Instance, Store, TypedFunc};

use super::callbacks::{Callback, Places};
use crate::error::Error;
use crate::wasm::Engine;

/// The module, as WebAssembly text, compiled once per engine.
const TEXT: &str = include_str!("joined.wat");

/// The name that the module gives itself.
const NAME: &str = "joined_callbacks";

/// The callbacks in the order of the module's imports.
const CALLBACKS: [Callback; 5] =
    [Callback::OnContextCreate, Callback::OnRequestHeaders, Callback::OnDone, Callback::OnLog, Callback::OnDelete];

/// The callbacks that run when a request comes.
pub(crate) const BEGIN: &[Callback] = &[Callback::OnContextCreate, Callback::OnRequestHeaders];

/// The callbacks that run when a context ends.
pub(crate) const END: &[Callback] = &[Callback::OnDone, Callback::OnLog, Callback::OnDelete];

/// How far [`Joined::end`] came, and so what the host still has to do with the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// `proxy_on_done` returned false: wait for `proxy_done`.
    NotDone,
    /// Log and delete are still to be called.
    Done,
    /// Delete is still to be called.
    Logged,
    /// Nothing is left to be called.
    Deleted,
}

impl End {
    /// How many callbacks have run.
    pub fn callbacks(self) -> usize {
        match self {
            Self::NotDone | Self::Done => 1,
            Self::Logged => 2,
            Self::Deleted => 3,
        }
    }
}

/// The module's instance, in the store of a plugin's instance.
pub(crate) struct Joined {
    begin: TypedFunc<(u32, u32, u32, u32), u64>,
    end: TypedFunc<u32, u32>,
    returned: Global,
    /// The host sets this when another context becomes effective.
    pub apart: Global,
}

/// Compiles the module that calls joined callbacks. A process that forks calls this first, so that
/// its children find the module compiled.
///
/// # Errors
/// When the module cannot be compiled.
pub fn prepare(engine: &Engine) -> Result<(), Error> {
    engine.own_module(TEXT).map(drop)
}

impl Joined {
    /// Makes an instance of the module for a plugin's instance; `None` if the plugin's callbacks do
    /// not fit.
    pub fn beside<T>(plugin: &Instance, places: &Places, engine: &Engine, store: &mut Store<T>) -> Option<Self> {
        let export = |callback: &Callback| plugin.get_module_export(&mut *store, &places.get(*callback)?);
        let exports: Option<Vec<Extern>> = CALLBACKS.iter().map(export).collect();
        let instance = Instance::new(&mut *store, engine.own_module(TEXT).ok()?, &exports?).ok()?;
        Some(Self {
            begin: instance.get_typed_func(&mut *store, "begin").ok()?,
            end: instance.get_typed_func(&mut *store, "end").ok()?,
            returned: instance.get_global(&mut *store, "returned")?,
            apart: instance.get_global(&mut *store, "apart")?,
        })
    }

    /// Calls `proxy_on_context_create` of an HTTP context, and `proxy_on_request_headers`. Returns
    /// what the latter returned; `None` if it has not been called.
    #[inline]
    pub fn begin<T>(
        &self,
        store: &mut Store<T>,
        (id, parent): (u32, u32),
        (num_headers, end_of_stream): (u32, bool),
    ) -> wasmtime::Result<Option<i32>> {
        let result = self.begin.call(store, (id, parent, num_headers, end_of_stream.into()))?;
        Ok(u32::try_from(result).ok().map(u32::cast_signed))
    }

    /// Calls `proxy_on_done`, `proxy_on_log` and `proxy_on_delete`.
    #[inline]
    pub fn end<T>(&self, store: &mut Store<T>, id: u32) -> wasmtime::Result<End> {
        Ok(match self.end.call(store, id)? {
            0 => End::NotDone,
            1 => End::Done,
            2 => End::Logged,
            _ => End::Deleted,
        })
    }

    /// How many callbacks of the last call have returned.
    pub fn returned<T>(&self, store: &mut Store<T>) -> usize {
        self.returned.get(store).i32().and_then(|count| usize::try_from(count).ok()).unwrap_or_default()
    }
}

/// Returns whether a frame of a backtrace is the module's. Operators do not know the module, so
/// such frames are not shown.
pub(crate) fn is_own(frame: &FrameInfo) -> bool {
    frame.module().name() == Some(NAME)
}
