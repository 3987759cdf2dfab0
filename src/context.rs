//! The state of one request: its HttpContexts, and what their callbacks left to do once the guest
//! has returned.
//!
//! A [`RequestContext`] belongs to the request that the client sent, or to a subrequest, and stays the
//! same through internal redirects and error pages. It lives as long as the request's pool. Host functions reach
//! it while a callback runs, so all its fields are changed through shared references.

mod allowance;
mod answer;
mod body;
mod failure;
pub mod instances;
mod kept_properties;
pub mod live;
mod lua_calls;
mod lua_thread;
mod method;
mod nginx_host;
mod pause;
mod plugin_contexts;
mod rare;
mod response;
mod slots;
mod unsent;
mod upload;

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use ngx_bindings::modules::HttpModule;
use ngx_bindings::pool::AllocError;
use ngx_bindings::{Request, StoredRequest};
use proxy_wasm_host::abi::{Action, StreamType};
use proxy_wasm_host::{Callback, CallbackSet, Failure, HttpContext, PluginContext};

pub use self::allowance::Allowance;
pub use self::answer::Answer;
pub use self::body::Body;
pub use self::kept_properties::KeptProperties;
pub use self::live::RequestHandle;
pub use self::lua_calls::{Description as CallDescription, LuaCall, LuaCalls, Reply};
pub use self::lua_thread::{LuaThread, Post};
pub use self::nginx_host::{NginxHost, RedisServers, RequestStream, Ticks};
use self::pause::Pause;
pub use self::plugin_contexts::PluginContexts;
use self::rare::Rare;
pub use self::response::{Chunk, Piece, Response};
pub use self::slots::{BodyOf, Slot, Slots, Source};
use self::upload::LazyUpload;
pub use self::upload::{Framing, Upload};
use super::conf::Policy;
use super::guard::guard;
use super::identity::main_module_of;
use super::lazy_box::LazyBox;

/// What nginx is to do with a request after callbacks of its plugins.
pub type Verdict = proxy_wasm_host::response::Verdict<Box<Answer>>;

/// The state of one request.
pub struct RequestContext {
    request: StoredRequest,
    /// The HttpContexts of the request.
    pub slots: Slots,
    /// All callbacks that the plugins driven by nginx export. A callback that is not among them is
    /// skipped for the whole request.
    callbacks: Cell<CallbackSet>,
    /// Whether a plugin closed the stream.
    closed: Cell<bool>,
    /// Whether a callback of the request runs. What it leaves to do is done when it has returned.
    running: Cell<bool>,
    /// Whether nginx has read the request's body.
    pub body_read: Cell<bool>,
    /// The Lua thread that waits for a plugin of this request.
    pub lua_thread: LuaThread,
    /// Whether the client's own method is HEAD. Set only if a plugin has changed the method.
    client_asks_head: Cell<Option<bool>>,
    /// The scheme that a plugin wrote, if one did.
    pub scheme: Cell<Option<&'static [u8]>>,
    /// Who holds the request or the response.
    pub pause: Pause,
    /// How many bytes the plugins have used up of what may be kept for this request.
    pub allowance: Allowance,
    /// How far the response has come.
    pub response: Response,
    /// What few requests need.
    pub rare: LazyBox<Rare>,
    handle: RequestHandle,
    /// The request's body, if it passes the plugins piece by piece.
    upload: LazyUpload,
    /// Whether the plugins of nginx's phases and filters get this subrequest.
    serves_subrequest: Cell<bool>,
    drivers: Drivers,
}

/// What continues what plugins resumed, or held too long. They are functions of `native`, which stands
/// above this room. The request may be gone afterwards.
#[derive(Clone, Copy)]
pub struct Drivers {
    /// Continues the response.
    pub response: fn(&RequestContext, timed_out: bool),
    /// Continues the body of the request.
    pub upload: fn(&RequestContext, timed_out: bool),
}

/// Whether a plugin has seen a subrequest in this process. Only then a pool can have several contexts.
static SAW_SUBREQUEST: AtomicBool = AtomicBool::new(false);

/// Whether Lua has called a plugin in this process. What only Lua's plugins need costs other requests
/// one look.
static CALLED_BY_LUA: AtomicBool = AtomicBool::new(false);

impl RequestContext {
    /// Answers false if no plugin has seen the request. Every request without plugins asks this, so
    /// it is one cheap check.
    #[inline]
    pub fn may_be_of(request: Request) -> bool {
        // The cleanup that destroys the context stays in the pool even if nginx has cleared the
        // module's context.
        request.pool().has_on_destroy()
    }

