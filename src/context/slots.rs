//! The HttpContexts of a request: one slot for each PluginContext that the request met, in that
//! order.
//!
//! A slot never moves, and is changed through shared references, because host functions read the
//! slots while a callback runs in one of them.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use ngx_bindings::Request;
use proxy_wasm_host::config::FailurePolicy;
use proxy_wasm_host::{Callback, Dialect, Failure, HttpContext, Plugin, PluginContext, response};

use super::NginxHost;
use crate::calls::PendingCalls;
use crate::conf::{BodyMode, Policy};
use crate::host_memory::HostMemory;

/// Slots that cost a request no allocation: enough for one or two global rules and the plugins of a
/// route.
const ROW: usize = 4;

/// The origin of a context of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A `proxy_wasm` line, by its index.
    Directive(usize),
    /// A PluginContext of Lua's, by its address.
    Lua(usize),
}

/// One of a request's two bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyOf {
    /// The body that the client sends.
    Request,
    /// The body that the client gets.
    Response,
}

/// Whether the context of a slot can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    Idle,
    /// A callback of it runs. The first one makes the context.
    Busy,
    /// The plugin failed, and the request continues without it; or the request is over.
    Gone,
}

/// One HttpContext of a request, with the facts that the request needs about its plugin.
pub struct Slot {
    index: usize,
    source: Source,
    pub(super) policy: Policy,
    calls: OnceCell<PendingCalls>,
    http: HttpContext<NginxHost>,
    readiness: Cell<Readiness>,
    /// Whether the log says that another request ended the plugin's instance.
    told_of_end: Cell<bool>,
    /// Whether `proxy_on_request_body` has run.
    request_body_seen: Cell<bool>,
    /// Whether the plugin set APISIX's property that asks for the request's body.
    wants_request_body: Cell<bool>,
    /// Whether the plugin set APISIX's property that asks for the response's body.
    wants_response_body: Cell<bool>,
}

impl Slot {
    /// The slot's index among the request's slots.
    #[inline]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Whether Lua calls the callbacks of this slot.
    #[inline]
    pub fn is_driven_by_lua(&self) -> bool {
        matches!(self.source, Source::Lua(_))
    }

    /// The host whose answers the plugin gets.
    #[inline]
    pub fn dialect(&self) -> Dialect {
        if self.is_driven_by_lua() { Dialect::CModule } else { Dialect::Envoy }
    }

    /// The PluginContext that the slot's HttpContext belongs to.
    #[inline]
    pub fn plugin_context(&self) -> &PluginContext<NginxHost> {
        self.http.plugin_context()
    }

    #[inline]
    fn plugin(&self) -> &Plugin<NginxHost> {
        self.http.plugin_context().plugin()
    }

    /// The plugin's name, for the error log.
    pub fn plugin_name(&self) -> &str {
        self.plugin().name()
    }

    /// Runs code that makes the context, perhaps with a first callback. After a failure the slot is
    /// not called any more.
    #[inline]
    pub(super) fn begin<R>(
        &self,
        run: impl FnOnce(&HttpContext<NginxHost>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let result = run(&self.http);
        self.readiness.set(if result.is_ok() { Readiness::Idle } else { Readiness::Gone });
        result
    }

    /// As [`Self::begin`], for a later callback. Returns `None` if the context cannot be called.
    #[inline]
    pub(super) fn run<R>(
        &self,
        callback: impl FnOnce(&HttpContext<NginxHost>) -> Result<R, Failure>,
    ) -> Option<Result<R, Failure>> {
        if !self.is_idle() {
            return None;
        }
        self.readiness.set(Readiness::Busy);
        Some(self.begin(callback))
    }

    /// Ends the context. If a callback of it runs, the context ends with the request instead.
    #[inline]
    pub(super) fn finish(&self) {
        // Set before the callbacks of the end, because they look at the slot.
        if self.readiness.get() != Readiness::Busy {
            self.readiness.set(Readiness::Gone);
            self.http.finish();
        }
    }

    /// Whether to log that the plugin's instance is gone: once.
    pub(super) fn is_end_news(&self) -> bool {
        !self.told_of_end.replace(true)
    }

    /// How many bytes the worker may keep for the plugin.
    pub fn memory(&self) -> HostMemory {
        self.policy.memory
    }

    /// How many bytes of a body may wait for the plugin, or be made by it.
    pub fn body_buffer_size(&self) -> usize {
        self.policy.body_buffer_size
    }

    /// Whether the context can be called: it has not failed, and none of its callbacks runs.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.readiness.get() == Readiness::Idle
    }

    /// Whether the plugin failed, and its policy closes the request.
    pub fn has_failed(&self) -> bool {
        !self.is_idle() && self.policy.failure == FailurePolicy::Closed
    }

    /// Whether the plugin exports a callback, and the context can be called.
    #[inline]
    pub fn has(&self, callback: Callback) -> bool {
        self.plugin().has(callback) && self.is_idle()
    }

