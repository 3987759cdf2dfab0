//! The HttpContexts of one request, and what their callbacks leave to be done once the guest has returned.
//!
//! One [`RequestContext`] stands for the request the client sent, through internal redirects and error pages. It lives in the
//! request's pool. Host functions reach it while a callback runs, so everything in it is changed through shared references.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::rc::Rc;

use ngx_bindings::event::Event;
use ngx_bindings::pool::AllocError;
use ngx_bindings::sys::ngx_event_t;
use ngx_bindings::{Request, rc};

use super::guard::guard;
use super::host::{Answer, NginxHost, RequestStream};
use super::module;
use crate::config::FailurePolicy;
use crate::proxy_wasm::abi::Action;
use crate::proxy_wasm::{Failure, HttpContext, PluginContext};

/// What a request's plugins want of nginx, after some callbacks of theirs ran.
#[derive(Debug)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Wait: something will call back.
    Pause,
    /// Answer in the upstream's place.
    Answer(Answer),
    /// A plugin failed, and its policy closes the request.
    Fail,
}

/// The HttpContexts of one request.
pub struct RequestContext {
    request: Cell<Request>,
    slots: RefCell<Vec<Slot>>,
    /// What a callback wants sent, until nginx is told.
    answer: RefCell<Option<Answer>>,
    /// The slot whose plugin holds the request.
    paused: Cell<Option<usize>>,
    wakeup: RefCell<Option<Box<Event>>>,
    /// The response callbacks have run.
    responded: Cell<bool>,
    /// A callback outside the phases failed, and that fails the request.
    failed: Cell<bool>,
    handle: RequestHandle,
}

/// The way to a request from what may outlive it.
#[derive(Clone, Debug, Default)]
pub struct RequestHandle(Rc<Cell<Option<NonNull<RequestContext>>>>);

impl RequestHandle {
    /// The request, if its contexts have not finished.
    pub fn get(&self) -> Option<&RequestContext> {
        // SAFETY: `create` stores the context, and `finish` forgets it before it goes.
        self.0.get().map(|ctx| unsafe { &*ctx.as_ptr() })
    }
}

/// Where a context of the request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A `proxy_wasm` line, by its index.
    Directive(usize),
    /// A plugin context of Lua's, by its address.
    Lua(usize),
}

struct Slot {
    source: Source,
    failure: FailurePolicy,
    /// None when the plugin failed and the request goes on without it.
    http: Option<HttpContext<NginxHost>>,
}

impl RequestContext {
    /// The context of a request, if any plugin has met it.
    #[inline]
    pub fn of<'a>(request: Request) -> Option<&'a Self> {
        // SAFETY: only `create` stores something there, and it lives in the request's pool.
        let ctx = unsafe { request.module_ctx::<Self>(module::main_module()).as_ref() };
        if ctx.is_some() || !request.is_internal() {
            return ctx;
        }
        // An internal redirect made nginx forget it.
        let found = request.pool().find_on_destroy(destroy)?.cast::<Self>();
        request.set_module_ctx(module::main_module(), found.as_ptr());
        // SAFETY: what `create` registered with `destroy` is a `RequestContext` in the pool.
        Some(unsafe { found.as_ref() })
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
        let ctx = request.pool().alloc::<Self>()?;
        // SAFETY: fresh, aligned memory of the right size, that lives as long as the request.
        unsafe {
            ctx.write(Self {
                request: Cell::new(request),
                slots: RefCell::default(),
                answer: RefCell::default(),
                paused: Cell::default(),
                wakeup: RefCell::default(),
                responded: Cell::default(),
                failed: Cell::default(),
                handle: RequestHandle(Rc::new(Cell::new(NonNull::new(ctx)))),
            });
            request.pool().on_destroy(destroy, ctx.cast())?;
            request.set_module_ctx(module::main_module(), ctx);
            Ok(&*ctx)
        }
    }

    /// The request itself.
    #[inline]
    pub fn request(&self) -> Request {
        self.request.get()
    }

    /// The way here, for what may outlive the request.
    pub fn handle(&self) -> RequestHandle {
        self.handle.clone()
    }

    /// Runs a callback of a slot outside the request's phases, and acts on what it left for a request that waits. The request may
    /// be gone after.
    pub fn call_back(&self, slot: usize, callback: impl FnOnce(&HttpContext<NginxHost>) -> Result<(), Failure>) {
        // Out of its slot while it runs, as in the phases.
        let Some(http) = self.slots.borrow_mut()[slot].http.take() else { return };
        if let Err(failure) = callback(&http) {
            if let Verdict::Fail = self.failed(&failure, self.policy(slot)) {
                self.failed.set(true);
            }
            return self.resume(slot);
        }
        self.slots.borrow_mut()[slot].http = Some(http);
        if self.answer.borrow().is_some() && self.paused.take().is_some() {
            self.wake();
        }
    }

    /// What callbacks outside the phases decided while the request waited.
    pub fn take_decision(&self) -> Option<Verdict> {
        match self.failed.take() {
            true => Some(Verdict::Fail),
            false => self.answer.take().map(Verdict::Answer),
        }
    }

