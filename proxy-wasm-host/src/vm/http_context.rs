//! One request, and the callbacks of its phases.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;

use super::PluginContext;
use super::instance_slot::{CONTINUE, Ending, InstanceSlot, Opened};
use super::own_instance::{OWN, OwnInstance};
use super::place::Place;
use crate::abi::{Action, BufferType};
use crate::callbacks::Callback;
use crate::context::ContextKey;
use crate::failure::Failure;
use crate::host::{Buffers, Host};
use crate::instance::Instance;
use crate::plugin::Isolation;

/// One request as one PluginContext sees it. Follows spec v0.2.1, "HTTP streams".
///
/// Every callback here returns the plugin's action, or [`Action::Continue`] if the plugin does not
/// have that callback.
pub struct HttpContext<H: Host> {
    plugin: Rc<PluginContext<H>>,
    /// Set while the context is open.
    opened: Cell<Option<Opened>>,
    /// The instance that the request has for itself, while the context is open; `None` where
    /// requests share one.
    own: RefCell<Option<Box<OwnInstance<H>>>>,
}

impl<H: Host> HttpContext<H> {
    pub(super) fn new(plugin: Rc<PluginContext<H>>) -> Self {
        Self { plugin, opened: Cell::new(None), own: RefCell::new(None) }
    }

    /// The PluginContext that this context belongs to.
    pub fn plugin_context(&self) -> &Rc<PluginContext<H>> {
        &self.plugin
    }

    /// The context's id, while it is open. It is unique among the living contexts of the VM.
    pub fn id(&self) -> Option<u32> {
        self.opened.get().map(|opened| opened.id)
    }

    /// Opens the context for a request, once, and starts the plugin if needed:
    /// `proxy_on_context_create`.
    ///
    /// # Errors
    /// Those of [`PluginContext::start`]; and when the guest does not return.
    pub fn open(&self, stream: H::Stream) -> Result<(), Failure> {
        if self.isolates() {
            return self.enter_own(|slot| Ok((slot.open(OWN, stream)?, ())));
        }
        self.enter_shared(|slot, plugin| Ok((slot.open(plugin, stream)?, ())))
    }

    /// Does the same as [`HttpContext::open`] and then [`HttpContext::on_request_headers`]. Nearly
    /// always one follows the other, and together they cost little more than one.
    ///
    /// # Errors
    /// Those of both.
    #[inline]
    pub fn receive(&self, stream: H::Stream, num_headers: u32, end_of_stream: bool) -> Result<Action, Failure> {
        if self.isolates() {
            return self.receive_own(stream, (num_headers, end_of_stream));
        }
        let result = self.enter_shared(|slot, plugin| {
            slot.open_with_request_headers(plugin, stream, (num_headers, end_of_stream))
        })?;
        self.action(result, Part::headers(end_of_stream, Callback::OnRequestBody))
    }

    /// A function of its own, so that requests that share an instance do not pay for it.
    #[inline(never)]
    fn receive_own(&self, stream: H::Stream, headers: (u32, bool)) -> Result<Action, Failure> {
        let result = self.enter_own(|slot| slot.open_with_request_headers(OWN, stream, headers))?;
        self.action(result, Part::headers(headers.1, Callback::OnRequestBody))
    }

    fn isolates(&self) -> bool {
        self.plugin.plugin().options().isolation == Isolation::Request
    }

    #[inline]
    fn enter_shared<R>(
        &self,
        open: impl FnOnce(&mut InstanceSlot<H>, usize) -> Result<(Opened, R), Failure>,
    ) -> Result<R, Failure> {
        self.plugin.vm().enter(|slot| {
            let (plugin, _) = self.plugin.register(slot);
            let (opened, result) = open(slot, plugin)?;
            self.opened.set(Some(opened));
            Ok(result)
        })
    }

    fn enter_own<R>(
        &self,
        open: impl FnOnce(&mut InstanceSlot<H>) -> Result<(Opened, R), Failure>,
    ) -> Result<R, Failure> {
        let (own, opened, result) = self.plugin.open_own(open)?;
        *self.own.borrow_mut() = Some(Box::new(own));
        self.opened.set(Some(opened));
        Ok(result)
    }

    /// The place of the request's own instance.
    pub(super) fn own_place(&self) -> Option<Rc<Place<H>>> {
        self.own.borrow().as_ref().map(|own| Rc::clone(&own.place))
    }

