//! The HttpContexts of a request: one slot for each PluginContext that the request met, in that
//! order.
//!
//! A slot never moves, and is changed through shared references, because host functions read the
//! slots while a callback runs in one of them.

mod bodies;
mod readiness;
mod rows;

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use ngx_bindings::Request;
use proxy_wasm_host::abi::AbiVersion;
use proxy_wasm_host::config::{FailurePolicy, PauseScope, Resume};
use proxy_wasm_host::{Callback, Dialect, Failure, HttpContext, Plugin, PluginContext, response};

use self::bodies::Bodies;
pub use self::bodies::BodyOf;
use self::readiness::Readiness;
use self::rows::Rows;
use super::NginxHost;
use super::instances::Permit;
use crate::calls::PendingCalls;
use crate::conf::{BodyMode, Policy, RequestBodyMode};
use crate::host_memory::HostMemory;

/// The origin of a context of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A `proxy_wasm` line, by its index.
    Directive(usize),
    /// A PluginContext of Lua's, by its address.
    Lua(usize),
}

/// One HttpContext of a request, with the facts that the request needs about its plugin.
pub struct Slot {
    index: usize,
    source: Source,
    calls: OnceCell<PendingCalls>,
    http: HttpContext<NginxHost>,
    readiness: Readiness,
    bodies: Bodies,
    /// The right to an instance of one's own, where each request has one.
    permit: Cell<Option<Permit>>,
    /// Whether there were too many instances for the request to have its own.
    is_refused: bool,
    /// Whether the log says that another request ended the plugin's instance.
    told_of_end: Cell<bool>,
    /// Whether the plugin holds headers, and lets the body come.
    holds_headers: Cell<bool>,
    /// Behind `http`, and so dropped after it: the context may end only then, with callbacks that ask
    /// for it.
    pub(super) policy: Rc<Policy>,
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
    pub fn plugin_context(&self) -> &Rc<PluginContext<NginxHost>> {
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
    pub(super) fn begin_new<R>(
        &self,
        run: impl FnOnce(&HttpContext<NginxHost>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        self.begin(|http| if self.is_refused { Err(Failure::NoInstance) } else { run(http) })
    }

    /// Whether the request has an instance of the plugin for itself.
    pub(super) fn has_permit(&self) -> bool {
        let permit = self.permit.take();
        let has_permit = permit.is_some();
        self.permit.set(permit);
        has_permit
    }

    #[inline]
    fn begin<R>(&self, run: impl FnOnce(&HttpContext<NginxHost>) -> Result<R, Failure>) -> Result<R, Failure> {
        let result = run(&self.http);
        self.readiness.end(result.is_ok());
        result
    }

    /// As [`Self::begin`], for a later callback. Returns `None` if the context cannot be called.
    #[inline]
    pub(super) fn run<R>(
        &self,
        callback: impl FnOnce(&HttpContext<NginxHost>) -> Result<R, Failure>,
    ) -> Option<Result<R, Failure>> {
        self.readiness.begin().then(|| self.begin(callback))
    }

    /// Ends the context. If a callback of it runs, the context ends with the request instead.
    #[inline]
    pub(super) fn finish(&self) {
        // Before the callbacks of the end, because they look at the slot.
        if self.readiness.finish() {
            self.http.finish();
            drop(self.permit.take());
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
        self.readiness.is_idle()
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

    /// Whether the plugin, which has paused in headers, holds them alone and lets the body come: as the
    /// operator says, or else as Higress's plugins expect it, and others do not.
    pub fn hold_headers_alone(&self) -> bool {
        let alone = match self.policy.pause {
            Some(scope) => scope == PauseScope::Headers,
            None => self.plugin().abi_version() == AbiVersion::V0_2_100,
        };
        self.holds_headers.set(alone);
        alone
    }

    /// Whether the plugin holds headers, and lets the body come.
    pub fn holds_headers(&self) -> bool {
        self.holds_headers.get()
    }

    /// Whether the plugin holds headers alone, which it does no longer: Lua decides what that means.
    pub fn take_headers(&self) -> bool {
        self.holds_headers.take()
    }

    /// The headers go on: the plugin has seen the body, or no body comes to it.
    pub fn release_headers(&self) {
        self.holds_headers.set(false);
    }

    /// Whether an answered call resumes what the plugin holds: it has no other one under way.
    pub(super) fn is_resumed_by_calls(&self) -> bool {
        self.policy.resume == Resume::Calls && !self.is_driven_by_lua() && !self.calls_pending()
    }

    /// Whether the plugin can change a body.
    pub fn may_change_body(&self) -> bool {
        self.plugin().may_change_bodies() && self.is_idle()
    }

    /// Whether the plugin is to see the request's body, and has not seen it yet.
    pub fn wants_request_body(&self, request: Request, mode: RequestBodyMode) -> bool {
        self.has(Callback::OnRequestBody) && self.bodies.wants_request(mode, || request.has_body())
    }

    /// Marks that the plugin sees the request's body as it comes, if it has the callback.
    pub fn stream_request_body(&self) {
        if self.has(Callback::OnRequestBody) {
            self.bodies.stream_request();
        }
    }

    /// Whether the plugin sees the request's body as it comes.
    pub fn streams_request_body(&self) -> bool {
        self.bodies.request_streams() && self.has(Callback::OnRequestBody)
    }

    /// Marks that the plugin has seen the request's body.
    pub fn see_request_body(&self) {
        self.bodies.see_request();
    }

    /// Whether the plugin is to see the response's body.
    pub fn wants_response_body(&self, mode: BodyMode) -> bool {
        self.has(Callback::OnResponseBody) && self.bodies.wants_response(mode)
    }

    /// Notes what the plugin asked for by APISIX's properties.
    pub fn ask_for_body(&self, body: BodyOf, wanted: bool) {
        self.bodies.ask(body, wanted);
    }

    /// Sets the list of the plugin's calls. Called with the plugin's first call.
    pub fn set_calls(&self, calls: PendingCalls) {
        // It is called once, so it cannot fail.
        let _ = self.calls.set(calls);
    }

    /// Cancels the calls that the plugin made.
    pub fn cancel_calls(&self) {
        if let Some(calls) = self.calls.get() {
            calls.cancel_all();
        }
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

    /// The header of a response that a plugin holds alone waits as for one that may change the body.
    fn may_change_body(&self) -> bool {
        self.may_change_body() || self.holds_headers() && self.is_idle()
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
pub struct Slots(Rows<Slot>);

impl Slots {
    /// Adds a slot. Its context is not made yet. `permit` is for a plugin of which each request has
    /// its own instance: the right to one, or nothing where there are too many.
    pub fn push(
        &self,
        source: Source,
        plugin: &Rc<PluginContext<NginxHost>>,
        policy: &Rc<Policy>,
        permit: Option<Option<Permit>>,
    ) -> &Slot {
        let is_refused = matches!(permit, Some(None));
        let permit = permit.flatten();
        self.0.push(|index| Slot {
            index,
            source,
            policy: Rc::clone(policy),
            calls: OnceCell::new(),
            http: plugin.http_context(),
            readiness: Readiness::default(),
            bodies: Bodies::default(),
            permit: Cell::new(permit),
            is_refused,
            told_of_end: Cell::new(false),
            holds_headers: Cell::new(false),
        })
    }

    /// The number of slots.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no slot yet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// All slots in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.0.starting_at(0)
    }

    /// The slots from an index on.
    #[inline]
    pub fn starting_at(&self, first: usize) -> impl Iterator<Item = &Slot> {
        self.0.starting_at(first)
    }

    /// The slot at an index.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&Slot> {
        self.0.get(index)
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
