//! The HttpContexts of one request, and what their callbacks leave to be done once the guest has returned.
//!
//! One [`RequestContext`] stands for the request the client sent, through internal redirects and error pages. It lives as
//! long as the request's pool. Host functions reach it while a callback runs, so everything in it is changed through shared
//! references.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

use ngx_bindings::log::Level;
use ngx_bindings::pool::AllocError;
use ngx_bindings::{Request, rc};
use smallvec::SmallVec;

use super::body::Body;
use super::calls::PendingCalls;
use super::configuration::{BodyMode, Policy};
use super::guard::guard;
use super::host::{Allowance, Answer, NginxHost, RequestStream};
use super::live::{self, RequestHandle};
use super::lua::Waiting;
use super::module;
use super::pause::Pause;
use super::response::Response;
use crate::config::FailurePolicy;
use crate::proxy_wasm::abi::{Action, StreamType};
use crate::proxy_wasm::pairs::PairsBuf;
use crate::proxy_wasm::{Callback, CallbackSet, Failure, HttpContext, Plugin, PluginContext};

/// What a request's plugins want of nginx, after some callbacks of theirs ran.
#[derive(Debug)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Wait: something will call back.
    Pause,
    /// Answer in the upstream's place.
    Answer(Box<Answer>),
    /// A plugin failed, and its policy closes the request.
    Fail,
    /// Close the client's connection, without an answer.
    Close,
}

/// Where a context of the request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A `proxy_wasm` line, by its index.
    Directive(usize),
    /// A plugin context of Lua's, by its address.
    Lua(usize),
}

/// Slots that cost a request no allocation.
const SLOTS: usize = 2;

/// Which of a request's two bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyOf {
    /// What the client sends.
    Request,
    /// What it gets.
    Response,
}

/// The HttpContexts of one request.
pub struct RequestContext {
    request: Request,
    slots: RefCell<SmallVec<[Slot; SLOTS]>>,
    /// What any of their plugins exports: nobody is asked further for what none has.
    callbacks: Cell<CallbackSet>,
    /// What a callback wants sent, until nginx is told.
    answer: RefCell<Option<Box<Answer>>>,
    /// A plugin closed the stream.
    closed: Cell<bool>,
    /// A callback of the request runs; what it leaves to be done is looked at when it has returned.
    running: Cell<bool>,
    /// The request's body, for as long as plugins may see it.
    pub request_body: RefCell<Option<Body>>,
    /// A changed body, while Lua copies it.
    pub for_lua: RefCell<Vec<u8>>,
    /// nginx has read the request's body.
    pub body_read: Cell<bool>,
    /// The thread of Lua's that waits for a plugin.
    pub waiting: Waiting,
    /// What holds the request, or the response.
    pub pause: Pause,
    /// What its plugins may still have kept for it.
    pub allowance: Allowance,
    /// How far the response has come.
    pub response: Response,
    handle: RequestHandle,
    finished: Cell<bool>,
}

struct Slot {
    source: Source,
    plugin: Arc<Plugin<NginxHost>>,
    policy: Policy,
    calls: PendingCalls,
    /// None while its callback runs; and when the plugin failed and the request goes on without it.
    http: Option<HttpContext<NginxHost>>,
    /// `proxy_on_request_body` has run.
    request_body_seen: bool,
    /// The plugin set APISIX's property that asks for the request's body.
    wants_request_body: bool,
    /// As above, for the response's.
    wants_response_body: bool,
}

impl RequestContext {
    /// The context of a request, if any plugin has met it.
    #[inline]
    pub fn of<'a>(request: Request) -> Option<&'a Self> {
        // SAFETY: only `create` stores something there, and it lives as long as the request's pool.
        let ctx = unsafe { request.module_ctx::<Self>(module::main_module()).as_ref() };
        if ctx.is_some() || !request.is_internal() { ctx } else { Self::find_again(request) }
    }

    #[cold]
    fn find_again<'a>(request: Request) -> Option<&'a Self> {
        // An internal redirect made nginx forget it. In the pool are those of subrequests, too.
        // SAFETY: what `create` registered with `destroy` is a `RequestContext`.
        let is_its_own = |ctx: NonNull<c_void>| unsafe { ctx.cast::<Self>().as_ref() }.request == request;
        let found = request.pool().find_on_destroy(destroy, is_its_own)?.cast::<Self>();
        // SAFETY: as above; the module is ours.
        unsafe {
            request.set_module_ctx(module::main_module(), found.as_ptr());
            Some(found.as_ref())
        }
    }