    /// As [`Self::may_be_of`], for plugins that Lua calls.
    #[inline]
    pub fn may_be_driven_by_lua(request: Request) -> bool {
        CALLED_BY_LUA.load(Ordering::Relaxed) && Self::may_be_of(request)
    }

    /// Returns the context of a request, if any plugin has seen the request.
    #[inline]
    pub fn of(request: Request<'_>) -> Option<&Self> {
        let is_lost = || Self::may_be_of(request) && request.may_have_lost_contexts();
        Self::known(request).or_else(|| if is_lost() { Self::find_again(request) } else { None })
    }

    /// As [`Self::of`], for the log phase. A context that is not found there would end later, when
    /// nginx has taken the request apart.
    pub fn of_ended(request: Request<'_>) -> Option<&Self> {
        Self::known(request).or_else(|| Self::find_again(request))
    }

    #[inline]
    fn known(request: Request<'_>) -> Option<&Self> {
        request.module_ctx(Self::module())
    }

    #[cold]
    fn find_again(request: Request<'_>) -> Option<&Self> {
        // The pool also has the contexts of subrequests.
        // SAFETY: what `create` registered with `destroy` is a `RequestContext`.
        let is_its_own = |ctx: NonNull<c_void>| unsafe { ctx.cast::<Self>().as_ref() }.request == request.store();
        let found = request.pool().find_on_destroy(destroy, is_its_own)?.cast::<Self>();
        // SAFETY: the context is destroyed with the request's pool.
        Some(unsafe { request.set_module_ctx(Self::module(), found) })
    }

    /// Whether a context of the same client's request is wanted: this one, that of the request
    /// itself, or of any subrequest. Called while nginx runs the request, whose pool keeps them all.
    fn any_of_client(&self, wanted: impl Fn(&Self) -> bool) -> bool {
        // SAFETY: what `create` registered with `destroy` is a `RequestContext`.
        let is_wanted = |ctx: NonNull<c_void>| wanted(unsafe { ctx.cast::<Self>().as_ref() });
        self.request().pool().find_on_destroy(destroy, is_wanted).is_some()
    }

    /// Returns the context of a request, and makes it if there is none yet.
    #[inline]
    pub fn of_or_new(request: Request<'_>, drivers: Drivers) -> Result<&Self, AllocError> {
        match Self::of(request) {
            Some(ctx) => Ok(ctx),
            None => Self::create(request, drivers),
        }
    }

    fn create(request: Request<'_>, drivers: Drivers) -> Result<&Self, AllocError> {
        if request.is_subrequest() {
            SAW_SUBREQUEST.store(true, Ordering::Relaxed);
        }
        let handle = live::enter();
        let ctx = handle.room();
        if let Err(error) = request.pool().on_destroy(destroy, ctx.as_ptr().cast()) {
            handle.leave();
            // SAFETY: just taken, and nobody was told of it.
            unsafe { handle.give_back() };
            return Err(error);
        }
        // SAFETY: memory for a context, that `destroy` gives back when the request is over.
        unsafe {
            ctx.write(Self {
                request: request.store(),
                slots: Slots::default(),
                callbacks: Cell::default(),
                closed: Cell::default(),
                running: Cell::default(),
                body_read: Cell::default(),
                lua_thread: LuaThread::default(),
                client_asks_head: Cell::default(),
                scheme: Cell::default(),
                pause: Pause::default(),
                allowance: Allowance::default(),
                response: Response::default(),
                rare: LazyBox::default(),
                handle,
                upload: LazyUpload::default(),
                serves_subrequest: Cell::default(),
                drivers,
            });
        }
        // SAFETY: as above.
        Ok(unsafe { request.set_module_ctx(Self::module(), ctx) })
    }

    /// The module, to ask nginx for a request's context.
    #[inline]
    fn module() -> HttpModule<(), (), Self> {
        // SAFETY: only `create` and `find_again` store something there.
        unsafe { main_module_of() }
    }

