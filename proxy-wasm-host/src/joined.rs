//! Callbacks that come together, called in one crossing into the guest.
//!
//! A call from the host into a guest costs some 250 instructions, whatever it does: wasmtime saves and restores the state of its
//! store, and can be left by a trap. A call from one guest to another costs ten. So beside the instance of a plugin that has these
//! callbacks is one of a small module of our own ([`TEXT`]), in the same store and linked to the plugin's exports: it calls
//! `proxy_on_context_create` and `proxy_on_request_headers` when a request comes, `proxy_on_done`, `proxy_on_log` and
//! `proxy_on_delete` when it is over.
//!
//! Plugins see no difference, nor do operators, but that such callbacks share one deadline. Of one that traps the host can tell
//! which it was. Where the next one needs the host first (`proxy_on_done` returned false, or the effective context was changed),
//! it comes back, and the host goes on with single calls. So it does with a plugin that lacks one of the callbacks, or has
//! `proxy_on_request_headers` as ABI 0.1.0 did: the compilers of the SDKs export all of them.

use wasmtime::{Extern, FrameInfo, Global, Instance, Store, TypedFunc};

use super::callbacks::Callback;
use crate::error::Error;
use crate::wasm::Engine;

/// The module: WebAssembly text, compiled once per engine.
const TEXT: &str = include_str!("joined.wat");

/// As the module calls itself.
const NAME: &str = "joined_callbacks";

/// In the order of the module's imports.
const CALLBACKS: [Callback; 5] =
    [Callback::OnContextCreate, Callback::OnRequestHeaders, Callback::OnDone, Callback::OnLog, Callback::OnDelete];

/// When a request comes.
pub(crate) const BEGIN: &[Callback] = &[Callback::OnContextCreate, Callback::OnRequestHeaders];

/// When a context ends.
pub(crate) const END: &[Callback] = &[Callback::OnDone, Callback::OnLog, Callback::OnDelete];

/// What [`Joined::end`] left to be done with the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// `proxy_on_done` returned false.
    NotDone,
    /// Log and delete.
    Done,
    /// Delete.
    Logged,
    /// Nothing.
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

/// The module's instance beside that of a plugin.
pub(crate) struct Joined {
    begin: TypedFunc<(u32, u32, u32, u32), u64>,
    end: TypedFunc<u32, u32>,
    returned: Global,
    /// To be set when another context becomes effective.
    pub apart: Global,
}

/// Compiles what instances of plugins have beside them: for a process that forks, so that those after it find it done.
///
/// # Errors
/// When it cannot be compiled.
pub fn prepare(engine: &Engine) -> Result<(), Error> {
    engine.own_module(TEXT).map(drop)
}

impl Joined {
    /// Puts an instance beside that of a plugin, if it fits.
    pub fn beside<T>(plugin: &Instance, engine: &Engine, store: &mut Store<T>) -> Option<Self> {
        let exports: Option<Vec<Extern>> =
            CALLBACKS.iter().map(|callback| plugin.get_export(&mut *store, callback.name())).collect();
        let instance = Instance::new(&mut *store, engine.own_module(TEXT).ok()?, &exports?).ok()?;
        Some(Self {
            begin: instance.get_typed_func(&mut *store, "begin").ok()?,
            end: instance.get_typed_func(&mut *store, "end").ok()?,
            returned: instance.get_global(&mut *store, "returned")?,
            apart: instance.get_global(&mut *store, "apart")?,
        })
    }

    /// `proxy_on_context_create` of an HTTP context, and `proxy_on_request_headers`: what that returned, or nothing if it has
    /// not been called.
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

    /// `proxy_on_done`, `proxy_on_log` and `proxy_on_delete`.
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

/// Whether a frame of a backtrace is the module's: nobody who reads one knows of it.
pub(crate) fn is_own(frame: &FrameInfo) -> bool {
    frame.module().name() == Some(NAME)
}