    /// The context of a request, made if there is none yet.
    #[inline]
    pub fn of_or_new<'a>(request: Request) -> Result<&'a Self, AllocError> {
        match Self::of(request) {
            Some(ctx) => Ok(ctx),
            None => Self::create(request),
        }
    }

    fn create<'a>(request: Request) -> Result<&'a Self, AllocError> {
        let (ctx, handle) = live::enter();
        if let Err(error) = request.pool().on_destroy(destroy, ctx.as_ptr().cast()) {
            live::leave(handle);
            // SAFETY: just taken, and nobody was told of it.
            unsafe { live::give_back(ctx) };
            return Err(error);
        }
        // SAFETY: memory for a context, that `destroy` gives back when the request is over.
        unsafe {
            ctx.write(Self {
                request,
                slots: RefCell::default(),
                callbacks: Cell::default(),
                answer: RefCell::default(),
                closed: Cell::default(),
                running: Cell::default(),
                request_body: RefCell::default(),
                for_lua: RefCell::default(),
                body_read: Cell::default(),
                waiting: Waiting::default(),
                pause: Pause::default(),
                allowance: Allowance::default(),
                response: Response::default(),
                handle,
                finished: Cell::default(),
            });
            request.set_module_ctx(module::main_module(), ctx.as_ptr());
            Ok(ctx.as_ref())
        }
    }

    /// The request itself.
    #[inline]
    pub fn request(&self) -> Request {
        self.request
    }

    /// The way here, for what may outlive the request.
    pub fn handle(&self) -> RequestHandle {
        self.handle
    }

    /// The slot of that source.
    pub fn position(&self, source: Source) -> Option<usize> {
        self.slots.borrow().iter().position(|slot| slot.source == source)
    }

    /// How many contexts the request has.
    pub fn len(&self) -> usize {
        self.slots.borrow().len()
    }

    /// Whether Lua drives that slot.
    pub fn is_driven_by_lua(&self, slot: usize) -> bool {
        matches!(self.slots.borrow()[slot].source, Source::Lua(_))
    }

    /// Makes an HttpContext and answers its slot, or what the plugin's failure means for the request.
    pub fn open(
        &self,
        source: Source,
        plugin: &Rc<PluginContext<NginxHost>>,
        policy: Policy,
    ) -> Result<usize, Verdict> {
        let slot = self.add_slot(source, plugin, policy);
        match plugin.create_http_context(RequestStream::new(self, slot)) {
            Ok(http) => {
                self.slots.borrow_mut()[slot].http = Some(http);
                Ok(slot)
            }
            Err(failure) => Err(self.failed(plugin, &failure, policy)),
        }
    }

    /// Makes an HttpContext and runs `proxy_on_request_headers` of it: answers its slot, and what to do.
    pub fn receive(
        &self,
        source: Source,
        plugin: &Rc<PluginContext<NginxHost>>,
        policy: Policy,
        (num_headers, end_of_stream): (u32, bool),
    ) -> (usize, Verdict) {
        let slot = self.add_slot(source, plugin, policy);
        self.running.set(true);
        let received = plugin.receive_request(RequestStream::new(self, slot), num_headers, end_of_stream);
        self.running.set(false);
        let verdict = match received {
            Ok((http, action)) => self.returned(slot, http, action),
            Err(failure) => self.failed(plugin, &failure, policy),
        };
        (slot, verdict)
    }

    fn add_slot(&self, source: Source, plugin: &PluginContext<NginxHost>, policy: Policy) -> usize {
        let plugin = plugin.plugin();
        self.callbacks.set(self.callbacks.get().union(plugin.callbacks()));
        let mut slots = self.slots.borrow_mut();
        slots.push(Slot {
            source,
            plugin: Arc::clone(plugin),
            policy,
            calls: PendingCalls::default(),
            http: None,
            request_body_seen: false,
            wants_request_body: false,
            wants_response_body: false,
        });
        slots.len() - 1
    }