    /// Whether the plugin imports a function that can change a body.
    pub fn may_change_body(&self) -> bool {
        self.plugin().may_change_bodies() && self.is_idle()
    }

    /// Whether the plugin is to see the request's body, and has not seen it yet.
    pub fn wants_request_body(&self, request: Request, mode: BodyMode) -> bool {
        !self.request_body_seen.get()
            && self.has(Callback::OnRequestBody)
            && match mode {
                BodyMode::Always => request.has_body() || self.wants_request_body.get(),
                BodyMode::Property => self.wants_request_body.get(),
                BodyMode::Never => false,
            }
    }

    /// Marks that the plugin has seen the request's body.
    pub fn see_request_body(&self) {
        self.request_body_seen.set(true);
    }

    /// Whether the plugin is to see the response's body.
    pub fn wants_response_body(&self, mode: BodyMode) -> bool {
        self.has(Callback::OnResponseBody)
            && match mode {
                BodyMode::Always => true,
                BodyMode::Property => self.wants_response_body.get(),
                BodyMode::Never => false,
            }
    }

    /// Notes what the plugin asked for by APISIX's properties.
    pub fn ask_for_body(&self, body: BodyOf, wanted: bool) {
        match body {
            BodyOf::Request => self.wants_request_body.set(wanted),
            BodyOf::Response => self.wants_response_body.set(wanted),
        }
    }

    /// Sets the list of the plugin's calls. Called with the plugin's first call.
    pub fn set_calls(&self, calls: PendingCalls) {
        // It is called once, so it cannot fail.
        let _ = self.calls.set(calls);
    }

    /// Whether calls that the plugin made are under way.
    pub fn calls_pending(&self) -> bool {
        self.calls.get().is_some_and(PendingCalls::any)
    }
}

impl response::Slot for Slot {
    #[inline]
    fn index(&self) -> usize {
        self.index()
    }

    fn name(&self) -> &str {
        self.plugin_name()
    }

    #[inline]
    fn is_driven_by_lua(&self) -> bool {
        self.is_driven_by_lua()
    }

    #[inline]
    fn has(&self, callback: Callback) -> bool {
        self.has(callback)
    }

    fn may_change_body(&self) -> bool {
        self.may_change_body()
    }

    fn body_buffer_size(&self) -> usize {
        self.body_buffer_size()
    }

    fn calls_pending(&self) -> bool {
        self.calls_pending()
    }
}

/// The slots of a request.
#[derive(Default)]
pub struct Slots {
    first: Row,
    len: Cell<usize>,
}

/// A fixed number of slots, filled from the left, and the next row.
#[derive(Default)]
struct Row {
    slots: [OnceCell<Slot>; ROW],
    next: OnceCell<Box<Self>>,
}

impl Slots {
    /// Adds a slot. Its context is not made yet.
    pub fn push(&self, source: Source, plugin: &Rc<PluginContext<NginxHost>>, policy: Policy) -> &Slot {
        let index = self.len.replace(self.len.get() + 1);
        let mut row = &self.first;
        for _ in 0..index / ROW {
            row = row.next.get_or_init(Box::default);
        }
        row.slots[index % ROW].get_or_init(|| Slot {
            index,
            source,
            policy,
            calls: OnceCell::new(),
            http: plugin.http_context(),
            readiness: Cell::new(Readiness::Busy),
            told_of_end: Cell::new(false),
            request_body_seen: Cell::new(false),
            wants_request_body: Cell::new(false),
            wants_response_body: Cell::new(false),
        })
    }

    /// The number of slots.
    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// Whether there is no slot yet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    /// All slots in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.starting_at(0)
    }

    /// The slots from an index on.
    #[inline]
    pub fn starting_at(&self, first: usize) -> impl Iterator<Item = &Slot> {
        Iter { row: self.row(first), position: first % ROW }
    }

    /// The slot at an index.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&Slot> {
        self.row(index)?.slots[index % ROW].get()
    }

    /// The row that an index lies in.
    #[inline]
    fn row(&self, index: usize) -> Option<&Row> {
        let mut row = &self.first;
        for _ in 0..index / ROW {
            row = row.next.get()?;
        }
        Some(row)
    }

    /// As [`Self::find`], for a slot that is usually at this index.
    #[inline]
    pub fn find_near(&self, index: usize, source: Source) -> Option<&Slot> {
        self.get(index).filter(|slot| slot.source == source).or_else(|| self.find(source))
    }

    /// Returns the slot of a source.
    #[inline]
    pub fn find(&self, source: Source) -> Option<&Slot> {
        self.iter().find(|slot| slot.source == source)
    }
}

struct Iter<'a> {
    row: Option<&'a Row>,
    position: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Slot;

    #[inline]
    fn next(&mut self) -> Option<&'a Slot> {
        if self.position == ROW {
            *self = Self { row: self.row?.next.get().map(Box::as_ref), position: 0 };
        }
        let slot = self.row?.slots[self.position].get()?;
        self.position += 1;
        Some(slot)
    }
}