    /// nginx's request.
    #[inline]
    pub fn request(&self) -> Request<'_> {
        // SAFETY: the context is destroyed with the request's pool.
        unsafe { self.request.lend() }
    }

    /// Returns a handle to this context, for code that may outlive the request.
    pub fn handle(&self) -> RequestHandle {
        self.handle
    }

    /// Makes an HttpContext. Returns its slot, or the verdict that the plugin's failure means for
    /// the request.
    pub fn open(
        &self,
        source: Source,
        plugin: &Rc<PluginContext<NginxHost>>,
        policy: &Rc<Policy>,
    ) -> Result<&Slot, Verdict> {
        let slot = self.add_slot(source, plugin, policy);
        match slot.begin_new(|http| http.open(RequestStream::new(self, slot))) {
            Ok(()) => Ok(slot),
            Err(failure) => Err(self.without(slot, &failure)),
        }
    }

    /// Makes an HttpContext and runs its `proxy_on_request_headers`. Returns its slot and the
    /// verdict.
    pub fn receive(
        &self,
        source: Source,
        plugin: &Rc<PluginContext<NginxHost>>,
        policy: &Rc<Policy>,
        (num_headers, end_of_stream): (u32, bool),
    ) -> (&Slot, Verdict) {
        let slot = self.add_slot(source, plugin, policy);
        self.running.set(true);
        let received = slot.begin_new(|http| http.receive(RequestStream::new(self, slot), num_headers, end_of_stream));
        self.running.set(false);
        let verdict = match received {
            Ok(action) => self.returned(slot, action),
            Err(failure) => self.without(slot, &failure),
        };
        (slot, verdict)
    }

    #[inline]
    fn add_slot(&self, source: Source, plugin: &Rc<PluginContext<NginxHost>>, policy: &Rc<Policy>) -> &Slot {
        let permit = policy.own_instances.map(|limit| self.permit(limit));
        let slot = self.slots.push(source, plugin, policy, permit);
        if slot.is_driven_by_lua() {
            CALLED_BY_LUA.store(true, Ordering::Relaxed);
        } else {
            self.callbacks.set(self.callbacks.get().union(plugin.plugin().callbacks()));
        }
        slot
    }

    /// Runs one callback of one slot.
    #[inline]
    pub fn call(
        &self,
        slot: &Slot,
        callback: impl FnOnce(&HttpContext<NginxHost>) -> Result<Action, Failure>,
    ) -> Verdict {
        self.call_for_piece(slot, callback).without_watermark()
    }

    /// As [`Self::call`], for a piece of a body that may stop the reading of more.
    #[inline]
    pub fn call_for_piece(
        &self,
        slot: &Slot,
        callback: impl FnOnce(&HttpContext<NginxHost>) -> Result<Action, Failure>,
    ) -> Verdict {
        match self.run(slot, callback) {
            None => Verdict::Continue,
            Some(Ok(action)) => self.returned(slot, action),
            Some(Err(failure)) => self.without(slot, &failure),
        }
    }

    #[inline]
    fn run<R>(
        &self,
        slot: &Slot,
        callback: impl FnOnce(&HttpContext<NginxHost>) -> Result<R, Failure>,
    ) -> Option<Result<R, Failure>> {
        slot.run(|http| {
            self.running.set(true);
            let result = callback(http);
            self.running.set(false);
            result
        })
    }

    /// Ends the context of a slot whose plugin failed.
    #[cold]
    fn without(&self, slot: &Slot, failure: &Failure) -> Verdict {
        let verdict = self.failed(slot, failure);
        slot.release_headers();
        slot.finish();
        verdict
    }

    /// Returns the verdict after a callback that has returned.
    #[inline]
    fn returned(&self, slot: &Slot, action: Action) -> Verdict {
        let action =
            if action == Action::PauseHeaders && slot.hold_headers_alone() { Action::Continue } else { action };
        Verdict::of(action, self.closed.get(), || self.take_answer())
    }

    /// Runs a callback of one slot outside the request's phases, such as the response to a call.
    pub fn call_back(&self, slot: usize, callback: impl FnOnce(&HttpContext<NginxHost>) -> Result<(), Failure>) {
        let Some(slot) = self.slots.get(slot) else { return };
        match self.run(slot, callback) {
            None => return,
            Some(Ok(())) if slot.is_resumed_by_calls() => {
                self.resume(slot.index(), StreamType::HttpRequest);
                self.resume(slot.index(), StreamType::HttpResponse);
            }
            Some(Ok(())) => {}
            Some(Err(failure)) => {
                if let Verdict::Fail = self.without(slot, &failure) {
                    self.set_answer(Box::new(failure::page()));
                }
                self.fail_waiting(slot);
            }
        }
        self.after_callback();
    }

    /// Whether any plugin that nginx drives exports a callback.
    #[inline]
    pub fn any_has(&self, callback: Callback) -> bool {
        self.callbacks.get().contains(callback)
    }

    /// Sets the answer that a plugin wants sent. The first answer stays.
    pub fn set_answer(&self, answer: Box<Answer>) {
        self.rare.make().answer.borrow_mut().get_or_insert(answer);
    }

    /// Keeps why a plugin answers.
    pub fn set_answer_details(&self, details: &[u8]) {
        self.rare.make().answer_details.replace(Some(details.to_vec()));
    }

    /// Why a plugin answered, if one did and said why.
    pub fn answer_details(&self) -> Option<Vec<u8>> {
        self.rare.get()?.answer_details.borrow().clone()
    }

    /// Closes the stream as soon as the guest has returned. A subrequest of which the client gets nothing
    /// fails instead: nothing that it does may end the client's request.
    pub fn close(&self) {
        if self.request().is_background() {
            self.set_answer(Box::new(failure::page()));
        } else {
            self.closed.set(true);
        }
    }

    /// Whether the plugins of nginx's phases and filters get this request: each does that is not a
    /// subrequest.
    pub fn serves(&self) -> bool {
        self.serves_subrequest.get() || !self.request().is_subrequest()
    }

    /// Lets plugins of nginx's phases and filters get a subrequest.
    ///
    /// # Errors
    ///
    /// If nginx has no memory.
    pub fn serve_subrequest(&self) -> Result<(), AllocError> {
        if !self.serves_subrequest.replace(true) {
            self.request().become_independent()?;
            self.body_read.set(true);
        }
        Ok(())
    }

    /// Whether a callback of this request runs.
    pub fn is_running(&self) -> bool {
        self.running.get()
    }

    /// Whether a plugin closed the stream.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Takes the answer that [`Self::set_answer`] set.
    #[inline]
    pub fn take_answer(&self) -> Option<Box<Answer>> {
        self.rare.get()?.answer.take()
    }

    /// Takes the request's body, which plugins may not see any more.
    pub fn take_request_body(&self) -> Option<Body> {
        self.rare.get()?.request_body.take()
    }

    /// Whether [`Self::set_answer`] set an answer.
    #[inline]
    pub fn has_answer(&self) -> bool {
        self.rare.get().is_some_and(|rare| rare.answer.borrow().is_some())
    }

    /// Runs `proxy_on_done`, `proxy_on_log` and `proxy_on_delete` of every context.
    #[inline]
    pub fn finish(&self) {
        if self.handle.leave() {
            self.finish_contexts();
        }
    }

    /// Does the same as [`Self::finish`] for a request, in nginx's log phase. A client's request ends with
    /// its subrequests, of which nginx logs none by default.
    pub fn finish_of(request: Request<'_>) {
        if SAW_SUBREQUEST.load(Ordering::Relaxed) && !request.is_subrequest() {
            let finish = |ctx: NonNull<c_void>| {
                // SAFETY: what `create` registered with `destroy` is a `RequestContext`.
                let ctx = unsafe { ctx.cast::<Self>().as_ref() };
                if ctx.request().is_subrequest() {
                    ctx.finish();
                }
                false
            };
            request.pool().find_on_destroy(destroy, finish);
        }
        if let Some(ctx) = Self::of_ended(request) {
            ctx.finish();
        }
    }

    fn finish_contexts(&self) {
        self.lua_thread.forget();
        self.cancel_calls_of_holders();
        self.forget_pause();
        if let Some(upload) = self.upload() {
            upload.forget();
        }
        self.forget_instance();
        for slot in self.slots.iter() {
            slot.finish();
        }
    }

    /// Cancels the calls of plugins that hold the request or the response: the request ends while
    /// it waits for their answers, because the client has left or the worker ends.
    fn cancel_calls_of_holders(&self) {
        if !self.pause.holds_request() && !self.response.state.is_held() && self.upload().is_none() {
            return;
        }
        self.slots.iter().filter(|slot| self.is_held_by(slot.index())).for_each(Slot::cancel_calls);
    }

    /// Whether the plugin of a slot holds the request, part of its body, or the response.
    fn is_held_by(&self, slot: usize) -> bool {
        self.pause.request_holder() == Some(slot)
            || self.response.state.is_held_by(slot)
            || self.upload().is_some_and(|upload| upload.body.is_held_by(slot))
    }
}

/// Ends and drops the context when the pool goes. The callbacks of the end run here if the log
/// phase did not run.
extern "C" fn destroy(data: *mut c_void) {
    // SAFETY: `create` registered it with a context, which is there until here.
    let handle = unsafe { &*data.cast::<RequestContext>() }.handle;
    guard((), || end(handle));
}

fn end(handle: RequestHandle) {
    if let Some(ctx) = handle.get() {
        ctx.finish();
    }
    // SAFETY: nginx runs a cleanup once, and nothing uses the context any more.
    unsafe { handle.room().drop_in_place() };
    // SAFETY: the context has left and is dropped.
    unsafe { handle.give_back() };
}
