//! Waiting: a plugin holds the request or the response until it resumes it, answers, or takes too long.
//!
//! What resumes comes from a host function, while a guest runs; so nginx goes on only from an event of its loop.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;

use ngx_bindings::event::Event;
use ngx_bindings::log::Level;
use ngx_bindings::rc;
use ngx_bindings::sys::ngx_event_t;
use proxy_wasm_host::abi::StreamType;

use super::RequestContext;
use crate::conf::LocConf;
use crate::guard::guard;
use crate::lazy_box::LazyBox;

/// Where a request stands in the phases, as far as plugins hold it there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hold {
    /// Nobody does: the phases run, or something of nginx's is under way.
    #[default]
    Free,
    /// The plugin of this slot does.
    Held(usize),
    /// It let go; the event takes the request on.
    Released,
}

/// What holds a request.
#[derive(Default)]
pub struct Pause {
    request: Cell<Hold>,
    /// Slots whose plugins resumed the response, to be looked at by the event.
    response: LazyBox<RefCell<Vec<usize>>>,
    event: RefCell<Option<Box<Event>>>,
}

impl Pause {
    /// Whether a plugin holds the request.
    pub fn holds_request(&self) -> bool {
        matches!(self.request.get(), Hold::Held(_))
    }

    /// The slot that holds the request.
    pub fn request_holder(&self) -> Option<usize> {
        match self.request.get() {
            Hold::Held(slot) => Some(slot),
            Hold::Free | Hold::Released => None,
        }
    }

    /// Nobody waits any more: no time runs.
    pub fn stop_clock(&self) {
        if let Some(event) = self.event.borrow_mut().as_mut() {
            event.cancel_timer();
        }
    }

    /// The request is held no longer.
    pub fn release_request(&self) {
        self.request.set(Hold::Free);
        self.stop_clock();
    }

    /// Nothing will come any more.
    pub fn forget(&self) {
        self.request.set(Hold::Free);
        *self.event.borrow_mut() = None;
    }
}

impl RequestContext {
    /// Keeps the request in its phase until the plugin of `slot` resumes it.
    pub fn pause_request(&self, slot: usize) {
        self.pause.request.set(Hold::Held(slot));
        self.with_event(|event| event.set_timer(LocConf::of(self.request()).pause_timeout()));
        self.request().watch_client();
    }

    /// As [`Self::pause_request`], for a thread of Lua's that waits: the Lua module looks after the client.
    pub fn hold_for_lua(&self, slot: usize) {
        self.pause.request.set(Hold::Held(slot));
        self.with_event(|event| event.set_timer(LocConf::of(self.request()).pause_timeout()));
    }

    /// Starts, anew for each piece of the body, the time that a plugin may hold the response.
    pub fn pause_response(&self) {
        self.with_event(|event| {
            event.set_timer(LocConf::of(self.request()).pause_timeout());
            // nginx starts the client's time when the filters have returned.
            event.post();
        });
    }

    /// As [`Self::pause_response`], while the source of the response is what the plugin waits for: that has a time of its own.
    pub fn wait_for_source(&self) {
        self.pause.stop_clock();
        self.wake_soon();
    }

    /// `proxy_continue_stream` by the plugin of `slot`; without effect unless it holds that stream.
    pub fn resume(&self, slot: usize, stream: StreamType) {
        match stream {
            StreamType::HttpRequest if self.pause.request.get() == Hold::Held(slot) => {
                self.pause.request.set(Hold::Released)
            }
            StreamType::HttpResponse if self.response.is_held_by(slot) => {
                let mut resumed = self.pause.response.make().borrow_mut();
                if !resumed.contains(&slot) {
                    resumed.push(slot);
                }
            }
            _ => return,
        }
        self.with_event(Event::post);
    }

    /// An answer or an end that came from elsewhere (a call's response, a tick, another request) is looked at by the event; what a
    /// callback of a phase leaves, the phase looks at. A thread of Lua's looks after every call.
    pub fn after_callback(&self) {
        let due =
            || self.has_answer() || self.is_closed() || self.lua_thread.any() || self.response.waits_behind_holder();
        if !self.is_running() && due() {
            self.with_event(Event::post);
        }
    }

    /// Does what is due as soon as nginx's loop comes round: ends the response, or what upstream still sends of it.
    pub fn wake_soon(&self) {
        self.with_event(Event::post);
    }

    /// The response goes on when nginx's loop comes round: others have their turn before.
    pub fn go_on_next_turn(&self) {
        self.response.goes_on();
        self.with_event(Event::post);
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
        if self.request().is_closed() {
            return;
        }
        let holder = self.pause.request_holder().and_then(|slot| self.slots.get(slot));
        if let Some(slot) = holder.filter(|_| timed_out) {
            let name = slot.plugin_name();
            let line = format_args!("plugin \"{name}\" held the request past wasm_pause_timeout");
            self.request().log().print(Level::Error, line);
        }
        if self.lua_thread.wake(timed_out) {
            return;
        }
        match self.pause.request.get() {
            Hold::Free if self.response.has_begun() => {
                let resumed = self.pause.response.get().map(RefCell::take).unwrap_or_default();
                return (self.wake_response)(self, &resumed, timed_out);
            }
            // nginx is not in a phase of ours: an answer waits until it comes to one, or to the response.
            Hold::Free if self.is_closed() => return self.request().cut_off(),
            Hold::Free => return,
            Hold::Held(_) if timed_out => {
                self.pause.request.set(Hold::Free);
                self.request().unwatch_client();
                return self.request().finalize_in_event(rc::GATEWAY_TIME_OUT);
            }
            Hold::Held(_) if !self.has_answer() && !self.is_closed() => return,
            Hold::Held(_) | Hold::Released => {}
        }
        self.pause.release_request();
        self.request().resume_phases();
    }
}

unsafe extern "C" fn on_event(event: *mut ngx_event_t) {
    guard((), || {
        // SAFETY: the event belongs to the context in its data, and is disarmed when that goes.
        unsafe { (*(*event).data.cast::<RequestContext>()).wake() }
    });
}
