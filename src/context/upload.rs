//! What nginx has of a request's body that passes the plugins piece by piece, while nginx reads it.
//! How far it has come, and what plugins hold of it, is in [`proxy_wasm_host::request`].

use std::cell::{Cell, RefCell};

use ngx_bindings::chain::Chain;
use ngx_bindings::client::FormerReading;
use ngx_bindings::event::{self, Event};
use ngx_bindings::sys::ngx_event_t;
use proxy_wasm_host::request::Body;

use super::unsent::Unsent;
use super::{Piece, RequestContext, Slot};
use crate::conf::LocConf;
use crate::guard::guard;
use crate::lazy_box::LazyBox;

/// A request's body on its way through the plugins.
#[derive(Default)]
pub struct Upload {
    /// How far it has come, and what plugins hold of it.
    pub body: Body<Piece>,
    /// How the handler of the location passes the body on.
    pub framing: Cell<Framing>,
    /// The buffers of nginx that no plugin has seen yet, in links of this module.
    pub waiting: Cell<Chain>,
    /// The bytes that plugins made and nginx has not sent yet.
    pub unsent: Unsent,
    /// The number of bytes that have passed the plugins.
    pub passed: Cell<u64>,
    /// Whether a plugin has changed the body.
    pub changed: Cell<bool>,
    /// Whether the rest of the body is dropped: a plugin has ended the request.
    pub dropping: Cell<bool>,
    /// Who reads from the client, if not the watch for a client that leaves.
    pub reading: Cell<Option<FormerReading>>,
    event: RefCell<Option<Box<Event>>>,
}

/// How the handler of a location passes a request's body on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// nginx has not begun to read the body.
    #[default]
    Unknown,
    /// In chunks, or in frames; or with its own length, if all of it is there when the handler begins.
    Free,
    /// With the length that the client stated.
    Stated(u64),
    /// As `Free`, although the client stated a length.
    Forgotten {
        /// How many bytes nginx has not read, if it cannot know.
        rest: Option<u64>,
    },
}

impl Upload {
    /// Whether nginx reads the body, and its end has not passed the plugins.
    pub fn is_under_way(&self) -> bool {
        self.framing.get() != Framing::Unknown && !self.body.is_over()
    }

    /// Stops the pause timeout: nothing is held any more.
    pub fn stop_clock(&self) {
        if let Some(event) = self.event.borrow_mut().as_mut() {
            event.cancel_timer();
        }
    }

    /// Ends the plugins' part in the body, of which the rest is dropped.
    pub fn end(&self, ctx: &RequestContext) {
        self.dropping.set(true);
        self.body.end();
        self.drop_waiting(ctx);
        self.stop_clock();
    }

    fn drop_waiting(&self, ctx: &RequestContext) {
        let mut waiting = self.waiting.replace(Chain::EMPTY);
        waiting.consume();
        waiting.free_links(ctx.request().pool());
    }

    /// Drops the event and what is held: the request is over.
    pub fn forget(&self) {
        self.body.end();
        *self.event.borrow_mut() = None;
    }
}

impl RequestContext {
    /// The body that passes the plugins piece by piece, if there is one.
    pub fn upload(&self) -> Option<&Upload> {
        self.upload.get()
    }

    /// That body, of which nginx has read something.
    pub fn request_upload(&self) -> &Upload {
        self.upload.make()
    }

    /// Lets the body pass piece by piece to those plugins that have the callback and have not seen it.
    pub fn stream_request_body(&self) {
        self.slots.iter().filter(|slot| !slot.is_driven_by_lua()).for_each(Slot::stream_request_body);
        if self.slots.iter().any(Slot::streams_request_body) {
            self.upload.make();
        }
    }

    /// Starts the pause timeout for a plugin that holds part of the body.
    pub fn start_upload_clock(&self) {
        let timeout = LocConf::of(self.request()).pause_timeout();
        self.with_upload_event(|event| event.set_timer(timeout));
    }

    /// Posts the event that continues, or ends, the body.
    pub fn wake_upload_soon(&self) {
        self.with_upload_event(Event::post);
    }

    fn with_upload_event(&self, body: impl FnOnce(&mut Event)) {
        let mut event = self.upload.make().event.borrow_mut();
        body(event.get_or_insert_with(|| Box::new(self.new_event(on_event))));
    }

    fn wake_upload(&self) {
        let timed_out = self.upload().and_then(|upload| Some(upload.event.borrow_mut().as_mut()?.take_timed_out()));
        if !self.request().is_closed() {
            (self.drivers.upload)(self, timed_out.unwrap_or_default());
        }
    }
}

unsafe extern "C" fn on_event(event: *mut ngx_event_t) {
    // SAFETY: the event's data is its context, and the event is disarmed when that goes.
    let ctx: &RequestContext = unsafe { event::data(event) };
    guard((), || ctx.wake_upload());
}

/// What most requests do not have.
pub type LazyUpload = LazyBox<Upload>;