    /// `proxy_on_request_headers`.
    ///
    /// # Errors
    /// When the guest did not return or returned an invalid action, or the context is
    /// [`Failure::Gone`].
    pub fn on_request_headers(&self, num_headers: u32, end_of_stream: bool) -> Result<Action, Failure> {
        let part = Part::headers(end_of_stream, Callback::OnRequestBody);
        self.callback(Callback::OnRequestHeaders, part, |instance, id| {
            let callback = &instance.callbacks.on_request_headers;
            callback.call(&mut instance.store, (id, num_headers, end_of_stream.into()), CONTINUE)
        })
    }

    /// `proxy_on_request_body`.
    ///
    /// # Errors
    /// Those of [`HttpContext::on_request_headers`].
    pub fn on_request_body(&self, body_size: u32, end_of_stream: bool) -> Result<Action, Failure> {
        let part = Part::Body(BufferType::HttpRequestBody);
        self.callback(Callback::OnRequestBody, part, |instance, id| {
            let callback = &instance.callbacks.on_request_body;
            callback.call(&mut instance.store, (id, body_size, end_of_stream.into()), CONTINUE)
        })
    }

    /// `proxy_on_request_trailers`.
    ///
    /// # Errors
    /// Those of [`HttpContext::on_request_headers`].
    pub fn on_request_trailers(&self, num_trailers: u32) -> Result<Action, Failure> {
        self.callback(Callback::OnRequestTrailers, Part::Trailers, |instance, id| {
            instance.callbacks.on_request_trailers.call(&mut instance.store, (id, num_trailers), CONTINUE)
        })
    }

    /// `proxy_on_response_headers`.
    ///
    /// # Errors
    /// Those of [`HttpContext::on_request_headers`].
    pub fn on_response_headers(&self, num_headers: u32, end_of_stream: bool) -> Result<Action, Failure> {
        let part = Part::headers(end_of_stream, Callback::OnResponseBody);
        self.callback(Callback::OnResponseHeaders, part, |instance, id| {
            let callback = &instance.callbacks.on_response_headers;
            callback.call(&mut instance.store, (id, num_headers, end_of_stream.into()), CONTINUE)
        })
    }

    /// `proxy_on_response_body`.
    ///
    /// # Errors
    /// Those of [`HttpContext::on_request_headers`].
    pub fn on_response_body(&self, body_size: u32, end_of_stream: bool) -> Result<Action, Failure> {
        let part = Part::Body(BufferType::HttpResponseBody);
        self.callback(Callback::OnResponseBody, part, |instance, id| {
            let callback = &instance.callbacks.on_response_body;
            callback.call(&mut instance.store, (id, body_size, end_of_stream.into()), CONTINUE)
        })
    }

    /// `proxy_on_response_trailers`.
    ///
    /// # Errors
    /// Those of [`HttpContext::on_request_headers`].
    pub fn on_response_trailers(&self, num_trailers: u32) -> Result<Action, Failure> {
        self.callback(Callback::OnResponseTrailers, Part::Trailers, |instance, id| {
            instance.callbacks.on_response_trailers.call(&mut instance.store, (id, num_trailers), CONTINUE)
        })
    }

    /// Ends the context with its request: `proxy_on_done`, `proxy_on_log`, `proxy_on_delete`. If
    /// `proxy_on_done` returns false, the last two wait for the plugin's `proxy_done`; the plugin
    /// can no longer reach the request then. Dropping the context does the same.
    #[inline]
    pub fn finish(&self) {
        if let Some(opened) = self.opened.take() {
            self.end(opened);
        }
    }

    fn end(&self, opened: Opened) {
        if self.isolates() {
            return self.end_own(opened);
        }
        self.plugin.vm().end(Ending::Http(opened));
    }

    /// A function of its own, as [`HttpContext::receive_own`] is: an instance that ends takes much of
    /// the stack.
    #[inline(never)]
    fn end_own(&self, opened: Opened) {
        if let Some(own) = self.own.take() {
            own.end(opened, &self.plugin);
        }
    }

    /// The context's index among those of the running instance, if it lives in that instance and
    /// belongs to `plugin`.
    pub(super) fn key(&self, plugin: &PluginContext<H>, generation: u32) -> Option<ContextKey> {
        let opened = self.opened.get().filter(|opened| opened.generation == generation)?;
        ptr::eq(&raw const *self.plugin, plugin).then_some(ContextKey::Http(opened.index))
    }