    /// Runs one callback of one slot.
    #[inline]
    pub fn call(
        &self,
        slot: usize,
        callback: impl FnOnce(&mut HttpContext<NginxHost>) -> Result<Action, Failure>,
    ) -> Verdict {
        // Out of its slot while it runs: host functions look at the slots.
        let Some(mut http) = self.slots.borrow_mut()[slot].http.take() else {
            return Verdict::Continue;
        };
        self.running.set(true);
        let result = callback(&mut http);
        self.running.set(false);
        match result {
            Ok(action) => self.returned(slot, http, action),
            Err(failure) => {
                let policy = self.slots.borrow()[slot].policy;
                self.failed(http.plugin_context(), &failure, policy)
            }
        }
    }

    /// A callback of a slot has returned: what its plugin wants.
    #[inline]
    fn returned(&self, slot: usize, http: HttpContext<NginxHost>, action: Action) -> Verdict {
        self.slots.borrow_mut()[slot].http = Some(http);
        if self.closed.get() {
            return Verdict::Close;
        }
        match (self.answer.take(), action) {
            (Some(answer), _) => Verdict::Answer(answer),
            (None, Action::Continue) => Verdict::Continue,
            (None, Action::Pause) => Verdict::Pause,
        }
    }

    /// Runs a callback of one slot outside the request's phases: the outcome of a call.
    pub fn call_back(&self, slot: usize, callback: impl FnOnce(&HttpContext<NginxHost>) -> Result<(), Failure>) {
        // Out of its slot while it runs, as in the phases.
        let Some(http) = self.slots.borrow_mut()[slot].http.take() else { return };
        self.running.set(true);
        let result = callback(&http);
        self.running.set(false);
        match result {
            Ok(()) => self.slots.borrow_mut()[slot].http = Some(http),
            Err(failure) => {
                let policy = self.slots.borrow()[slot].policy;
                self.failed(http.plugin_context(), &failure, policy);
                self.fail_waiting(slot);
            }
        }
        self.after_callback();
    }

    /// The instance of a slot's plugin failed. In a callback of this slot, that callback's failure is what counts for the request.
    pub fn instance_gone(&self, slot: usize) {
        let is_idle = self.slots.borrow()[slot].http.is_some();
        if is_idle {
            self.fail_waiting(slot);
        }
    }

    /// The plugin of a slot failed while the request or the response waited for it.
    fn fail_waiting(&self, slot: usize) {
        let failure = self.slots.borrow()[slot].policy.failure;
        let is_held = self.pause.request_holder() == Some(slot) || self.response.is_held_by(slot);
        match failure {
            // Where the response has begun, nginx closes the connection instead.
            FailurePolicy::Closed if is_held => {
                self.set_answer(Box::new(Answer { status: 503, headers: PairsBuf::default(), body: Vec::new() }));
            }
            FailurePolicy::Closed => {}
            FailurePolicy::Open => {
                self.resume(slot, StreamType::HttpRequest);
                self.resume(slot, StreamType::HttpResponse);
            }
        }
        self.after_callback();
    }

    /// What a failure of a plugin means for the request, by the plugin's policy.
    #[cold]
    fn failed(&self, plugin: &PluginContext<NginxHost>, failure: &Failure, policy: Policy) -> Verdict {
        // What ended an instance was said when it did, once; what follows from it for other requests is no news.
        let level = if plugin.vm().is_news(failure) { Level::Error } else { Level::Info };
        self.request().log().print(level, format_args!("plugin \"{}\" failed: {failure}", plugin.plugin().name()));
        match policy.failure {
            FailurePolicy::Closed => Verdict::Fail,
            FailurePolicy::Open => Verdict::Continue,
        }
    }

    /// Whether a slot is to see the request's body that has not seen it yet.
    pub fn wants_request_body(&self, slot: usize, mode: BodyMode) -> bool {
        let slots = self.slots.borrow();
        let slot = &slots[slot];
        !slot.request_body_seen
            && slot.has(Callback::OnRequestBody)
            && match mode {
                BodyMode::Always => self.request().has_body() || slot.wants_request_body,
                BodyMode::Property => slot.wants_request_body,
                BodyMode::Never => false,
            }
    }

    /// From now on the slot has seen the request's body.
    pub fn see_request_body(&self, slot: usize) {
        self.slots.borrow_mut()[slot].request_body_seen = true;
    }

    /// Whether a slot is to see the response's body.
    pub fn wants_response_body(&self, slot: usize, mode: BodyMode) -> bool {
        let slots = self.slots.borrow();
        let slot = &slots[slot];
        slot.has(Callback::OnResponseBody)
            && match mode {
                BodyMode::Always => true,
                BodyMode::Property => slot.wants_response_body,
                BodyMode::Never => false,
            }
    }

