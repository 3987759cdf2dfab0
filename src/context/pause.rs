//! Pausing: a plugin holds the request or the response until it resumes, answers, or exceeds
//! `wasm_pause_timeout`.
//!
//! A plugin resumes in a host function, while a guest runs. So nginx continues only from an event
//! of its own loop, never from there.

mod hold;

use std::ffi::c_void;

use ngx_bindings::event::{self, Event};
use ngx_bindings::log::Level;
use ngx_bindings::rc;
use ngx_bindings::sys::ngx_event_t;
use proxy_wasm_host::abi::StreamType;

use self::hold::{Found, Hold, Next};
use super::{RequestContext, Upload};
use crate::conf::LocConf;
use crate::guard::guard;

/// What plugins hold of one request.
#[derive(Default)]
pub struct Pause {
    request: Hold,
}

impl Pause {
    /// Whether a plugin holds the request.
    pub fn holds_request(&self) -> bool {
        self.request.holder().is_some()
    }

    /// Returns the slot whose plugin holds the request.
    pub fn request_holder(&self) -> Option<usize> {
        self.request.holder()
    }
}

impl RequestContext {
    /// Stops the pause timeout: nothing is held any more.
    #[inline]
    pub fn stop_clock(&self) {
        if let Some(rare) = self.rare.get()
            && let Some(event) = rare.event.borrow_mut().as_mut()
        {
            event.cancel_timer();
        }
    }

    /// Releases the request, and stops the pause timeout.
    pub fn release_request(&self) {
        self.pause.request.free();
        self.stop_clock();
    }

    /// Drops the event: the request is over.
    pub(super) fn forget_pause(&self) {
        self.pause.request.free();
        if let Some(rare) = self.rare.get() {
            *rare.event.borrow_mut() = None;
        }
    }

    /// Keeps the request in its phase until the plugin of `slot` resumes it.
    pub fn pause_request(&self, slot: usize) {
        self.pause.request.hold(slot);
        self.with_event(|event| event.set_timer(LocConf::of(self.request()).pause_timeout()));
        self.request().watch_client();
    }

    /// Keeps the request in its phase until there is an instance for it.
    pub fn wait_for_instance(&self) {
        self.queue_for_instance();
        self.pause_request(self.slots.len());
    }

    /// As [`Self::wait_for_instance`], for a Lua thread that waits.
    pub fn wait_for_instance_in_lua(&self) {
        self.queue_for_instance();
        if !self.pause.holds_request() {
            self.hold_for_lua(self.slots.len());
        }
    }

    /// As [`Self::pause_request`], for a Lua thread that waits. The Lua module itself watches the
    /// client's connection.
    pub fn hold_for_lua(&self, slot: usize) {
        self.pause.request.hold(slot);
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

    /// Handles `proxy_continue_stream` by the plugin of `slot`. It does nothing unless that plugin
    /// holds that stream.
    pub fn resume(&self, slot: usize, stream: StreamType) {
        let resumed = match stream {
            StreamType::HttpRequest if self.upload().is_some_and(|upload| upload.body.resume(slot)) => {
                return self.wake_upload_soon();
            }
            StreamType::HttpRequest => self.pause.request.resume(slot),
            StreamType::HttpResponse => self.response.state.resume(slot),
            _ => false,
        };
        if resumed {
            self.with_event(Event::post);
        }
    }

    /// Posts the event if a callback from elsewhere (a call's response, a tick, another request)
    /// left an answer or a close. The phase handles what its own callbacks leave. A Lua thread is
    /// woken after every call.
    pub fn after_callback(&self) {
        let due = || self.has_answer() || self.is_closed() || self.lua_thread.any() || self.response.must_be_woken();
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

    fn with_event(&self, body: impl FnOnce(&mut Event)) {
        let mut event = self.rare.make().event.borrow_mut();
        body(event.get_or_insert_with(|| Box::new(self.new_event(on_event))));
    }

    /// Makes an event for this context, whose handler takes a context. The context keeps it in a box.
    pub(super) fn new_event(&self, handler: event::Handler) -> Event {
        let data: *const Self = self;
        // SAFETY: the handler takes a context, which has the event in a box and is destroyed with its
        // request, before the connection and its log.
        unsafe { Event::new(handler, data.cast_mut().cast::<c_void>(), self.request().log()) }
    }

    /// Handles the event, from nginx's loop. The request may be gone afterwards.
    fn wake(&self) {
        let timed_out = self.rare.make().event.borrow_mut().as_mut().is_some_and(|event| event.take_timed_out());
        if self.request().is_over() {
            return;
        }
        let holder = self.pause.request_holder().and_then(|slot| self.slots.get(slot));
        if let Some(slot) = holder.filter(|_| timed_out) {
            let name = slot.plugin_name();
            let line = format_args!("plugin \"{name}\" held the request past wasm_pause_timeout");
            self.request().log().print(Level::Error, line);
            // Nobody waits for their answers any more.
            slot.cancel_calls();
        }
        let timed_out = timed_out && !self.stop_instance_wait();
        if self.lua_thread.wake(timed_out) {
            return;
        }
        let found = Found {
            timed_out,
            has_response: self.response.state.has_begun(),
            is_closed: self.is_closed(),
            has_answer: self.has_answer(),
        };
        match self.pause.request.next(found) {
            // Only its upload may keep nginx from the response, in which an answer is sent.
            Next::Nothing | Next::CutOff if (found.has_answer || found.is_closed) && self.is_uploading() => {
                (self.drivers.upload)(self, false);
            }
            Next::Nothing => {}
            Next::Response => (self.drivers.response)(self, timed_out),
            // SAFETY: nothing of the request is used afterwards.
            Next::CutOff => unsafe { self.request().cut_off() },
            Next::TimeOut => {
                self.pause.request.free();
                self.request().unwatch_client();
                // SAFETY: as above.
                unsafe { self.request().finalize_in_event(rc::GATEWAY_TIME_OUT) }
            }
            Next::Phases => {
                self.release_request();
                self.stop_waiting();
                // SAFETY: as above.
                unsafe { self.request().resume_phases() }
            }
        }
    }

    /// Whether the body passes the plugins, and nginx reads more of it.
    fn is_uploading(&self) -> bool {
        self.upload().is_some_and(Upload::is_under_way)
    }

    /// Lets a request go on that has waited too long for an instance. Answers false if it does not
    /// wait for one.
    fn stop_instance_wait(&self) -> bool {
        let waits = self.give_up_instance();
        if waits && let Some(holder) = self.pause.request_holder() {
            self.pause.request.resume(holder);
        }
        waits
    }
}

unsafe extern "C" fn on_event(event: *mut ngx_event_t) {
    // SAFETY: the event's data is its context, and the event is disarmed when that goes.
    let ctx: &RequestContext = unsafe { event::data(event) };
    guard((), || ctx.wake());
}