    /// Whether a context of that source has been made.
    pub fn has(&self, source: Source) -> bool {
        self.slots.borrow().iter().any(|slot| slot.source == source)
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

    /// Makes an HttpContext; answers its slot, or what its failure means for the request.
    pub fn open(&self, source: Source, plugin: &Rc<PluginContext<NginxHost>>, failure: FailurePolicy) -> Result<usize, Failure> {
        let slot = self.slots.borrow().len();
        let stream = RequestStream::new(NonNull::from(self), slot);
        let (http, result) = match plugin.create_http_context(stream) {
            Ok(http) => (Some(http), Ok(slot)),
            Err(failure) => (None, Err(failure)),
        };
        self.slots.borrow_mut().push(Slot { source, failure, http });
        result
    }

    /// Runs one callback of one slot.
    #[inline]
    pub fn call(
        &self,
        slot: usize,
        callback: impl FnOnce(&mut HttpContext<NginxHost>) -> Result<Action, Failure>,
    ) -> Result<Verdict, Failure> {
        let mut slots = self.slots.borrow_mut();
        let Some(http) = slots[slot].http.as_mut() else {
            return Ok(Verdict::Continue);
        };
        let action = match callback(http) {
            Ok(action) => action,
            Err(failure) => {
                slots[slot].http = None;
                return Err(failure);
            }
        };
        drop(slots);
        if let Some(answer) = self.answer.take() {
            return Ok(Verdict::Answer(answer));
        }
        Ok(match action {
            Action::Continue => Verdict::Continue,
            Action::Pause => Verdict::Pause,
        })
    }

    /// What a failure of a slot's plugin means for the request, by the plugin's policy; says it in the request's log.
    pub fn failed(&self, failure: &Failure, policy: FailurePolicy) -> Verdict {
        self.request().log().print(ngx_bindings::log::Level::Error, format_args!("{failure}"));
        match policy {
            FailurePolicy::Closed => Verdict::Fail,
            FailurePolicy::Open => Verdict::Continue,
        }
    }

    /// The policy of a slot.
    pub fn policy(&self, slot: usize) -> FailurePolicy {
        self.slots.borrow()[slot].failure
    }

    /// Whether the response callbacks have run; from now on they have.
    pub fn respond_once(&self) -> bool {
        self.responded.replace(true)
    }

    /// What a plugin wants sent; the first answer stands.
    pub fn set_answer(&self, answer: Answer) {
        self.answer.borrow_mut().get_or_insert(answer);
    }

    /// The answer that [`Self::set_answer`] left.
    pub fn take_answer(&self) -> Option<Answer> {
        self.answer.take()
    }

    /// Keeps the request where it is until the plugin of `slot` resumes it.
    pub fn pause(&self, slot: usize) -> Result<(), AllocError> {
        self.paused.set(Some(slot));
        self.wakeup.borrow_mut().get_or_insert_with(|| {
            let data: *const Self = self;
            Box::new(Event::new(on_wakeup, data.cast_mut().cast(), self.request().log()))
        });
        self.request().watch_client();
        Ok(())
    }

    /// Whether a plugin holds the request.
    pub fn is_paused(&self) -> bool {
        self.paused.get().is_some()
    }

    /// Resumes the request if the plugin of `slot` holds it; it goes on when nginx is back in its loop.
    pub fn resume(&self, slot: usize) {
        if self.paused.get() == Some(slot) {
            self.paused.set(None);
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(event) = self.wakeup.borrow_mut().as_mut() {
            event.post();
        }
    }

    /// `proxy_on_done`, `proxy_on_log`, `proxy_on_delete` of every context.
    pub fn finish(&self) {
        self.handle.0.set(None);
        *self.wakeup.borrow_mut() = None;
        for slot in self.slots.borrow_mut().iter_mut() {
            if let Some(mut http) = slot.http.take() {
                http.finish();
            }
        }
    }
}

/// The last word on a request whose log phase did not run.
extern "C" fn destroy(data: *mut c_void) {
    guard((), || {
        // SAFETY: `create` registered it with this data; nginx runs a cleanup once.
        unsafe {
            (*data.cast::<RequestContext>()).finish();
            data.cast::<RequestContext>().drop_in_place();
        }
    });
}

unsafe extern "C" fn on_wakeup(event: *mut ngx_event_t) {
    guard((), || {
        // SAFETY: the event belongs to the context in its data, and is disarmed when that goes.
        let ctx = unsafe { &*(*event).data.cast::<RequestContext>() };
        ctx.request().resume_phases();
    });
}

/// What nginx is told of a verdict in a phase.
pub fn phase_result(ctx: &RequestContext, verdict: Verdict) -> ngx_bindings::sys::ngx_int_t {
    match verdict {
        Verdict::Continue => rc::DECLINED,
        Verdict::Pause => rc::DONE,
        Verdict::Answer(answer) => answer.send(ctx.request()),
        Verdict::Fail => rc::SERVICE_UNAVAILABLE,
    }
}
