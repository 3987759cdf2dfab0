//! The HTTP calls of a request that Lua makes. [`crate::lua`] takes them from here, and brings
//! their outcomes back.
//!
//! Such a call is a task like any other, and is cancelled in the same way. Only its response comes
//! from Lua.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use ngx_bindings::resolver::Resolver;
use proxy_wasm_host::HttpCallResponse;

use crate::calls::{CallError, Client, Outgoing, Target};
use crate::connections::Place;
use crate::lazy_box::LazyBox;
use crate::task::{OnQuit, timeout};

/// The calls of one request that Lua makes. They are weak references: the calls end with their
/// tasks.
#[derive(Default)]
pub struct LuaCalls {
    /// The slot whose plugin Lua's thread waits for, or will wait for.
    slot: Cell<Option<usize>>,
    work: LazyBox<Work>,
}

/// The calls that Lua is to make, and those that it makes now.
#[derive(Default)]
struct Work {
    /// Calls that Lua has not asked for yet.
    queued: RefCell<VecDeque<Weak<LuaCall>>>,
    /// Calls that Lua makes now. They are few, and most requests have none.
    under_way: RefCell<Vec<Weak<LuaCall>>>,
    /// The description that Lua reads of a call, until it asks for the next.
    described: RefCell<Option<Description>>,
}

impl LuaCalls {
    /// From now on Lua makes the calls of this slot's plugin.
    pub fn serve(&self, slot: usize) {
        self.slot.set(Some(slot));
    }

    /// Lua's thread continues, and makes no further calls.
    pub fn stop(&self) {
        self.slot.set(None);
    }

    /// Queues a call for Lua. Returns `None` if Lua does not serve this plugin now, or cannot make
    /// the call: `resty.http` sends no trailers, does not know `upstream` blocks, and does not
    /// speak TLS over a socket in the file system.
    pub fn queue(&self, slot: usize, id: u32, call: &Rc<Outgoing>, client: &Client) -> Option<Rc<LuaCall>> {
        let can_be_made = match call.target {
            Target::Upstream(_) => false,
            Target::Unix(_) => call.tls.is_none(),
            Target::Host(..) | Target::Ip(..) => true,
        };
        if self.slot.get() != Some(slot) || !can_be_made || call.has_trailers() {
            return None;
        }
        // Lua's thread does not wait for a free connection. If there is none, the worker's own
        // client makes the call and waits.
        let places = client.try_places(call.memory())?;
        let call = Rc::clone(call);
        let call = Rc::new(LuaCall {
            id,
            call,
            reply: Cell::default(),
            waker: Cell::default(),
            places: Cell::new(Some(places)),
        });
        self.work.make().queued.borrow_mut().push_back(Rc::downgrade(&call));
        Some(call)
    }

    /// Returns the next call that Lua is to make.
    pub fn next(&self) -> Option<Rc<LuaCall>> {
        let work = self.work.get()?;
        // Calls that were cancelled meanwhile are skipped.
        let call = std::iter::from_fn(|| work.queued.borrow_mut().pop_front()).find_map(|call| call.upgrade())?;
        work.under_way.borrow_mut().push(Rc::downgrade(&call));
        Some(call)
    }

    /// Keeps the description that Lua reads of a call, until the next one.
    pub fn keep_description(&self, description: Description) {
        self.work.make().described.replace(Some(description));
    }

    /// Reports the outcome of a call that Lua made. Nothing happens if the call was cancelled.
    pub fn reply(&self, id: u32, reply: impl FnOnce(&Outgoing) -> Reply) {
        let Some(work) = self.work.get() else { return };
        let call = {
            let mut under_way = work.under_way.borrow_mut();
            // Calls that were cancelled are removed here.
            under_way.retain(|call| call.strong_count() > 0);
            let position = under_way.iter().position(|call| call.upgrade().is_some_and(|call| call.id == id));
            position.and_then(|position| under_way.swap_remove(position).upgrade())
        };
        if let Some(call) = call {
            call.reply.set(Some(reply(&call.call)));
            if let Some(waker) = call.waker.take() {
                waker.wake();
            }
        }
    }
}

/// A call that Lua makes.
pub struct LuaCall {
    pub id: u32,
    pub call: Rc<Outgoing>,
    reply: Cell<Option<Reply>>,
    waker: Cell<Option<Waker>>,
    /// The call's places among the connections. They are given back if Lua declines the call.
    places: Cell<Option<(Place, Place)>>,
}

/// What Lua reports of a call.
pub enum Reply {
    Response(HttpCallResponse),
    /// The call failed; the text is `resty.http`'s.
    Failed(String),
    /// Lua has no `resty.http`, so the worker's client is to make the call.
    Declined,
}

impl LuaCall {
    /// Waits for Lua's report, within the call's timeout. If Lua declines, `client` makes the call.
    pub async fn response(&self, client: &Client, resolver: Option<Resolver>) -> Result<HttpCallResponse, CallError> {
        let reply = poll_fn(|cx| match self.reply.take() {
            Some(reply) => Poll::Ready(reply),
            None => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        });
        match timeout(self.call.timeout, OnQuit::Wait, reply).await {
            Some(Reply::Response(response)) => Ok(response),
            Some(Reply::Failed(reason)) => Err(CallError::Lua(reason)),
            Some(Reply::Declined) => {
                drop(self.places.take());
                client.call(&self.call, resolver).await
            }
            None => Err(CallError::Timeout),
        }
    }
}

/// A description of a call for Lua: the parts that the call itself does not have in Lua's form.
pub struct Description {
    pub call: Rc<LuaCall>,
    pub host: String,
    pub port: u16,
    /// The fields, each in one line as `name:value`.
    pub fields: Vec<u8>,
}

impl Description {
    /// Describes a call. Returns `None` if the target has no host.
    pub fn new(call: Rc<LuaCall>) -> Option<Self> {
        let (host, port) = call.call.target.host_and_port(call.call.default_port())?;
        let mut fields = Vec::new();
        for (name, value) in call.call.headers() {
            fields.extend_from_slice(&[name.as_str().as_bytes(), b":", value.as_bytes(), b"\n"].concat());
        }
        Some(Self { call, host, port, fields })
    }
}
