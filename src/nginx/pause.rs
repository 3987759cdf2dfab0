//! Waiting: a plugin holds the request or the response until it resumes it, answers, or takes too long.
//!
//! What resumes comes from a host function, while a guest runs; so nginx goes on only from an event of its loop.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;

use ngx_bindings::event::Event;
use ngx_bindings::log::Level;
use ngx_bindings::sys::ngx_event_t;

use super::guard::guard;
use super::phases;
use super::request::RequestContext;
use crate::proxy_wasm::abi::StreamType;

/// What holds a request.
#[derive(Default)]
pub struct Pause {
    /// The slot whose plugin holds the request.
    request: Cell<Option<usize>>,
    /// Slots whose plugins resumed the response, to be looked at by the event.
    response: RefCell<Vec<usize>>,
    event: RefCell<Option<Box<Event>>>,
}

impl Pause {
    /// Whether a plugin holds the request.
    pub fn holds_request(&self) -> bool {
        self.request.get().is_some()
    }

    /// The slot that holds the request.
    pub fn request_holder(&self) -> Option<usize> {
        self.request.get()
    }

    /// Nothing will come any more.
    pub fn forget(&self) {
        self.request.set(None);
        *self.event.borrow_mut() = None;
    }
}

impl RequestContext {
    /// Keeps the request in its phase until the plugin of `slot` resumes it.
    pub fn pause_request(&self, slot: usize) {
        self.pause.request.set(Some(slot));
        self.with_event(|event| event.set_timer(phases::loc_conf(self.request()).pause_timeout()));
        self.request().watch_client();
    }

    /// Starts the time that a plugin may hold the response.
    pub fn pause_response(&self) {
        self.with_event(|event| event.set_timer(phases::loc_conf(self.request()).pause_timeout()));
    }

    /// `proxy_continue_stream` by the plugin of `slot`; without effect unless it holds that stream.
    pub fn resume(&self, slot: usize, stream: StreamType) {
        match stream {
            StreamType::HttpRequest if self.pause.request.get() == Some(slot) => self.pause.request.set(None),
            StreamType::HttpResponse if self.response.is_held_by(slot) => self.pause.response.borrow_mut().push(slot),
            _ => return,
        }
        self.with_event(Event::post);
    }

    /// A callback outside the request's phases (a call's response, a tick) has left something to be done for a request that waits.
    pub fn after_callback(&self) {
        if self.has_answer() || self.is_closed() {
            self.with_event(Event::post);
        }
    }

    fn with_event(&self, body: impl FnOnce(&mut Event)) {
        let mut event = self.pause.event.borrow_mut();
        body(event.get_or_insert_with(|| {
            let data: *const Self = self;
            Box::new(Event::new(on_event, data.cast_mut().cast::<c_void>(), self.request().log()))
        }));
    }

    /// Does what is due, from nginx's loop. The request may be gone after.
    fn wake(&self) {
        let timed_out = self.pause.event.borrow_mut().as_mut().is_some_and(|event| event.take_timed_out());
        let resumed = self.pause.response.take();
        if timed_out {
            let what = if self.pause.holds_request() { "request" } else { "response" };
            self.request().log().print(Level::Error, format_args!("a plugin held the {what} past wasm_pause_timeout"));
        }
        if self.response.has_begun() {
            return self.wake_response(&resumed, timed_out);
        }
        if !timed_out && self.pause.holds_request() && !self.has_answer() && !self.is_closed() {
            return;
        }
        if let Some(event) = self.pause.event.borrow_mut().as_mut() {
            event.cancel_timer();
        }
        self.pause.request.set(None);
        if timed_out {
            self.request().finalize_in_event(ngx_bindings::rc::GATEWAY_TIME_OUT);
        } else {
            self.request().resume_phases();
        }
    }
}

unsafe extern "C" fn on_event(event: *mut ngx_event_t) {
    guard((), || {
        // SAFETY: the event belongs to the context in its data, and is disarmed when that goes.
        unsafe { (*(*event).data.cast::<RequestContext>()).wake() }
    });
}