    #[inline]
    fn callback(
        &self,
        callback: Callback,
        part: Part,
        call: impl FnOnce(&mut Instance<H>, u32) -> wasmtime::Result<i32>,
    ) -> Result<Action, Failure> {
        if !self.plugin.plugin().has(callback) {
            return Ok(Action::Continue);
        }
        let call = |instance: &mut Instance<H>, id| {
            let result = call(instance, id)?;
            // The header may say how long the body is that a plugin gets which cannot change bodies.
            if result == STOP_WITHOUT_BUFFER && self.plugin.plugin().may_change_bodies() {
                drop_buffer(instance, part);
            }
            Ok(result)
        };
        let own = if self.isolates() { self.own_place() } else { None };
        let result = match own {
            None => self.plugin.vm().enter(|slot| self.call_in(slot, callback, call))?,
            Some(place) => self.call_own(&place, callback, call)?,
        };
        self.action(result, part)
    }

    /// A function of its own, as [`HttpContext::receive_own`] is.
    #[inline(never)]
    fn call_own(
        &self,
        place: &Place<H>,
        callback: Callback,
        call: impl FnOnce(&mut Instance<H>, u32) -> wasmtime::Result<i32>,
    ) -> Result<i32, Failure> {
        place.enter(|slot| self.call_in(slot, callback, call))
    }

    #[inline(always)]
    fn call_in(
        &self,
        slot: &mut InstanceSlot<H>,
        callback: Callback,
        call: impl FnOnce(&mut Instance<H>, u32) -> wasmtime::Result<i32>,
    ) -> Result<i32, Failure> {
        let opened = self.opened.get().filter(|opened| opened.generation == slot.generation());
        let Opened { index, id, .. } = opened.ok_or(Failure::Gone)?;
        slot.call(ContextKey::Http(index), callback, |instance| call(instance, id))
    }
}

impl<H: Host> HttpContext<H> {
    /// Reads the action that a callback of a stream returned: the spec's, or Envoy's own numbers,
    /// `FilterHeadersStatus`, `FilterDataStatus` and `FilterTrailersStatus`.
    #[inline]
    fn action(&self, result: i32, part: Part) -> Result<Action, Failure> {
        if result == CONTINUE { Ok(Action::Continue) } else { self.other_action(result, part) }
    }

    #[cold]
    fn other_action(&self, result: i32, part: Part) -> Result<Action, Failure> {
        match (part, result) {
            // StopIteration.
            (Part::Headers(Some(body)), 1) if self.plugin.plugin().has(body) => Ok(Action::PauseHeaders),
            // ContinueAndEndStream, by which Envoy continues.
            (Part::Headers(_), 2) => Ok(Action::Continue),
            // StopIterationAndWatermark.
            (Part::Body(_), 2) => Ok(Action::PauseByWatermark),
            // StopAllIterationAndBuffer, StopAllIterationAndWatermark; StopIterationAndBuffer, and
            // StopIterationNoBuffer, for which the bytes are gone.
            (Part::Headers(_), 1 | 3 | 4) | (Part::Body(_), 1 | STOP_WITHOUT_BUFFER) | (Part::Trailers, 1) => {
                Ok(Action::Pause)
            }
            _ => Err(Failure::BadAction(result)),
        }
    }
}

/// The part of a message that a callback sees.
#[derive(Clone, Copy)]
enum Part {
    /// Headers, with the callback for the body that follows, if one does.
    Headers(Option<Callback>),
    Body(BufferType),
    Trailers,
}

impl Part {
    fn headers(end_of_stream: bool, body: Callback) -> Self {
        Self::Headers((!end_of_stream).then_some(body))
    }
}

/// Envoy's `StopIterationNoBuffer`: the plugin has taken the bytes.
const STOP_WITHOUT_BUFFER: i32 = 3;

fn drop_buffer<H: Host>(instance: &mut Instance<H>, part: Part) {
    let Part::Body(buffer) = part else { return };
    if let Some(stream) = instance.store.data_mut().contexts.effective_stream_mut()
        && let Ok(size) = stream.buffer_size(buffer)
    {
        // Without memory for it, the bytes stay.
        let _ = stream.replace_buffer(buffer, 0, size, b"");
    }
}

impl<H: Host> Drop for HttpContext<H> {
    fn drop(&mut self) {
        self.finish();
    }
}