    /// What the plugin of a slot said by APISIX's properties.
    pub fn ask_for_body(&self, slot: usize, body: BodyOf, wanted: bool) {
        let slot = &mut self.slots.borrow_mut()[slot];
        match body {
            BodyOf::Request => slot.wants_request_body = wanted,
            BodyOf::Response => slot.wants_response_body = wanted,
        }
    }

    /// The name of the plugin of a slot, for the error log.
    pub fn plugin_name(&self, slot: usize) -> String {
        self.slots.borrow()[slot].plugin.name().to_owned()
    }

    /// How much of a body may wait for a slot's plugin, or be what it made of it.
    pub fn body_buffer_size(&self, slot: usize) -> usize {
        self.slots.borrow()[slot].policy.body_buffer_size
    }

    /// The plugin of a slot makes its first call.
    pub fn set_calls(&self, slot: usize, calls: PendingCalls) {
        self.slots.borrow_mut()[slot].calls = calls;
    }

    /// Whether the plugin of a slot waits for calls it made.
    pub fn calls_pending(&self, slot: usize) -> bool {
        self.slots.borrow()[slot].calls.any()
    }

    /// Whether the plugin of a slot failed, and its policy closes the request.
    pub fn has_failed(&self, slot: usize) -> bool {
        let slots = self.slots.borrow();
        slots[slot].http.is_none() && slots[slot].policy.failure == FailurePolicy::Closed
    }

    /// Whether any plugin of the request exports a callback.
    #[inline]
    pub fn any_has(&self, callback: Callback) -> bool {
        self.callbacks.get().contains(callback)
    }

    /// Whether the plugin of a slot exports a callback.
    pub fn has(&self, slot: usize, callback: Callback) -> bool {
        self.slots.borrow()[slot].has(callback)
    }

    /// Whether the plugin of a slot has the means to change a body.
    pub fn may_change_body(&self, slot: usize) -> bool {
        let slots = self.slots.borrow();
        slots[slot].http.is_some() && slots[slot].plugin.may_change_bodies()
    }

    /// What a plugin wants sent; the first answer stands.
    pub fn set_answer(&self, answer: Box<Answer>) {
        self.answer.borrow_mut().get_or_insert(answer);
    }

    /// Closes the stream, once the guest has returned.
    pub fn close(&self) {
        self.closed.set(true);
    }

    /// Whether one of its own callbacks runs.
    pub fn is_running(&self) -> bool {
        self.running.get()
    }

    /// Whether a plugin closed the stream.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// The answer that [`Self::set_answer`] left.
    pub fn take_answer(&self) -> Option<Box<Answer>> {
        self.answer.take()
    }

    /// Whether [`Self::set_answer`] left one.
    pub fn has_answer(&self) -> bool {
        self.answer.borrow().is_some()
    }

    /// `proxy_on_done`, `proxy_on_log`, `proxy_on_delete` of every context.
    pub fn finish(&self) {
        if self.finished.replace(true) {
            return;
        }
        live::leave(self.handle);
        self.waiting.forget();
        self.pause.forget();
        for slot in 0..self.len() {
            // Dropped, a context is finished; and not while the slots are borrowed, because its callbacks look at them.
            let http = self.slots.borrow_mut()[slot].http.take();
            drop(http);
        }
    }
}

impl Slot {
    fn has(&self, callback: Callback) -> bool {
        self.http.is_some() && self.plugin.has(callback)
    }
}

/// The last word on a request whose log phase did not run.
extern "C" fn destroy(data: *mut c_void) {
    guard((), || {
        // SAFETY: `create` registered it with this data; nginx runs a cleanup once.
        unsafe {
            let ctx = NonNull::new_unchecked(data.cast::<RequestContext>());
            ctx.as_ref().finish();
            ctx.drop_in_place();
            live::give_back(ctx);
        }
    });
}

/// What nginx is told of a verdict in a phase.
pub fn phase_result(ctx: &RequestContext, verdict: Verdict) -> ngx_bindings::sys::ngx_int_t {
    match verdict {
        Verdict::Continue => rc::DECLINED,
        Verdict::Pause => rc::DONE,
        Verdict::Answer(answer) => answer.send(ctx.request()),
        Verdict::Fail => rc::SERVICE_UNAVAILABLE,
        Verdict::Close => rc::CLOSE,
    }
}
