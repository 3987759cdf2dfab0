//! Pausing: a plugin holds the request or the response until it resumes, answers, or exceeds
//! `wasm_pause_timeout`.
//!
//! A plugin resumes in a host function, while a guest runs. So nginx continues only from an event
//! of its own loop, never from there.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;

use ngx_bindings::event::{self, Event};
use ngx_bindings::log::Level;
use ngx_bindings::rc;
use ngx_bindings::sys::ngx_event_t;
use proxy_wasm_host::abi::StreamType;

use super::RequestContext;
use crate::conf::LocConf;
use crate::guard::guard;
use crate::lazy_box::LazyBox;

/// Whether a plugin holds the request in its phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hold {
    /// No plugin holds it: the phases run, or nginx does something else with the request.
    #[default]
    Free,
    /// The plugin of this slot holds it.
    Held(usize),
    /// The plugin resumed it. The event continues the request.
    Released,
}

/// What plugins hold of one request, and the event that continues it.
#[derive(Default)]
pub struct Pause {
    request: Cell<Hold>,
    /// Slots whose plugins resumed the response. The event handles them.
    response: LazyBox<RefCell<Vec<usize>>>,
    event: RefCell<Option<Box<Event>>>,
}

impl Pause {
    /// Whether a plugin holds the request.
    pub fn holds_request(&self) -> bool {
        matches!(self.request.get(), Hold::Held(_))
    }

    /// Returns the slot whose plugin holds the request.
    pub fn request_holder(&self) -> Option<usize> {
        match self.request.get() {
            Hold::Held(slot) => Some(slot),
            Hold::Free | Hold::Released => None,
        }
    }

    /// Stops the pause timeout: nothing is held any more.
    pub fn stop_clock(&self) {
        if let Some(event) = self.event.borrow_mut().as_mut() {
            event.cancel_timer();
        }
    }

    /// Releases the request, and stops the pause timeout.
    pub fn release_request(&self) {
        self.request.set(Hold::Free);
        self.stop_clock();
    }

    /// Drops the event: the request is over.
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

    /// As [`Self::pause_request`], for a Lua thread that waits. The Lua module itself watches the
    /// client's connection.
    pub fn hold_for_lua(&self, slot: usize) {
        self.pause.request.set(Hold::Held(slot));
        self.with_event(|event| event.set_timer(LocConf::of(self.request()).pause_timeout()));
    }

    /// Starts the pause timeout for the response. Each piece of the body starts it anew.
    pub fn pause_response(&self) {
        self.with_event(|event| {
            event.set_timer(LocConf::of(self.request()).pause_timeout());
            // nginx starts the client's send timeout when the filters have returned; the event
            // stops it.
            event.post();
        });
    }

    /// As [`Self::pause_response`], if the plugin waits for more of the response: the upstream has
    /// a timeout of its own.
    pub fn wait_for_source(&self) {
        self.pause.stop_clock();
        self.wake_soon();
    }

    /// Handles `proxy_continue_stream` by the plugin of `slot`. It does nothing unless that plugin
    /// holds that stream.
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

    /// Posts the event if a callback from elsewhere (a call's response, a tick, another request)
    /// left an answer or a close. The phase handles what its own callbacks leave. A Lua thread is
    /// woken after every call.
    pub fn after_callback(&self) {
        let due =
            || self.has_answer() || self.is_closed() || self.lua_thread.any() || self.response.waits_behind_holder();
        if !self.is_running() && due() {
            self.with_event(Event::post);
        }
    }

    /// Posts the event, which ends the response, or drops what upstream still sends of it.
    pub fn wake_soon(&self) {
        self.with_event(Event::post);
    }

    /// As [`Self::wake_soon`], after some milliseconds.
    pub fn wake_in(&self, milliseconds: u32) {
        self.with_event(|event| event.set_timer(milliseconds));
    }

    /// Continues the response in the next turn of nginx's loop, so that other requests have their
    /// turn before.
    pub fn go_on_next_turn(&self) {
        self.response.goes_on();
        self.with_event(Event::post);
    }

    fn with_event(&self, body: impl FnOnce(&mut Event)) {
        let mut event = self.pause.event.borrow_mut();
        body(event.get_or_insert_with(|| {
            let data: *const Self = self;
            // SAFETY: the handler takes a context, which has the event in a box and is destroyed with
            // its request, before the connection and its log.
            Box::new(unsafe { Event::new(on_event, data.cast_mut().cast::<c_void>(), self.request().log()) })
        }));
    }

    /// Handles the event, from nginx's loop. The request may be gone afterwards.
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
            // nginx is not in a phase of this module. An answer waits until the request comes to
            // such a phase, or to the response.
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
    // SAFETY: the event's data is its context, and the event is disarmed when that goes.
    let ctx: &RequestContext = unsafe { event::data(event) };
    guard((), || ctx.wake());
}
